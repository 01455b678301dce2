"""How documents and figures are compared."""

import json

import pytest

from tests.train.documents import paragraph, same_drawing, same_text, shown_by, shows
from train.report.drawing import Figure, drawing, drawn, render


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("91.40 ± 0.26", "91.41 ± 0.25", True),
        ("91.40 ± 0.26", "91.42 ± 0.26", False),
        ("+0.00 points", "−0.01 points", True),
        ("-0.01", "+0.01", False),
        ("0.1 (0.099 … 2)", "0.099 (0.1 … 2)", True),
        ("6.25e-05", "6.26e-05", True),
        ("6.25e-05", "6.27e-05", False),
        ("30 seeds", "31 seeds", False),
        ("jax 0.10.2", "jax 0.11.2", False),
        ("jax 0.10.2", "jax 0.10.3", False),
        ("resnet8", "resnet9", False),
        ("epochs 1–12", "epochs 1–13", False),
        ("better; 0.10", "worse; 0.10", False),
    ],
)
def test_texts(one, other, same):
    assert same_text(one, other) is same
    assert same_text(other, one) is same


TEXT = """# Title

All four of five runs, 0.5 to
1.25 apart, mean −0.26.

- **One.** First +0.10 and 0.035.
- Second, 4 points.

  More of 7.
1. Third, 12 points.

<!-- results: table -->
| apart | 0.77 |
<!-- end of results -->
"""


def test_a_paragraph_is_found_by_a_phrase():
    assert paragraph(TEXT, "0.5 to 1.25") == "All four of five runs, 0.5 to 1.25 apart, mean −0.26."
    assert paragraph(TEXT, "First") == "- **One.** First +0.10 and 0.035."
    assert paragraph(TEXT, "Second") == "- Second, 4 points."
    assert paragraph(TEXT, "Third") == "1. Third, 12 points."
    for phrase in ("points", "0.77", "Fourth"):
        with pytest.raises(ValueError, match="values to unpack"):
            paragraph(TEXT, phrase)


@pytest.mark.parametrize(
    ("value", "digits", "is_there"),
    [
        (4, 0, True),  # as a word
        (5, 0, True),
        (6, 0, False),
        (0.5, 1, True),
        (0.549, 1, True),
        (0.551, 1, False),
        (0.5, 2, False),
        (1.255, 2, True),  # a half, to either side
        (1.245, 2, True),
        (1.245 - 1e-14, 2, True),
        (1.2449, 2, False),
        (-0.26, 2, True),
        (0.26, 2, False),
        (3.0, 0, False),
    ],
)
def test_a_number_of_a_paragraph(value, digits, is_there):
    assert shows(paragraph(TEXT, "apart"), value, digits) is is_there


def _figure(values, label="a", **texts):
    with drawing():
        figure = Figure()
        axes = figure.add_subplot()
        axes.plot([1, 2, 3], values, label=label)
        axes.fill_between([1, 2, 3], values, [0.0, 0.0, 0.0])
        axes.set(**texts)
    return figure


def test_drawings(tmp_path):
    first = _figure([1.0, 2.0, float("nan")], xlabel="<Step>")
    (tmp_path / "first.svg").write_bytes(render(first, "svg"))
    shown = shown_by(tmp_path / "first.svg")
    assert shown == json.loads(json.dumps(drawn(first)))
    assert same_drawing(shown, drawn(_figure([1.0, 2.0 + 1e-9, float("nan")], xlabel="<Step>")))
    for other in (
        _figure([1.0, 2.001, float("nan")], xlabel="<Step>"),
        _figure([1.0, 2.0, 3.0], xlabel="<Step>"),
        _figure([1.0, 2.0, float("nan")], xlabel="Step"),
        _figure([1.0, 2.0, float("nan")], "b", xlabel="<Step>"),
        _figure([1.0, 2.0, float("nan")], xlabel="<Step>", yscale="log"),
    ):
        assert not same_drawing(shown, drawn(other))
    # Zero but for rounding.
    assert same_drawing([1.0, 3e-17], [1.0, -2e-17])
    assert not same_drawing([1.0, 3e-7], [1.0, -2e-7])

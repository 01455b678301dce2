"""Figures: what they show, and that nobody's matplotlib settings have a part in them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from tests.train.documents import same_drawing
from train.report.drawing import drawing, drawn, render
from train.report.figures import draw_curves, write_figures

ROOT = Path(__file__).parents[3]
CURVES = {"sgdm": [[0.5, 0.25, 0.125], [0.5, 0.75, 0.25]], "rsgdm": [[1.0, 0.5, 0.5]]}


def _curves(rows, *, is_accuracy=False):
    with drawing():
        return draw_curves({"sgdm": rows, "rsgdm": rows[:1]}, "Loss", is_accuracy=is_accuracy)


def test_means_and_bands():
    with drawing():
        figure = draw_curves(CURVES, "Test loss", is_accuracy=False)
    (shown,) = drawn(figure)
    assert shown["labels"] == ["", "Epoch", "Test loss"]
    assert shown["scales"] == ["linear", "log"]
    assert shown["lines"] == [
        ["sgdm (n = 2)", [1, 2, 3], [0.5, 0.5, 0.1875]],
        ["rsgdm (n = 1)", [1, 2, 3], [1, 0.5, 0.5]],
    ]
    # Two values lie at less than their standard deviation, √2 · 0.25, from their mean.
    (band,) = shown["bands"]
    assert set(zip(*band, strict=True)) == {
        *((1, 0.5), (2, 0.25), (2, 0.75), (3, 0.125), (3, 0.25)),
    }


def test_accuracies_are_in_per_cent_and_their_end_is_enlarged():
    rows = [[0.25, *[0.5] * 8], [0.75, *[0.5] * 8]]
    whole, end = drawn(_curves(rows, is_accuracy=True))
    assert whole["scales"] == ["linear", "linear"]
    assert whole["lines"][1] == ["rsgdm (n = 1)", [*range(1, 10)], [25, *[50] * 8]]
    assert end["lines"][0][1:] == [[6, 7, 8, 9], [50] * 4]


NONE = None


def test_epochs_without_an_evaluation_break_no_line():
    """As with --evaluate-every 2; what one run alone lacks is a gap."""
    curves = {"sgdm": [[NONE, 2.0, NONE, 1.0]] * 2, "rsgdm": [[NONE, 4.0, NONE, NONE]]}
    with drawing():
        (shown,) = drawn(draw_curves(curves, "Test loss", is_accuracy=False))
    assert shown["lines"] == [
        ["sgdm (n = 2)", [2, 4], [2, 1]],
        ["rsgdm (n = 1)", [2, 4], [4, NONE]],
    ]


ODD = {
    "zero, as of one class only": ([[0.0] * 5] * 2, "linear"),
    "zero now and then": ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], "linear"),
    "one epoch": ([[0.5]], "log"),
    "all alike": ([[0.25] * 5] * 3, "log"),
    "alike but for rounding": ([[0.3, 0.3 + 1e-16]] * 3, "log"),
    "least of float32": ([[1e-45] * 5] * 2, "log"),
    "most of float32": ([[3e38, 1.0, 2.0]] * 2, "log"),
    "of all sizes": ([[1e-40, 1e38, 2.0]] * 2, "log"),
    "a gap": ([[NONE, 1.0, 2.0], [1.0, 2.0, 3.0]], "log"),
    "nothing": ([[NONE] * 3] * 2, "linear"),
    "no run": ([], "linear"),
}


@pytest.mark.parametrize("name", ODD)
def test_losses_of_every_size(name):
    rows, scale = ODD[name]
    figure = _curves(rows)
    render(figure, "svg")  # a warning is an error
    (axes,) = figure.axes
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    numbers = [place for place in axes.get_yticks() if low <= place <= high]
    assert len(numbers) >= (1 if name == "alike but for rounding" else 2)


def test_a_name_that_the_font_lacks_is_no_warning():
    with drawing():
        figure = draw_curves({"sgdm": [[1.0, 2.0]]}, "損失 🙂", is_accuracy=False)
    assert drawn(figure)[0]["labels"][2] == "損失 🙂"
    for suffix in ("png", "svg"):
        render(figure, suffix, text_as_paths=True)


# Anybody's settings: text by LaTeX, which may be missing, other sizes, scales, fonts, formats.
USERS: dict[str, object] = {
    "text.usetex": True,
    "font.family": "No Such Font",
    "font.size": 30,
    "mathtext.fontset": "cm",
    "figure.dpi": 400,
    "figure.autolayout": True,
    "figure.facecolor": "black",
    "savefig.bbox": "tight",
    "savefig.format": "pdf",
    "savefig.dpi": 7,
    "savefig.transparent": True,
    "axes.formatter.use_locale": True,
    "axes.formatter.limits": [-1, 1],
    "axes.grid": True,
    "axes.xmargin": 0.5,
    "axes.titlesize": 40,
    "xtick.major.size": 30,
    "lines.linewidth": 9,
    "lines.marker": "o",
    "path.simplify_threshold": 1.0,
    "svg.fonttype": "path",
    "svg.hashsalt": "mine",
    "toolbar": "None",
}


def test_a_users_settings_have_no_part_in_figures_nor_ours_in_theirs():
    def pictures():
        figure = _curves([[0.25] * 9, [0.5] * 9], is_accuracy=True)
        return [render(figure, suffix) for suffix in ("png", "svg")]

    # In one process, so that it depends on no version and no processor.
    expected = pictures()
    with mpl.rc_context(USERS):
        before = dict(mpl.rcParams)
        assert pictures() == expected
        assert dict(mpl.rcParams) == before


SCRIPT = """
import json, os, sys
from train.report.drawing import Figure, drawing, drawn, mpl, render
from matplotlib.backend_bases import register_backend
for suffix in ("png", "svg"):  # as packages with a canvas of their own do
    register_backend(suffix, "matplotlib.backends.backend_pdf")
with drawing():
    figure = Figure(layout="constrained")
    figure.add_subplot().loglog([1, 2, 3], [0.1, 0.01, 1], label="α")
png, svg = (render(figure, suffix) for suffix in ("png", "svg"))
print(json.dumps({
    "shown": drawn(figure), "png": png[:4].hex(), "svg": svg[:5].decode(),
    "variable": os.environ["MPLBACKEND"], "usetex": mpl.rcParams["text.usetex"],
    "pyplot": "matplotlib.pyplot" in sys.modules,
}))
"""


@pytest.mark.parametrize(
    "backend",
    [
        *("nonsense", "module://matplotlib_inline.backend_inline"),
        pytest.param("inline", marks=pytest.mark.slow),
    ],
)
def test_any_backend_and_matplotlibrc(backend, tmp_path):
    lines = [
        f"{name}: {value if not isinstance(value, list) else str(value)[1:-1]}"
        for name, value in USERS.items()
    ]
    (tmp_path / "matplotlibrc").write_text("\n".join([*lines, "backend: rubbish", "rubbish"]))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["variable"] == backend
    assert found["usetex"] is True  # theirs, outside of our figures
    assert not found["pyplot"]
    assert (found["png"], found["svg"]) == ("89504e47", "<?xml")
    (axes,) = found["shown"]
    assert axes["lines"] == [["α", [1, 2, 3], [0.1, 0.01, 1]]]


def test_matplotlib_is_imported_in_one_place():
    sources = [*ROOT.glob("train/**/*.py"), *ROOT.glob("docs/*.py"), *ROOT.glob("benchmarks/*.py")]
    users = [
        path.name
        for path in sources
        if re.search(r"^\s*(import|from) (matplotlib|pylab)", path.read_text(), re.M)
    ]
    assert users == ["drawing.py"]


def test_files(tmp_path):
    with drawing():
        figure = draw_curves(CURVES, "Test loss", is_accuracy=False)
    files = write_figures(tmp_path, {"test_loss": figure})
    assert files == [tmp_path / "test_loss.png", tmp_path / "test_loss.svg"]
    png, svg = (path.read_bytes() for path in files)
    assert png.startswith(b"\x89PNG")
    # 4.6 × 3.3 inches at 200 dots.
    assert np.frombuffer(png[16:24], ">u4").tolist() == pytest.approx([920, 660], abs=1)
    assert ">sgdm (n = 2)<" in svg.decode()  # text stays text
    assert b"<dc:date>" not in svg
    assert same_drawing(drawn(figure), drawn(figure))

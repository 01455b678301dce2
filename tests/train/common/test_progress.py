"""What a terminal shows, a poor one and a narrow one too."""

import re

import pytest

from train.common import progress
from train.common.progress import Display

METRICS = {"train_accuracy": 0.5, "validation_accuracy": 0.98765}
RUN = "rsgdm_compact-seed10"


def _shown(epochs: int, capsys, monkeypatch, **environment: str) -> str:
    """Standard error of a study of one run, as on a terminal of this kind."""
    for name, value in ({"TTY_COMPATIBLE": "1", "TERM": "xterm"} | environment).items():
        monkeypatch.setenv(name, value)
    with Display(epochs) as display:
        for epoch in range(1, epochs + 1):
            display.epoch(RUN, METRICS | {"epoch": epoch}, epochs)
        if display._bar is not None:
            display._bar.refresh()
    return capsys.readouterr().err


@pytest.mark.parametrize("width", ["80", "120"])
def test_a_bar_shows_every_number_whole(width, capsys, monkeypatch):
    said = _shown(1000, capsys, monkeypatch, COLUMNS=width)
    assert "\x1b[" in said
    assert "…" not in said
    for text in (RUN, "1000/1000", "50.00%", "98.77%"):
        assert text in said


@pytest.mark.parametrize(
    "environment",
    [
        *({"TERM": "dumb"}, {"TERM": "unknown"}, {"TTY_COMPATIBLE": "0"}, {"TTY_INTERACTIVE": "0"}),
        *({"COLUMNS": "79"}, {"COLUMNS": "60"}, {"COLUMNS": "20"}, {"COLUMNS": "1"}),
    ],
)
def test_plain_lines_where_a_bar_has_no_place(environment, capsys, monkeypatch):
    said = _shown(2, capsys, monkeypatch, **{"COLUMNS": "100"} | environment)
    assert said.splitlines() == [
        f"[   {epoch}/2] {RUN} epoch   {epoch}/2  train 50.00%  validation 98.77%"
        for epoch in (1, 2)
    ]


@pytest.mark.parametrize("columns", ["0", "nonsense", ""])
def test_a_width_that_is_none(columns, capsys, monkeypatch):
    said = _shown(1, capsys, monkeypatch, COLUMNS=columns, TTY_COMPATIBLE="0")
    assert re.search("train 50.00%  validation 98.77%$", said, re.M)


def test_a_name_is_shown_as_it_is(capsys):
    progress.say("/runs/:smile:/[bold]x[/bold] " + "long " * 40)
    assert capsys.readouterr().err == "/runs/:smile:/[bold]x[/bold] " + "long " * 40 + "\n"

"""`make figures`: the figures of the theory are what its formulas say."""

import sys
from pathlib import Path

import pytest

from tests.train.documents import same_drawing, shown_by
from train.report.drawing import drawing, drawn

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools"))
import theory_figures  # noqa: E402


@pytest.mark.parametrize("name", theory_figures.FIGURES)
def test_figures_are_what_the_formulas_say(name):
    with drawing():
        shown = drawn(theory_figures.FIGURES[name]())
    file = ROOT / "docs" / "figures" / f"{name}.svg"
    assert same_drawing(shown_by(file), shown), "run `make figures`"

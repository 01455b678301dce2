"""What docs/theory.md says beyond the optimizers themselves."""

import re
from pathlib import Path
from statistics import NormalDist

import pytest

ROOT = Path(__file__).parents[2]
THEORY = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")


def _seeds(std: float, difference: float) -> float:
    z = NormalDist().inv_cdf
    return 2 * (z(0.975) + z(0.80)) ** 2 * (std / difference) ** 2


def test_seeds_for_80_percent_power():
    assert _seeds(1, 1) == pytest.approx(15.7, abs=0.01)
    assert [round(_seeds(std, 0.14)) for std in (0.15, 0.20)] == [18, 32]
    assert [round(_seeds(std, 0.57) + 0.5) for std in (0.30, 0.35)] == [5, 6]


def test_every_test_that_the_theory_names_exists():
    sources = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("*.py"))
    named = re.findall(r"`(test_\w+)`", THEORY)
    assert len(named) > 15
    for name in named:
        assert f"def {name}(" in sources, name


def test_every_figure_exists():
    figures = re.findall(r"\]\((figures/\w+\.svg)\)", THEORY)
    assert len(figures) == 5
    for figure in figures:
        assert (ROOT / "docs" / figure).read_text(encoding="utf-8").startswith("<?xml")

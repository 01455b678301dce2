"""What docs/theory.md says beyond the optimizers themselves."""

import re
from math import ceil
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
    written = re.findall(
        r"δ = ([\d.]+) .*?σ = ([\d.]+) to ([\d.]+) .*?for (\d+) (?:to|or) (\d+)",
        " ".join(THEORY.split()),
    )
    assert len(written) == 2
    for difference, low, high, *seeds in written:
        needed = [ceil(_seeds(float(std), float(difference))) for std in (low, high)]
        assert needed == [int(number) for number in seeds]


def test_every_section_names_tests_that_exist():
    for section in THEORY.split("\n## ")[1:]:
        held = section.partition("\nHeld by ")[2]
        names = re.findall(r"`(test_\w+(?:\.py)?)`", held)
        assert len(names) >= 2, section
        for name in names:
            if name.endswith(".py"):
                source = (Path(__file__).parent / name).read_text(encoding="utf-8")
            else:
                assert f"def {name}(" in source, name


def test_every_figure_exists():
    figures = re.findall(r"\]\((figures/\w+\.svg)\)", THEORY)
    assert len(figures) == 5
    for figure in figures:
        assert (ROOT / "docs" / figure).read_text(encoding="utf-8").startswith("<?xml")

"""Which comparisons a study asks for: `--baseline`, `--compare`, and how many seeds they need."""

import re

import pytest

from train.common.errors import InputError
from train.study.cli import parse
from train.study.comparing import too_few_seeds
from train.study.presets import PRESETS
from train.study.validation import check

DEMO = PRESETS["demo"]  # sgdm, rsgdm, nesterov


def _said(**settings):
    config = DEMO.replace(**settings)
    check(config)
    return too_few_seeds(config.study, config.runs("0123"))


@pytest.mark.parametrize(
    ("settings", "comparisons", "needed"),
    [
        # The smallest p of n pairs is 2/2ⁿ; Holm's first step asks for 5 % over the comparisons.
        ({"optimizers": ("sgdm", "rsgdm")}, 1, 6),
        ({}, 2, 7),
        ({"compare": ("rsgdm:nesterov",)}, 1, 6),
        ({"compare": ("rsgdm:sgdm", "nesterov:sgdm", "rsgdm:nesterov")}, 3, 7),
        ({"baseline": "nesterov"}, 2, 7),
        ({"learning_rate": (0.1, 0.2, 0.4)}, 6, 8),
        ({"learning_rate": {"sgdm": (0.1, 0.2), "rsgdm": (0.2, 0.4), "nesterov": (9.0,)}}, 1, 6),
    ],
)
def test_the_seeds_that_a_family_needs(settings, comparisons, needed):
    assert 2 * comparisons / 2**needed <= 0.05 < 2 * comparisons / 2 ** (needed - 1)
    assert _said(seeds=(0, needed), **settings) is None
    said = _said(seeds=(0, needed - 1), **settings)
    assert said is not None
    assert re.findall(r"\d+", said) == [f"{needed - 1}", f"{comparisons}", f"{needed}"]


def test_a_study_of_one_arm_compares_nothing():
    assert _said(optimizers=("sgdm",), seeds=(0, 1)) is None


def test_seeds_that_are_there_already_count():
    runs = [run for a, b in ((0, 4), (4, 8)) for run in DEMO.replace(seeds=(a, b)).runs("0123")]
    assert too_few_seeds(DEMO.study, runs) is None
    assert too_few_seeds(DEMO.study, runs[: len(runs) // 2]) is not None


def test_options_are_the_reports():
    study = parse(["--preset", "demo", "--compare", "rsgdm:nesterov", "sgdm:nesterov"]).config.study
    assert study.compare == ("rsgdm:nesterov", "sgdm:nesterov")
    assert parse(["--preset", "demo", "--baseline", "rsgdm"]).config.study.baseline == "rsgdm"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"baseline": "adam"}, "--baseline: 'adam' is no arm; allowed: sgdm, rsgdm, nesterov"),
        ({"compare": ("rsgdm:adam",)}, "--compare: 'adam' is no arm; allowed: sgdm, rsgdm"),
        ({"compare": ("rsgdm",)}, "--compare: 'rsgdm' is not two arms A:B"),
        ({"compare": ("rsgdm:sgdm", "sgdm:rsgdm")}, "--compare: 'sgdm:rsgdm' is given twice"),
        ({"baseline": "sgdm", "compare": ("rsgdm:sgdm",)}, "compare: not together with baseline"),
    ],
)
def test_unknown_names(settings, why):
    with pytest.raises(InputError, match=re.escape(why)):
        check(DEMO.replace(**settings))

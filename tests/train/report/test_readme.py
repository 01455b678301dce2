"""The numbers of the README's answer, from the runs themselves."""

import re

import numpy as np
import pytest

from tests.train.documents import paragraph, shows
from tests.train.report import raw_results as raw

README = (raw.ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (raw.ROOT / "docs" / "results.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.slow  # it reads every run


def test_the_readmes_intervals_are_those_of_the_tables():
    rows = [
        re.search(rf"^\| 6 \| {data} \| {arm} − sgdm, points.*$", RESULTS, re.M)[0]
        for data, arm in (("cifar10", "rsgdm"), ("cifar10", "nesterov"), ("digits", "rsgdm"))
    ]
    exact = np.array([raw.intervals(row)[0] for row in rows])
    # Half of the last digit that is printed, here and in the table.
    np.testing.assert_allclose(
        raw.intervals(paragraph(README, "**Best rates.**")), exact, atol=0.055
    )


def test_the_readme():
    section = README[README.index("## Does it help?") : README.index("![Leads over sgdm")]
    assert len(raw.lines(section)) <= 1 + 12
    equal, best = (paragraph(README, f"**{kind} rates.**") for kind in ("Equal", "Best"))
    for study in (raw.RATES, raw.CIFAR):
        for rate in (0.1, 1.6):
            assert shows(equal, raw.percent_below(study, rate), 0)
    for study, arm in (
        ("cifar10/best", "rsgdm"),
        ("cifar10/best", "nesterov"),
        (raw.BEST, "rsgdm"),
    ):
        assert shows(best, raw.points_ahead(study, arm), 1)
    for arm in ("sgdm", "nesterov"):  # the lowest and the highest
        assert shows(best, raw.accuracies("cifar10/best", arm).mean(), 0)
    for arm in ("sgdm", "rsgdm"):
        assert shows(best, raw.accuracies(raw.BEST, arm).mean(), 1)

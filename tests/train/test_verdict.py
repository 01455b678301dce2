"""The verdict: adjusted p values, the equivalence test, and the words that follow from them."""

import numpy as np
import pytest
from scipy import stats

from train.report.verdict import Pairs, beyond_p, compare, holm, within_p

MARGIN = 0.003
NO_LOSS = np.array([])

# R's `sleep`: extra hours under two drugs, ten patients.
SLEEP = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]) - np.array(
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
)


def _verdict(points, name="rsgdm"):
    pairs = Pairs(np.array(points) / 100, NO_LOSS, diverged=0)
    (found,) = compare({name: pairs}, MARGIN)
    return found.direction, found.size


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.04, 0.03], [0.06, 0.06]),
        ([0.01, 0.02, 0.9], [0.03, 0.04, 0.9]),
        ([0.6, 0.4], [0.8, 0.8]),
        ([0.7, 0.6], [1.0, 1.0]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.03], [0.03]),
        ([], []),
    ],
)
def test_holm_by_hand(p, adjusted):
    np.testing.assert_allclose(holm(p), adjusted, rtol=1e-12)


def test_equivalence_test_by_hand():
    # The mean is −1.58 and its standard error 0.38896: t = −2.7766 against −0.5.
    assert within_p(SLEEP, 0.5) == pytest.approx(stats.t.sf(-2.7766, 9), rel=1e-4)
    assert beyond_p(SLEEP, 0.5) == pytest.approx(2 * stats.t.cdf(-2.7766, 9), rel=1e-4)
    # From the other side t is the same: to the margin 2, (−1.58 + 2)/0.38896 = 1.0798.
    assert within_p(SLEEP, 2) == pytest.approx(stats.t.sf(1.0798, 9), rel=1e-4)
    assert within_p(-SLEEP, 2) == pytest.approx(stats.t.sf(1.0798, 9), rel=1e-4)


def test_sizes_are_positions_of_the_intervals():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(100):
        differences = rng.normal(rng.normal(0, 1.5), 1, rng.integers(2, 12))
        interval = stats.ttest_1samp(differences, 0).confidence_interval
        low, high = interval(0.9)
        assert (within_p(differences, 1.0) < 0.05) == (low > -1 and high < 1)
        low, high = interval(0.95)
        assert (beyond_p(differences, 1.0) < 0.05) == (low > 1 or high < -1)
        seen.add((within_p(differences, 1.0) < 0.05, beyond_p(differences, 1.0) < 0.05))
    assert len(seen) == 3


SPREAD = np.array([-3, -2, -1, 0, 0, 1, 2, 3]) / 100
NOT = "not distinguishable"


@pytest.mark.parametrize(
    ("points", "direction", "size"),
    [
        (1 + SPREAD, "better", "beyond the margin"),
        (-1 + SPREAD, "worse", "beyond the margin"),
        (0.1 + SPREAD, "better", "within the margin"),
        (-0.1 + SPREAD, "worse", "within the margin"),
        (0.31 + SPREAD, "better", "undecided"),
        (-0.29 + SPREAD, "worse", "undecided"),
        (SPREAD, NOT, "within the margin"),
        (0.1 + 30 * SPREAD, NOT, "undecided"),
        # Ten pairs of which one is far off: the mean alone is large.
        ([0.01] * 4 + [-0.01] * 5 + [9.0], NOT, "undecided"),
        # Too few pairs for the permutation test, however clear to a t test.
        (1 + SPREAD[:5], NOT, "undecided"),
        (0.01 + SPREAD[:5], NOT, "within the margin"),
        # No spread: signs count, but there is no scale to measure the size on.
        ([1.0] * 8, "better", "undecided"),
        ([-1.0] * 6, "worse", "undecided"),
        ([1.0] * 5, NOT, "undecided"),
        ([0.0] * 8, NOT, "undecided"),
        ([1.0], NOT, "undecided"),
        ([], NOT, "undecided"),
    ],
)
def test_verdicts(points, direction, size):
    assert _verdict(points) == (direction, size)


def test_only_the_primary_comparison_stays_unadjusted():
    clear = Pairs(np.arange(1.0, 7), np.arange(1.0, 7), 0)  # p = 2/64
    tie = Pairs(np.array([1.0, -1, 1, -1]), np.array([1.0, -1, 1, -1]), 0)  # p = 1
    none = Pairs(NO_LOSS, NO_LOSS, 0)
    found = {
        of.optimizer: of
        for of in compare({"rsgdm": clear, "nesterov": clear, "adam": tie, "sgd": none}, 0.5)
    }
    for p in ("accuracy_p", "loss_p"):
        values = {name: (getattr(of, p).raw, getattr(of, p).adjusted) for name, of in found.items()}
        assert values == {
            "rsgdm": (0.03125, 0.03125 if p == "accuracy_p" else 5 * 0.03125),
            "nesterov": (0.03125, 5 * 0.03125),  # of five: each measure, but the primary one's
            "adam": (1, 1),
            "sgd": (None, None),
        }
    assert (found["rsgdm"].direction, found["nesterov"].direction) == ("better", NOT)
    for p in ("within_p", "beyond_p"):
        raw = {name: getattr(of, p).raw for name, of in found.items()}
        adjusted = {name: getattr(of, p).adjusted for name, of in found.items()}
        assert adjusted["rsgdm"] == raw["rsgdm"]
        expected = holm([raw["nesterov"], raw["adam"]])
        assert [adjusted["nesterov"], adjusted["adam"]] == expected
        assert expected[0] >= raw["nesterov"]


def _too_many(wrong, studies):
    """Whether more than 5 % of studies, by more than chance, were wrong."""
    return stats.binomtest(wrong, studies, 0.05, alternative="greater").pvalue < 0.001


@pytest.mark.parametrize("studies", [40, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("others", [("rsgdm",), ("nesterov", "adam", "sgd")])
def test_no_verdict_is_wrong_in_more_than_5_of_100_studies(others, studies, monkeypatch):
    monkeypatch.setattr("train.report.verdict.pairs_needed", lambda _: None)  # no part of a verdict
    rng = np.random.default_rng(len(others))
    wrong = {"direction": 0, "within": 0, "beyond": 0}
    for _ in range(studies):
        noise = rng.normal(0, 0.001, (len(others), 7))
        pairs = {name: Pairs(of, NO_LOSS, 0) for name, of in zip(others, noise, strict=True)}
        wrong["direction"] += any(of.direction != NOT for of in compare(pairs, MARGIN))
        # At the margin itself the true difference is neither within nor beyond it.
        at = {name: Pairs(of.accuracy + MARGIN, NO_LOSS, 0) for name, of in pairs.items()}
        sizes = {of.size for of in compare(at, MARGIN)}
        wrong["within"] += "within the margin" in sizes
        wrong["beyond"] += "beyond the margin" in sizes
    assert not any(_too_many(count, studies) for count in wrong.values()), wrong
    if studies >= 400:  # the level is made use of
        assert wrong["direction"] > 0.02 * studies
        assert wrong["within"] > 0.02 * studies

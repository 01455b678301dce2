"""Differences, spreads, Holm's method, detectable differences and pairing, by hand and by SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from train.report.statistics import (
    Difference,
    Pairing,
    SignFlips,
    Spread,
    attainable_level,
    detectable,
    holm,
    least_pairs,
    paired_differences,
)


def test_few_or_equal_differences():
    assert Difference.of(np.array([])) == Difference(0, None, None, None, None, 0.05)
    assert Difference.of(np.array([2.0])) == Difference(1, 2.0, None, None, None, 0.05)
    assert Difference.of(np.full(5, 2.0)) == Difference(5, 2.0, 0.0, None, None, 0.05)
    assert Difference.of(np.full(6, 2.0)) == Difference(6, 2.0, 0.0, 2.0, 2.0, 0.05)
    assert Spread.of([]) == Spread(0, None, None)
    assert Spread.of([2.0]) == Spread(1, 2.0, None)
    assert [SignFlips(np.full(n, 0.01)).p() for n in (1, 2, 5, 6)] == [1, 0.5, 2 / 2**5, 2 / 2**6]
    assert SignFlips(np.zeros(8)).p() == 1
    assert SignFlips(np.zeros(8)).interval(0.05) == (0, 0)
    assert SignFlips(np.array([0.1, -0.1])).p() == 1


def test_spread_divides_by_n_minus_one():
    spread = Spread.of([1.0, 2.0, 4.0])
    assert spread.mean == pytest.approx(7 / 3)
    assert spread.std == pytest.approx(np.sqrt(7 / 3))


def test_a_difference_of_rounding_size_is_zero():
    assert 0.1 + 0.2 != 0.3
    assert paired_differences([0.1 + 0.2, 1e6, 5.0], [0.3, 1e6 - 1e-3, 5.0]).tolist() == [
        0,
        pytest.approx(1e-3),
        0,
    ]


def test_least_pairs_are_those_whose_smallest_p_is_small_enough():
    for comparisons in range(1, 40):
        n = least_pairs(comparisons)
        assert 2 / 2**n <= 0.05 / comparisons < 2 / 2 ** (n - 1)
        clear = [SignFlips(np.ones(n)).p()] + [1.0] * (comparisons - 1)
        assert holm(clear)[0][0] <= 0.05
        too_few = [SignFlips(np.ones(n - 1)).p()] + [1.0] * (comparisons - 1)
        assert holm(too_few)[0][0] > 0.05


@pytest.mark.parametrize(
    ("p", "adjusted", "levels"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02], [3, 2, 2, 4]),
        ([0.04, 0.03], [0.06, 0.06], [2, 2]),
        ([0.01, 0.02, 0.9], [0.03, 0.04, 0.9], [3, 2, 1]),
        ([0.01, 0.01, 0.9], [0.03, 0.03, 0.9], [3, 3, 1]),
        ([0.6, 0.4], [0.8, 0.8], [2, 2]),
        ([0.7, 0.6], [1.0, 1.0], [2, 2]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06], [3, 3, 3]),
        ([0.03], [0.03], [1]),
        ([], [], []),
    ],
)
def test_holm_by_hand(p, adjusted, levels):
    found = holm(p)
    np.testing.assert_allclose(found[0], adjusted, rtol=1e-12)
    np.testing.assert_allclose(found[1], [0.05 / level for level in levels], rtol=1e-12)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 1024).map(lambda k: k / 1024), min_size=1, max_size=8))
def test_holms_level_decides_as_the_adjusted_p(p):
    for raw, adjusted, level in zip(p, *holm(p), strict=True):
        assert (adjusted <= 0.05) == (raw <= level)


def test_attainable_level_is_a_p_value_that_exists():
    assert attainable_level(5, 0.05) == 0
    assert attainable_level(6, 0.05) == 2 / 64
    assert attainable_level(8, 0.05) == 12 / 256
    assert attainable_level(8, 0.05 / 3) == 4 / 256


def test_detectable_by_the_noncentral_t_distribution():
    for n, level in ((6, 0.05), (8, 0.05 / 3), (20, 0.05), (30, 0.025)):
        effect = detectable(n, 1.0, level)
        quantile = stats.t.isf(attainable_level(n, level) / 2, n - 1)
        t = stats.nct(n - 1, effect * np.sqrt(n))
        power = t.sf(quantile) + t.cdf(-quantile)
        assert power == pytest.approx(0.8, abs=1e-5)  # the solver ends there
        assert detectable(n, 3.0, level) == pytest.approx(3 * effect)
    assert detectable(5, 1.0, 0.05) is None


def test_power_of_the_sign_flip_test_at_the_detectable_difference():
    rng = np.random.default_rng(5)
    studies = 1000
    for n in (8, 12):
        effect = detectable(n, 1.0, 0.05)
        found = sum(SignFlips(each).p() <= 0.05 for each in rng.normal(effect, 1, (studies, n)))
        # It is not the t test: a little less power. Three standard errors of the simulation.
        assert 0.79 - 0.04 < found / studies < 0.79 + 0.04


def test_gain_of_pairing():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 3, 4000)
    a, b = shared + rng.normal(0, 1, (2, 4000))
    found = Pairing.of(a, b)
    assert found.correlation == pytest.approx(stats.pearsonr(a, b).statistic)
    # Variances of 10 each, 2 of the difference; four standard errors of the ratio.
    assert found.gain == pytest.approx(10, rel=0.15)
    assert Pairing.of([1.0, 2.0], [1.0, 3.0]) == Pairing(None, None)
    assert Pairing.of([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]).gain is None  # no spread of differences
    assert Pairing.of([1.0, 1.0, 1.0], [2.0, 3.0, 4.0]) == Pairing(None, 1.0)
    # The mean of three times 0.1 is not 0.1.
    assert Pairing.of([0.1, 0.1, 0.1], [0.2, 0.3, 0.4]).correlation is None

"""The report's statistics against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from train.comparison import Spread, paired_difference


def test_paired_interval_is_scipys():
    rng = np.random.default_rng(0)
    ours = dict(enumerate(rng.standard_normal(7)))
    base = dict(enumerate(rng.standard_normal(7)))
    difference = paired_difference(ours, base)
    test = stats.ttest_rel(list(ours.values()), list(base.values()))
    interval = test.confidence_interval(0.95)
    assert difference.n == 7
    np.testing.assert_allclose((difference.low, difference.high), interval, rtol=1e-12)
    np.testing.assert_allclose(difference.mean, (interval.low + interval.high) / 2, rtol=1e-12)


def test_pairs_are_seeds_that_both_have():
    difference = paired_difference({1: 5.0, 2: 7.0, 3: 100.0}, {9: -50.0, 2: 4.0, 1: 1.0})
    assert (difference.n, difference.mean) == (2, 3.5)


def test_few_seeds():
    assert paired_difference({1: 1.0}, {2: 1.0}) is None
    single = paired_difference({1: 3.0}, {1: 1.0})
    assert (single.mean, single.low, single.high) == (2.0, None, None)
    assert Spread.of([]) == Spread(0, None, None)
    assert Spread.of([2.0]) == Spread(1, 2.0, None)


def test_spread_divides_by_n_minus_one():
    spread = Spread.of([1.0, 2.0, 4.0])
    assert spread.mean == pytest.approx(7 / 3)
    assert spread.std == pytest.approx(np.sqrt(7 / 3))

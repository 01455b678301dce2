"""The report's statistics against published examples, SciPy's other paths, and simulation."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from train.report.statistics import (
    MOST_PAIRS,
    RESAMPLES,
    Difference,
    Spread,
    paired_differences,
    pairs_needed,
    permutation_p,
)

# Darwin's crossed less self-fertilised maize, in eighths of an inch; Fisher, The Design of
# Experiments (1935), chapter III.
DARWIN = np.array([49.0, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])


def test_paired_interval_is_scipys():
    rng = np.random.default_rng(0)
    ours, base = rng.standard_normal((2, 7))
    difference = Difference.of(paired_differences(dict(enumerate(ours)), dict(enumerate(base))))
    interval = stats.ttest_rel(ours, base).confidence_interval(0.95)
    assert difference.n == 7
    # Differences are rounded to 12 decimals.
    np.testing.assert_allclose((difference.low, difference.high), interval, atol=2e-12)
    np.testing.assert_allclose(difference.mean, (interval.low + interval.high) / 2, atol=2e-12)


def test_interval_of_darwins_maize():
    # As R's t.test prints it, in inches.
    difference = Difference.of(DARWIN / 8)
    assert difference.mean == pytest.approx(2.616667, abs=1e-6)
    assert difference.low == pytest.approx(0.003899165, abs=1e-9)
    assert difference.high == pytest.approx(5.229434169, abs=1e-9)


def test_interval_covers_the_true_mean_in_95_of_100_studies():
    rng = np.random.default_rng(1)
    found = [Difference.of(rng.normal(0.2, 1.0, 6)) for _ in range(500)]
    covered = sum(of.low < 0.2 < of.high for of in found)
    assert stats.binomtest(covered, len(found), 0.95).pvalue > 0.001


def test_pairs_are_seeds_that_both_have():
    differences = paired_differences({1: 5.0, 2: 7.0, 3: 100.0}, {9: -50.0, 2: 4.0, 1: 1.0})
    assert differences.tolist() == [4.0, 3.0]
    assert paired_differences({1: 1.0}, {2: 1.0}).tolist() == []


def test_equal_differences_of_accuracies_are_equal():
    ours = {seed: (seed + 1) / 449 for seed in range(400)}
    base = {seed: seed / 449 for seed in range(400)}
    assert len({ours[seed] - base[seed] for seed in ours}) > 1  # in floating point they are not
    assert len(set(paired_differences(ours, base))) == 1


def test_few_or_equal_differences():
    assert Difference.of(np.array([])) == Difference(0, None, None, None, None)
    assert Difference.of(np.array([2.0])) == Difference(1, 2.0, None, None, None)
    assert Difference.of(np.array([2.0, 2.0])) == Difference(2, 2.0, 0.0, None, None)
    assert Spread.of([]) == Spread(0, None, None)
    assert Spread.of([2.0]) == Spread(1, 2.0, None)


def test_spread_divides_by_n_minus_one():
    spread = Spread.of([1.0, 2.0, 4.0])
    assert spread.mean == pytest.approx(7 / 3)
    assert spread.std == pytest.approx(np.sqrt(7 / 3))


def test_permutation_test_of_darwins_maize():
    # Fisher counted them: 863 of 32,768 have the observed sum or a larger one.
    assert permutation_p(DARWIN) == 2 * 863 / 32768
    assert permutation_p(-DARWIN) == 2 * 863 / 32768


@pytest.mark.parametrize("examples", [449, 10_000])
def test_permutation_test_in_exact_arithmetic(examples):
    # Few different counts: many sums tie, and in floating point ties are easily lost.
    rng = np.random.default_rng(examples)
    for n in (2, 3, 5, 8):
        counts = rng.integers(-3, 5, n).tolist()
        sums = [
            sum(Fraction(sign * count, examples) for sign, count in zip(signs, counts, strict=True))
            for signs in itertools.product((1, -1), repeat=n)
        ]
        tail = sum(value >= abs(sums[0]) for value in sums)
        exact = min(1.0, 2 * tail / 2**n)
        base = rng.integers(examples // 2, examples - 10, n).tolist()
        theirs = {seed: base[seed] / examples for seed in range(n)}
        ours = {seed: (base[seed] + counts[seed]) / examples for seed in range(n)}
        assert permutation_p(paired_differences(ours, theirs)) == exact, counts


def test_permutation_test_of_many_pairs_is_near_the_exact_one_and_always_the_same():
    counts = np.random.default_rng(3).integers(-5, 9, 30)
    # The exact distribution of the signed sum, by convolution.
    distribution = np.ones(1)
    for count in abs(counts):
        step = np.zeros(2 * count + 1)
        step[0] += 0.5
        step[-1] += 0.5
        distribution = np.convolve(distribution, step)
    reach = int(abs(counts).sum())
    exact = 2 * distribution[reach + int(counts.sum()) :].sum()
    assert 0.02 < exact < 0.5
    p = permutation_p(counts / 449)
    assert p == pytest.approx(exact, abs=4 * 2 * np.sqrt(exact / 2 / RESAMPLES))
    assert p == permutation_p(counts / 449)


def test_permutation_test_of_few_or_equal_differences():
    assert permutation_p(np.array([])) is None
    assert permutation_p(np.array([3.0])) == 1
    assert permutation_p(np.zeros(4)) == 1
    assert permutation_p(np.array([0.1, -0.1])) == 1
    # Below the level only from six pairs on.
    assert permutation_p(np.full(5, 0.01)) == 2 / 2**5
    assert permutation_p(np.full(6, 0.01)) == 2 / 2**6


def _two(mean, std):
    """Two values of that mean and standard deviation."""
    return mean + std * np.array([1, -1]) / np.sqrt(2)


@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_pairs_needed_for_cohens_effects(effect, n):
    # As G*Power and R's pwr.t.test(d=, power=0.8, type="paired") have it, rounded up.
    assert pairs_needed(_two(effect, 1)) == n
    assert pairs_needed(_two(-3 * effect, 3)) == n


def test_pairs_needed_by_the_noncentral_f_distribution():
    # t² is F of 1 and n − 1 degrees; that t is large with the wrong sign hardly ever happens.
    for effect in np.linspace(0.15, 1.4, 15):
        power = 0.0
        n = 5
        while power < 0.8:
            n += 1
            power = stats.ncf.sf(stats.f.isf(0.05, 1, n - 1), 1, n - 1, n * effect**2)
        assert pairs_needed(_two(effect, 1)) == n, effect


def test_pairs_needed_by_simulation():
    n = pairs_needed(_two(0.9, 1))
    rng = np.random.default_rng(5)
    share = {}
    for pairs in (n - 1, n):
        p = stats.ttest_1samp(rng.normal(0.9, 1, (40_000, pairs)), 0, axis=1).pvalue
        share[pairs] = np.mean(p < 0.05)
    assert share[n - 1] < 0.8 < share[n]


def test_pairs_needed_at_the_ends():
    assert pairs_needed(_two(1e6, 1)) == 6
    assert pairs_needed(_two(0.028022, 1)) in range(MOST_PAIRS - 20, MOST_PAIRS + 1)
    assert pairs_needed(_two(0.028, 1)) is None
    assert pairs_needed(_two(0, 1)) is None
    for differences in ([], [1.0], [1.0, 1.0]):
        assert pairs_needed(np.array(differences)) is None

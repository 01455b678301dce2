"""Sign-flip tests and their intervals: SciPy, Darwin's maize, brute force, simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from train.report.statistics import (
    EXACT_PAIRS,
    SAMPLES,
    SignFlips,
    attainable_level,
    least_pairs,
    paired_differences,
)

# Darwin's crossed less self-fertilised maize, in eighths of an inch; Fisher, The Design of
# Experiments (1935), chapter III.
DARWIN = np.array([49.0, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])


def test_p_of_darwins_maize():
    # Fisher counted them: 863 of 32,768 have the observed sum or a larger one.
    assert SignFlips(DARWIN).p() == SignFlips(-DARWIN).p() == 2 * 863 / 32768
    assert SignFlips(DARWIN).p_greater() == SignFlips(-DARWIN).p_less() == 863 / 32768


def test_interval_of_darwins_maize():
    # Of all confidences; Fisher: 5 % of 2^15 is beyond, 2.5 % at each end.
    low, high = SignFlips(DARWIN).interval(0.05)
    assert low < 0 < high  # 2 · 863/32768 is 0.0527
    low, high = SignFlips(DARWIN).interval(2 * 863 / 32768)
    assert low > 0


def _scipys(differences, mean, alternative):
    return stats.permutation_test(
        (differences - mean,),
        lambda x, axis: np.sum(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
        alternative=alternative,
    ).pvalue


@pytest.mark.parametrize("n", [2, 3, 5, 8, 11])
def test_p_is_scipys(n):
    rng = np.random.default_rng(n)
    for mean in (0.0, 0.3, -1.0):
        differences = rng.normal(0.5, 1, n)
        ours = SignFlips(differences)
        assert ours.p(mean) == _scipys(differences, mean, "two-sided")
        assert ours.p_greater(mean) == _scipys(differences, mean, "greater")
        assert ours.p_less(mean) == _scipys(differences, mean, "less")


def _brute(counts, mean=0):
    """The two-sided p value by its definition, of whole numbers, which are exact."""
    signs = np.array(list(itertools.product((1, -1), repeat=len(counts))))
    sums = signs @ (np.asarray(counts) - mean)
    return np.mean(abs(sums) >= abs(sums[0]))


@pytest.mark.parametrize("examples", [449, 10_000])
def test_p_in_exact_arithmetic(examples):
    # Few different counts: many sums tie, and in floating point ties are easily lost.
    rng = np.random.default_rng(examples)
    for n in (1, 2, 3, 5, 8, 10):
        counts = rng.integers(-3, 5, n)
        base = rng.integers(examples // 2, examples - 10, n)
        differences = paired_differences((base + counts) / examples, base / examples)
        assert SignFlips(differences).p() == _brute(counts), counts


@pytest.mark.parametrize("n", [6, 7, 9])
@pytest.mark.parametrize("level", [0.05, 0.025, 0.2])
def test_interval_is_what_the_tests_do_not_reject(n, level):
    # Multiples of 2520: the mean of any subset is a whole number, and so are the interval's ends.
    counts = 2520 * np.random.default_rng(n).integers(-4, 9, n)
    interval = SignFlips(counts.astype(float)).interval(level)
    if interval is None:
        assert 2 / 2**n > level
        return
    low, high = (round(end) for end in interval)
    assert interval == pytest.approx((low, high), abs=1e-9)
    for mean in (low, high, *range(low, high, (high - low) // 50)):
        assert _brute(counts, mean) > level
    for mean in (low - 1, high + 1, *range(high + 1, high + 9000, 300)):
        assert _brute(counts, mean) <= level


numbers = st.lists(
    st.one_of(
        st.integers(-5, 5).map(float),  # ties
        st.floats(-1e3, 1e3, allow_subnormal=False),
        st.integers(-3, 3).map(lambda k: k / 449),
    ),
    min_size=1,
    max_size=10,
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(numbers, st.sampled_from([0.05, 0.05 / 2, 0.05 / 3, 0.01, 0.3]))
def test_p_and_interval_cannot_contradict_each_other(values, level):
    differences = np.array(values)
    tests = SignFlips(differences)
    interval = tests.interval(level)
    excludes = interval is not None and (interval[0] > 0 or interval[1] < 0)
    assert excludes == (tests.p() <= level)
    assert (
        (interval is None)
        == (2 / 2 ** len(values) > level)
        == (len(values) < least_pairs(1, level))
    )
    if excludes:  # and the mean lies on the same side
        assert np.sign(np.mean(differences)) == np.sign(interval[0]) == np.sign(interval[1])


@settings(deadline=None, derandomize=True, max_examples=200)
@given(numbers, st.sampled_from([0.05, 0.025]), st.sampled_from([0.5, 1.0, 3 / 449]))
def test_equivalence_is_the_place_of_the_interval(values, level, margin):
    tests = SignFlips(np.array(values))
    interval = tests.interval(2 * level)
    tie = 1e-9 * max(map(abs, values))
    inside = interval is not None and -margin + tie < interval[0] and interval[1] < margin - tie
    assert inside == (tests.p_equivalent(margin) <= level)


@pytest.mark.parametrize(
    ("n", "studies"),
    [(8, 2000), pytest.param(EXACT_PAIRS + 2, 600, marks=pytest.mark.slow)],
)
def test_interval_covers_the_true_mean(n, studies):
    rng = np.random.default_rng(1)
    level = 0.05
    covered = 0
    for differences in rng.laplace(0.2, 1.0, (studies, n)):
        low, high = SignFlips(differences).interval(level)
        covered += low <= 0.2 <= high
    exact = 1 - attainable_level(n, level)  # the test is discrete
    assert exact == pytest.approx(0.953125) or n > 8
    assert abs(covered / studies - exact) < 3 * np.sqrt(exact * (1 - exact) / studies)


def test_sampled_signs_are_near_the_exact_test_and_always_the_same():
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
    first, second = SignFlips(counts / 449), SignFlips(counts / 449)
    assert first.p() == pytest.approx(exact, abs=4 * 2 * np.sqrt(exact / 2 / SAMPLES))
    assert (first.p(), first.interval(0.05)) == (second.p(), second.interval(0.05))


def test_exact_and_sampled_agree_where_they_meet():
    rng = np.random.default_rng(7)
    differences = rng.normal(0.4, 1, EXACT_PAIRS)
    exact = SignFlips(differences)
    sampled = SignFlips(np.append(differences, np.mean(differences)))  # one pair more
    assert sampled.interval(0.05) == pytest.approx(exact.interval(0.05), abs=0.1)
    assert SignFlips(np.ones(EXACT_PAIRS)).p() == 2 / 2**EXACT_PAIRS
    assert SignFlips(np.ones(EXACT_PAIRS + 1)).p() == 2 / (SAMPLES + 1)


@pytest.mark.parametrize("exploded", [5e6, 1e12, 1e100])
def test_one_pair_that_exploded_makes_no_ties_of_the_others(exploded):
    tests = SignFlips(np.array([0.003] * 9 + [exploded]))
    assert tests.p() == 2 / 2**10  # all ten have one sign
    low, _ = tests.interval(0.05)
    assert low == pytest.approx(0.003)


def test_equal_differences_of_unequal_scores_tie():
    pairs = [(0.92, 0.9), (0.52, 0.5), (0.12, 0.1), (0.32, 0.3), (0.3, 0.32), (0.7, 0.72)]
    differences = paired_differences(*zip(*pairs, strict=True))
    assert len(set(differences)) > 2  # they round otherwise
    ours, whole = SignFlips(differences), SignFlips(np.sign(differences))
    assert (ours.p_greater(), ours.p_less()) == (whole.p_greater(), whole.p_less())

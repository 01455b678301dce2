"""The statistics against SciPy's other paths, published examples, brute force and simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from train.report.statistics import (
    EXACT_PAIRS,
    SAMPLES,
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

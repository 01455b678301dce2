"""The statistics of a comparison: exact sign-flip tests of paired differences, and what they need.

Direction, interval and p value come from one set of tests, so that they cannot contradict each
other. `docs/statistics.md` says why these tests, and what they assume.
"""

import dataclasses
import functools
import gc
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BASELINE = "sgdm"
LEVEL = 0.05  # of every family of tests
POWER = 0.8
EXACT_PAIRS = 20  # up to here all sign vectors are counted
SAMPLES = 2**17 - 1  # of random sign vectors beyond
# Equal differences of unequal scores differ by rounding. Relative to the median difference.
_TIE = 1e-9

Differences = NDArray[np.float64]
Values = Sequence[float] | NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (divided by n − 1) of n values; None where n is too small."""

    n: int
    mean: float | None
    std: float | None

    @classmethod
    def of(cls, values: Values) -> "Spread":
        n = len(values)
        return cls(n, float(np.mean(values)) if n else None, cls._std(values) if n > 1 else None)

    @staticmethod
    def _std(values: Values) -> float:
        # Equal values have no spread, though their mean may be rounded.
        return float(np.std(values, ddof=1)) if np.ptp(values) else 0.0


def paired_differences(ours: Values, theirs: Values) -> Differences:
    """Ours less theirs, pair by pair; a difference of rounding size is zero.

    Accuracies are fractions of whole numbers: equal ones may differ in the last bits.
    """
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    noise = 1e-13 * np.maximum(np.abs(a), np.abs(b))
    return np.where(np.abs(a - b) <= noise, 0.0, a - b)


class SignFlips:
    """The sign-flip tests of n paired differences d, one for each value μ of the true mean.

    If d − μ is symmetric around zero, all 2ⁿ sign vectors s are equally likely. The statistic is
    Σ sᵢ(dᵢ − μ). It is at least the observed sum exactly if the mean of the dᵢ whose sign is
    flipped is at most μ, or none is flipped (Hartigan, Journal of the American Statistical
    Association 64, 1969). So the 2ⁿ − 1 means of non-empty subsets hold the test of every μ: p
    counts the means on one side of μ, and the interval's ends are two of the means in order.

    Up to `EXACT_PAIRS` pairs these are all subsets, beyond `SAMPLES` random ones from a fixed seed;
    such tests are exact too, because the observed signs count as one more.

    Args:
      differences: n of them, finite.

    Example:
      >>> tests = SignFlips(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
      >>> tests.p()
      0.03125
      >>> [round(end, 3) for end in tests.interval(0.05)]
      [0.1, 0.6]
    """

    def __init__(self, differences: Differences) -> None:
        self.n = len(differences)
        sizes = np.abs(differences[differences != 0])
        # Not to the largest: one run that exploded would make ties of all the others.
        self._tie = _TIE * float(np.median(sizes)) if len(sizes) else 0.0
        means = _all_means(differences) if self.n <= EXACT_PAIRS else _sampled_means(differences)
        means[np.abs(means) <= self._tie] = 0.0
        self._means = np.sort(means)

    def p_greater(self, mean: float = 0.0) -> float:
        """The p value that the true mean is `mean` or lower, against that it is higher."""
        at_most = int(np.searchsorted(self._means, mean + self._tie, side="right"))
        return (1 + at_most) / (1 + len(self._means))

    def p_less(self, mean: float = 0.0) -> float:
        """The p value that the true mean is `mean` or higher, against that it is lower."""
        at_least = len(self._means) - int(
            np.searchsorted(self._means, mean - self._tie, side="left")
        )
        return (1 + at_least) / (1 + len(self._means))

    def p(self, mean: float = 0.0) -> float:
        """The two-sided p value of the true mean `mean`: twice the smaller one, at most 1."""
        return min(1.0, 2 * min(self.p_greater(mean), self.p_less(mean)))

    def p_equivalent(self, margin: float) -> float:
        """The p value of the two one-sided tests that the true mean is not within ±margin.

        It is at most L exactly if the interval of confidence 1 − 2L lies inside ±margin.
        """
        return max(self.p_greater(-margin), self.p_less(margin))

    def interval(self, level: float) -> tuple[float, float] | None:
        """All μ that the two-sided test does not reject at the level, both ends included.

        Returns:
          Its ends, or None where so few pairs reject no μ at all.
        """
        rank = math.floor(level / 2 * (1 + len(self._means)))
        if rank == 0:
            return None
        return float(self._means[rank - 1]), float(self._means[-rank])


def _all_means(differences: Differences) -> Differences:
    """The means of all non-empty subsets."""
    sums, counts = np.zeros(1), np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums, sums + difference])
        counts = np.concatenate([counts, counts + 1])
    return np.asarray(sums[1:] / counts[1:])


def _sampled_means(differences: Differences) -> Differences:
    """The means of random subsets; an empty one would be drawn less than once in 2²¹."""
    rng = np.random.default_rng(0)
    means = []
    for rows in np.array_split(np.arange(SAMPLES), 1 + SAMPLES * len(differences) // 2**24):
        chosen = rng.random((len(rows), len(differences)), dtype=np.float32) < 0.5
        chosen[~chosen.any(axis=1), 0] = True
        means.append(chosen @ differences / chosen.sum(axis=1))
    return np.concatenate(means)


@dataclasses.dataclass(frozen=True)
class Difference:
    """Mean and standard deviation of n paired differences, and the interval of 1 − level.

    The interval is `SignFlips.interval`. Its ends are None where n pairs cannot show anything.
    """

    n: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    level: float

    @classmethod
    def of(cls, differences: Differences, level: float = LEVEL) -> "Difference":
        return cls.tested(differences, SignFlips(differences), level)

    @classmethod
    def tested(cls, differences: Differences, tests: SignFlips, level: float) -> "Difference":
        """The same from tests that exist already."""
        spread = Spread.of(differences)
        low, high = tests.interval(level) or (None, None)
        return cls(spread.n, spread.mean, spread.std, low, high, level)


def least_pairs(comparisons: int, level: float = LEVEL) -> int:
    """The smallest number of pairs with which a family of tests can find anything at all.

    The smallest p value of n pairs is 2/2ⁿ. Holm's first step asks for level/comparisons.

    Example:
      >>> [least_pairs(comparisons) for comparisons in (1, 2, 3, 10)]
      [6, 7, 8, 9]
    """
    return 1 + math.ceil(math.log2(comparisons / level))


def attainable_level(n: int, level: float) -> float:
    """The largest p value that n pairs can have, of those not above the level; 0 if none is."""
    count = 2**n if n <= EXACT_PAIRS else 1 + SAMPLES
    return 2 * math.floor(level / 2 * count) / count


def detectable(n: int, std: float, level: float) -> float | None:
    """The smallest true mean that a test of n pairs finds with 80 % power at this spread.

    By the paired t test (statsmodels' `TTestPower`), at the level that n pairs can attain: the
    sign-flip test has no such formula, and nearly the same power if differences are normal.

    Returns:
      The mean, or None where n pairs cannot show anything.
    """
    attained = attainable_level(n, level)
    return std * _detectable_effect(n, attained) if attained else None


@functools.cache
def _detectable_effect(n: int, level: float) -> float:
    """In standard deviations."""
    from statsmodels.stats.power import TTestPower  # pandas comes with it: half a second

    return float(TTestPower().solve_power(nobs=n, alpha=level, power=POWER))


def holm(p: Sequence[float], level: float = LEVEL) -> tuple[list[float], list[float]]:
    """Holm's adjusted p values, and the level at which each test was judged, in the order given.

    Holm (Scandinavian Journal of Statistics 6, 1979) rejects the k-th smallest of m at level
    level/(m − k + 1), until one is not rejected; all others are then judged at the level of that
    one. So p is at most its level exactly if its adjusted value is at most `level`.
    """
    if not p:
        return [], []
    from statsmodels.stats.multitest import multipletests

    # It collects garbage, which takes a second where JAX is loaded: frozen objects are left out.
    gc.freeze()
    try:
        rejected, adjusted, *_ = multipletests(p, level, method="holm")
    finally:
        gc.unfreeze()
    smaller = np.searchsorted(np.sort(p), p)  # how many p values are smaller; equal ones are alike
    left: Any = len(p) - np.minimum(smaller, rejected.sum())
    return [float(value) for value in adjusted], [float(value) for value in level / left]


@dataclasses.dataclass(frozen=True)
class Pairing:
    """What pairs gain: the correlation of the two arms' scores over seeds, and the gain.

    The gain is (var a + var b)/var(a − b): unpaired, as precise a mean difference would need so
    many times the seeds.
    """

    correlation: float | None
    gain: float | None

    @classmethod
    def of(cls, ours: Values, theirs: Values) -> "Pairing":
        """None where it has no meaning: fewer than three pairs, or no spread."""
        if len(ours) < 3:
            return cls(None, None)
        a, b = np.asarray(ours, float), np.asarray(theirs, float)
        differences = paired_differences(a, b)
        a_std, b_std, std = (Spread.of(values).std or 0.0 for values in (a, b, differences))
        correlation = float(np.corrcoef(a, b)[0, 1]) if a_std and b_std else None
        return cls(correlation, (a_std**2 + b_std**2) / std**2 if std else None)

"""The statistics of a study: spread over seeds, and paired differences to a baseline."""

import bisect
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BASELINE = "sgdm"
LEVEL = 0.05  # of every test; intervals are of 1 − LEVEL
POWER = 0.8
RESAMPLES = 2**16  # of the permutation test: up to 16 pairs these are all there are
FEWEST_PAIRS = 6  # with fewer the permutation test cannot fall below LEVEL: 2/2⁵ > 0.05 > 2/2⁶
MOST_PAIRS = 10_000

Differences = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (divided by n − 1) of n values; None where n is too small."""

    n: int
    mean: float | None
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float] | Differences) -> "Spread":
        n = len(values)
        return cls(
            n,
            float(np.mean(values)) if n else None,
            float(np.std(values, ddof=1)) if n > 1 else None,
        )


@dataclasses.dataclass(frozen=True)
class Difference:
    """Mean and standard deviation of n paired differences, and the mean's 95 % interval.

    The interval is Student's: mean ± t·std/√n, t the 97.5 % quantile at n − 1 degrees of freedom.
    Its ends are None where the differences have no spread.
    """

    n: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, differences: Differences) -> "Difference":
        spread = Spread.of(differences)
        low = high = None
        if has_spread(differences):
            interval = stats.ttest_1samp(differences, 0).confidence_interval(1 - LEVEL)
            low, high = float(interval.low), float(interval.high)
        return cls(spread.n, spread.mean, spread.std, low, high)


def paired_differences(values: Mapping[int, float], baseline: Mapping[int, float]) -> Differences:
    """The values less the baseline's, over the seeds that both have, in the order of the seeds.

    Rounded to 12 decimals: accuracies are fractions of whole numbers, and equal differences of
    them are to be equal in floating point too.
    """
    seeds = sorted(values.keys() & baseline.keys())
    return np.round([values[seed] - baseline[seed] for seed in seeds], 12)


def has_spread(differences: Differences) -> bool:
    """Whether two differences are unlike. Where all are equal, Student's methods have no scale.

    (R declines such data as constant, too. The limit, an interval of no width, would let two equal
    pairs prove anything.)
    """
    return len(np.unique(differences)) > 1


def permutation_p(differences: Differences) -> float | None:
    """The paired permutation test's p value that the differences are symmetric around zero.

    Were the two optimizers exchangeable within each pair, every difference could as well have the
    other sign. p is twice the share of sign changes whose mean is as high as the one observed, or
    as low, whichever is rarer, and at most 1. All 2ⁿ of them are looked at up to n = 16; beyond,
    `RESAMPLES` random ones from a fixed seed, the observed one counted with them.

    Returns:
      p, or None if there is no pair.
    """
    n = len(differences)
    if n < 2:
        return 1.0 if n else None  # both signs are as far from zero; SciPy wants two pairs
    test = stats.permutation_test(
        (differences, np.zeros(n)),
        _mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative="two-sided",
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def _mean_difference(x: Differences, y: Differences, axis: int) -> Differences:
    # Rounded, for sums of the same numbers in another order must be ties.
    return np.asarray(np.round(np.mean(x - y, axis=axis), 12))


def pairs_needed(differences: Differences) -> int | None:
    """The pairs with which a paired t test would tell the observed difference from zero.

    That is the smallest n of `FEWEST_PAIRS` or more for which a two-sided test at the level of
    5 % says so, with the right sign, in 80 % of studies, were the true mean and standard deviation
    the observed ones: its t is then of the noncentral distribution, n − 1 degrees, noncentrality
    √n·mean/std. It is as uncertain as the two observed.

    Returns:
      n, or None if it is beyond `MOST_PAIRS`, as it is for a mean of zero, or if the differences
      have no spread.
    """
    if not has_spread(differences):
        return None
    effect = float(abs(np.mean(differences)) / np.std(differences, ddof=1))
    effect = min(effect, 100.0)  # SciPy's distribution fails very far out

    def power(n: int) -> float:
        quantile = stats.t.isf(LEVEL / 2, n - 1)
        return float(stats.nct.sf(quantile, n - 1, effect * np.sqrt(n)))

    candidates = range(FEWEST_PAIRS, MOST_PAIRS + 1)
    place = bisect.bisect_left(candidates, POWER, key=power)
    return candidates[place] if place < len(candidates) else None

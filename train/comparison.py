"""The statistics of a study: spread over seeds, and paired differences to a baseline."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from scipy import special

BASELINE = "sgdm"


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (divided by n − 1) of n values; None where n is too small."""

    n: int
    mean: float | None
    std: float | None

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        n = len(values)
        return cls(
            n,
            float(np.mean(values)) if n else None,
            float(np.std(values, ddof=1)) if n > 1 else None,
        )


@dataclasses.dataclass(frozen=True)
class Difference:
    """Mean difference over n pairs of the same seed, and its 95 % confidence interval."""

    n: int
    mean: float
    low: float | None
    high: float | None


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float]
) -> Difference | None:
    """Student's interval for the mean of values − baseline over the seeds both have."""
    seeds = sorted(values.keys() & baseline.keys())
    if not seeds:
        return None
    n = len(seeds)
    differences = [values[seed] - baseline[seed] for seed in seeds]
    mean = float(np.mean(differences))
    if n == 1:
        return Difference(n, mean, None, None)
    quantile = float(special.stdtrit(n - 1, 0.975))
    half = quantile * float(np.std(differences, ddof=1)) / math.sqrt(n)
    return Difference(n, mean, mean - half, mean + half)

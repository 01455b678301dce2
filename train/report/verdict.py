"""What a study says about each optimizer against the baseline: two answers, in fixed words."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from scipy import stats

from train.report.statistics import (
    LEVEL,
    Difference,
    Differences,
    has_spread,
    pairs_needed,
    permutation_p,
)

PRIMARY = "rsgdm"  # its accuracy is the paper's question: all else is adjusted for its number
MARGIN_POINTS = 0.3  # of accuracy: what is taken as too small to matter, set before any study

Direction = Literal["better", "worse", "not distinguishable"]
Size = Literal["within the margin", "beyond the margin", "undecided"]


@dataclasses.dataclass(frozen=True)
class Pairs:
    """An optimizer's paired differences to the baseline, each in the order of the seeds."""

    accuracy: Differences
    loss: Differences
    diverged: int  # pairs left out because one run, or both, diverged


@dataclasses.dataclass(frozen=True)
class PValue:
    """A p value, and what Holm's adjustment makes of it; the primary comparison's stays."""

    raw: float | None
    adjusted: float | None

    @property
    def is_small(self) -> bool:
        """Whether the adjusted value is below the level; one that does not exist is not."""
        return self.adjusted is not None and self.adjusted < LEVEL


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One optimizer against the baseline, on the last epoch.

    The verdict is on accuracy: `direction` is better or worse, by the sign of the mean, if the
    permutation test's adjusted p is below 5 %. `size` is within the margin if TOST's is; beyond
    the margin if `beyond_p`'s is and the direction is known; else undecided. Each of the two
    is wrong with a probability of at most 5 %: for the primary comparison, and anywhere among
    the others of a table.
    """

    optimizer: str
    diverged_pairs: int
    accuracy: Difference
    accuracy_p: PValue
    within_p: PValue
    beyond_p: PValue
    direction: Direction
    size: Size
    pairs_needed: int | None
    loss: Difference
    loss_p: PValue


def compare(pairs: Mapping[str, Pairs], margin: float) -> list[Comparison]:
    """Each optimizer's verdict.

    Args:
      pairs: of every optimizer but the baseline.
      margin: how large a difference of accuracies, as fractions, does not matter.
    """
    unequal = _adjust(
        {(name, "accuracy"): permutation_p(of.accuracy) for name, of in pairs.items()}
        | {(name, "loss"): permutation_p(of.loss) for name, of in pairs.items()}
    )
    inside = _adjust({(name, "accuracy"): within_p(pairs[name].accuracy, margin) for name in pairs})
    outside = _adjust(
        {(name, "accuracy"): beyond_p(pairs[name].accuracy, margin) for name in pairs}
    )
    comparisons = []
    for name, of in pairs.items():
        accuracy = Difference.of(of.accuracy)
        accuracy_p, within, beyond = (p[name, "accuracy"] for p in (unequal, inside, outside))
        direction = _direction(accuracy.mean, accuracy_p)
        comparisons.append(
            Comparison(
                optimizer=name,
                diverged_pairs=of.diverged,
                accuracy=accuracy,
                accuracy_p=accuracy_p,
                within_p=within,
                beyond_p=beyond,
                direction=direction,
                size=_size(within, beyond, direction),
                pairs_needed=pairs_needed(of.accuracy),
                loss=Difference.of(of.loss),
                loss_p=unequal[name, "loss"],
            )
        )
    return comparisons


def _direction(mean: float | None, p: PValue) -> Direction:
    if mean is None or not p.is_small:
        return "not distinguishable"
    return "better" if mean > 0 else "worse"


def _size(inside: PValue, outside: PValue, direction: Direction) -> Size:
    if inside.is_small:
        return "within the margin"
    # The two tests differ: with few pairs the t test may see what the permutation test cannot.
    if outside.is_small and direction != "not distinguishable":
        return "beyond the margin"
    return "undecided"


def within_p(differences: Differences, margin: float) -> float | None:
    """The p value of the equivalence test TOST, that the true mean is not within ±margin.

    Two one-sided t tests, that the mean is −margin or lower and that it is margin or higher; p is
    the larger of theirs. It is below 5 % exactly if the 90 % interval lies within ±margin.

    Returns:
      p, or None if the differences have no spread.
    """
    if not has_spread(differences):
        return None
    return max(_t_p(differences, -margin, "greater"), _t_p(differences, margin, "less"))


def beyond_p(differences: Differences, margin: float) -> float | None:
    """The p value that the true mean is not beyond ±margin.

    Two one-sided t tests, that the mean is margin or lower and that it is −margin or higher; p is
    twice the smaller of theirs, at most 1. It is below 5 % exactly if the whole 95 % interval
    lies above margin, or below −margin.

    Returns:
      p, or None if the differences have no spread.
    """
    if not has_spread(differences):
        return None
    one_sided = _t_p(differences, margin, "greater"), _t_p(differences, -margin, "less")
    return min(1.0, 2 * min(one_sided))


def _t_p(differences: Differences, mean: float, alternative: str) -> float:
    return float(stats.ttest_1samp(differences, mean, alternative=alternative).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (Scandinavian Journal of Statistics 6, 1979), in the order given.

    The k-th smallest of m is multiplied by m − k + 1, then raised to the one before it, if that is
    larger, and lowered to 1. If those below 5 % are called significant, one of them or more is so
    by chance with a probability of at most 5 %. SciPy has no function for this.
    """
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(value) for value in adjusted]


def _adjust(raw: Mapping[tuple[str, str], float | None]) -> dict[tuple[str, str], PValue]:
    """One family: one kind of test on every optimizer and measure but the primary comparison.

    What is not tested does not count.
    """
    primary = (PRIMARY, "accuracy")
    family = {key: p for key, p in raw.items() if key != primary and p is not None}
    adjusted = dict(zip(family, holm(list(family.values())), strict=True))
    return {key: PValue(p, adjusted.get(key, p)) for key, p in raw.items()}

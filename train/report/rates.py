"""Each arm's best rate, and how much of that choice is chance."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from train.report.scores import Scores

RESAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class BestRate:
    """The rate of an arm's best mean score, and how often each rate wins other draws of seeds."""

    arm: str
    rate: float | None  # None if every rate has a diverged run
    seeds: int  # that all rates of the arm have
    wins: dict[float, float]  # rate → share of the resamples in which it is the best
    at_end: bool  # of several rates: a better one may lie beyond


def best_rates(scores: Scores) -> list[BestRate]:
    """Each arm's rate of the best mean of the first measure, equal ones by the next measures.

    Only seeds that all rates of the arm have count. A rate with a diverged run is not chosen.

    The uncertainty is that of the seeds: they are drawn again with replacement, `RESAMPLES` times
    from a fixed seed, the same draw for all rates of the arm, and the best rate is chosen anew.
    """
    return [_best_rate(scores, arm) for arm in scores.arms if scores.rates(arm) != [None]]


def _best_rate(scores: Scores, arm: str) -> BestRate:
    rates = [rate for rate in scores.rates(arm) if rate is not None]
    cells = [scores.cell(arm, rate) for rate in rates]
    seeds = [seed for seed in cells[0] if all(seed in cell for cell in cells)]
    if not seeds:
        return BestRate(arm, None, 0, {}, at_end=False)
    # measure × rate × seed; higher is better; what diverged is worse than anything
    values = np.array(
        [
            [
                [measure.sign * cell[seed].values.get(measure.name, np.inf) for seed in seeds]
                for cell in cells
            ]
            for measure in scores.measures
            if measure.is_compared
        ],
        float,
    )
    diverged = np.isinf(values[0])
    values[np.isinf(values)] = -np.inf
    if diverged.any(axis=1).all():
        return BestRate(arm, None, len(seeds), {}, at_end=False)
    draws = np.random.default_rng(0).integers(len(seeds), size=(RESAMPLES, len(seeds)))
    chosen = int(_winners(values, np.arange(len(seeds))[None])[0])
    won = np.bincount(_winners(values, draws), minlength=len(rates)) / RESAMPLES
    return BestRate(
        arm,
        rates[chosen],
        len(seeds),
        {rate: float(share) for rate, share in zip(rates, won, strict=True) if share},
        at_end=len(rates) > 1 and chosen in (0, len(rates) - 1),
    )


def _winners(values: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.int64]:
    """The best rate's place for each draw of seeds; of equal ones the lowest rate's."""
    # Rounded: means of the same numbers in another order must be ties.
    means = np.round(values[:, ::-1, draws].mean(axis=-1), 12)  # measure × rate × draw
    order = np.lexsort(tuple(np.moveaxis(means, 1, -1)[::-1]), axis=-1)
    return np.asarray(values.shape[1] - 1 - order[..., -1])

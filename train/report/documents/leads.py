"""Leads and differences between arms of a data set's studies, and the tests of a family of them.

The lead of one arm over another is ln(loss of the other) − ln(loss of the one), in the training
loss of the last epoch, pair by pair. It has no unit; 0.1 is about ten per cent.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from train.report.documents.results import Study
from train.report.statistics import LEVEL, Difference, SignFlips, holm
from train.runs.store import Run

# Of a run's last epoch, and how its lead is named.
_LOSSES = {
    "train_loss": "",  # mean over the epoch's steps: the one that was planned
    "clean_train_loss": ", best rates, loss of the trained network on the training images",
    "test_loss": ", best rates, test loss",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """An arm at a rate; without one, at the only rate that it has."""

    arm: str
    rate: float | None = None


@dataclasses.dataclass(frozen=True)
class Pairs:
    """A number a seed, but of those whose pair has a diverged run."""

    name: str
    by_seed: Mapping[int, float]
    behind: frozenset[int] = frozenset()  # seeds of which the first arm's run alone diverged
    ahead: frozenset[int] = frozenset()  # the second arm's alone
    lost: frozenset[int] = frozenset()  # both

    @property
    def diverged(self) -> int:
        """How many pairs have no number."""
        return len(self.behind | self.ahead | self.lost)

    @property
    def run(self) -> int:
        """How many pairs were run."""
        return len(self.by_seed.keys() | self.behind | self.ahead | self.lost)

    def counted(self) -> "Pairs":
        """With diverged runs behind: by as much as the farthest pair that did not diverge."""
        far = max(map(abs, self.by_seed.values()), default=1.0)
        behind, ahead = dict.fromkeys(self.behind, -far), dict.fromkeys(self.ahead, far)
        return dataclasses.replace(self, by_seed={**self.by_seed, **behind, **ahead})

    def less(self, other: "Pairs", name: str) -> "Pairs":
        """The contrast of two, seed by seed."""
        common = self.by_seed.keys() & other.by_seed.keys()
        return Pairs(
            name,
            {seed: self.by_seed[seed] - other.by_seed[seed] for seed in common},
            lost=frozenset().union(
                *(pairs.behind | pairs.ahead | pairs.lost for pairs in (self, other))
            ),
        )


@dataclasses.dataclass(frozen=True)
class Tested:
    """One member of a family, judged by Holm's method."""

    pairs: Pairs
    difference: Difference
    p: float
    adjusted: float

    @property
    def is_above(self) -> bool:
        """Whether it is shown to be above zero."""
        return self.difference.low is not None and self.difference.low > 0

    @property
    def is_below(self) -> bool:
        """Whether it is shown to be below zero."""
        return self.difference.high is not None and self.difference.high < 0

    def is_within(self, margin: float) -> bool:
        """Whether two one-sided tests, not adjusted, show it to be within ±margin."""
        return _tests(self.pairs).p_equivalent(margin) <= LEVEL

    def is_outside(self, margin: float) -> bool:
        """Whether its whole interval is beyond the margin."""
        low, high = self.difference.low, self.difference.high
        return low is not None and high is not None and (low > margin or high < -margin)


def family(members: Sequence[Pairs]) -> list[Tested]:
    """Tests of the members, with intervals at the levels at which Holm's method judged them."""
    tests = [_tests(pairs) for pairs in members]
    p = [test.p() for test in tests]
    adjusted, levels = holm(p)
    return [
        Tested(pairs, Difference.tested(_array(pairs), test, level), *both)
        for pairs, test, level, *both in zip(members, tests, levels, p, adjusted, strict=True)
    ]


class DataSet:
    """The studies of one data set; they share a protocol, so any of them may hold a cell.

    But for those whose runs have more epochs than others': they must be asked for by name.

    Args:
      studies: by the last part of their names.
    """

    def __init__(self, studies: Mapping[str, Study]):
        self._studies = studies
        self._epochs = min(map(self.epochs, studies), default=0)

    def epochs(self, study: str) -> int:
        """How many a study's runs have."""
        return self._studies[study].merged.runs[0].config.epochs

    def has(self, *cells: Cell, study: str | None = None) -> bool:
        """Whether there are runs of every one of the cells."""
        return all(self._runs(cell, study) for cell in cells)

    def rates(self, one: str, other: str, study: str = "rates") -> list[float]:
        """The rates at which two arms of a study can be compared, in order."""
        ours, theirs = (
            {run.config.learning_rate for run in self._runs(Cell(arm), study).values()}
            for arm in (one, other)
        )
        return sorted(ours & theirs)

    def losses(self, cell: Cell) -> list[float]:
        """Training loss of the last epoch, by seed; NaN where a run diverged."""
        runs = self._runs(cell, "rates").values()
        return [run.metrics[-1]["train_loss"] if run.is_done else math.nan for run in runs]

    def test_accuracies(self, cell: Cell) -> list[float]:
        """In per cent, by seed; NaN where a run diverged."""
        runs = self._runs(cell, "rates").values()
        return [100 * run.result["test_accuracy"] if run.is_done else math.nan for run in runs]

    def leads(
        self, one: Cell, other: Cell, study: str | None = None, loss: str = "train_loss"
    ) -> Pairs:
        """The lead of the one over the other, in one of the losses of `_LOSSES`."""

        def lead(ours: Run, theirs: Run) -> float:
            return math.log(theirs.result[loss]) - math.log(ours.result[loss])

        name = f"{one.arm} over {other.arm}{_at(one, other)}{_LOSSES[loss]}"
        return self._pairs(name, one, other, study, lead)

    def accuracies(self, one: Cell, other: Cell, study: str | None = None) -> Pairs:
        """Test accuracy of the one less the other's, in points."""

        def points(run: Run) -> float:
            return 100 * float(run.result["test_accuracy"])

        name = f"{one.arm} − {other.arm}{_at(one, other)}, points of test accuracy"
        return self._pairs(
            name, one, other, study, lambda ours, theirs: points(ours) - points(theirs)
        )

    def steps_behind(self, one: Cell, other: Cell) -> Pairs:
        """How much higher the one's loss of epoch 1 is, in steps of the other.

        In a step, the other's loss falls by so much on average between epochs 1 and 2.
        """

        def steps(ours: Run, theirs: Run) -> float:
            first, second = (line["train_loss"] for line in theirs.metrics[:2])
            fall = (first - second) / theirs.metrics[0]["step"]
            return float((ours.metrics[0]["train_loss"] - first) / fall)

        name = f"{one.arm} behind {other.arm}{_at(one, other)} in epoch 1, steps"
        return self._pairs(name, one, other, None, steps)

    def _runs(self, cell: Cell, study: str | None) -> dict[tuple[int, float], Run]:
        """By seed and rate."""
        chosen = [
            found.merged.by_arm().get(cell.arm, [])
            for name, found in self._studies.items()
            if name == study or (study is None and self.epochs(name) == self._epochs)
        ]
        return {
            (run.config.seed, run.config.learning_rate): run
            for runs in chosen
            for run in runs
            if cell.rate in (None, run.config.learning_rate)
        }

    def _pairs(
        self,
        name: str,
        one: Cell,
        other: Cell,
        study: str | None,
        difference: Callable[[Run, Run], float],
    ) -> Pairs:
        ours, theirs = (
            {seed: run for (seed, _), run in self._runs(cell, study).items()}
            for cell in (one, other)
        )
        seeds: dict[tuple[bool, bool], set[int]] = defaultdict(set)
        for seed in ours.keys() & theirs.keys():
            seeds[ours[seed].is_done, theirs[seed].is_done].add(seed)
        return Pairs(
            name,
            {seed: difference(ours[seed], theirs[seed]) for seed in sorted(seeds[True, True])},
            behind=frozenset(seeds[False, True]),
            ahead=frozenset(seeds[True, False]),
            lost=frozenset(seeds[False, False]),
        )


def _at(one: Cell, other: Cell) -> str:
    rates = dict.fromkeys(cell.rate for cell in (one, other) if cell.rate is not None)
    return f", α = {' and '.join(f'{rate:g}' for rate in rates)}" if rates else ""


def _array(pairs: Pairs) -> np.ndarray:
    return np.array([pairs.by_seed[seed] for seed in sorted(pairs.by_seed)], np.float64)


def _tests(pairs: Pairs) -> SignFlips:
    return SignFlips(_array(pairs))

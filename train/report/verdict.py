"""What a study says about each comparison that counts: one sentence each."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from train.report.scores import Arms, Measure, Scores, count_text
from train.report.statistics import (
    LEVEL,
    POWER,
    Difference,
    Pairing,
    SignFlips,
    detectable,
    holm,
    least_pairs,
    paired_differences,
)

PRIMARY = "rsgdm"  # the paper's optimizer
MARGIN_POINTS = 0.3  # of accuracy: what is taken as too small to matter, set before any study

Verdict = Literal["better", "worse", "equivalent", "undecided"]


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The scores of two arms on the seeds that both have, in the order of the seeds."""

    arm: str
    other: str
    rate: float | None  # named where an arm has several
    measure: Measure
    ours: list[float]
    theirs: list[float]
    diverged: int  # pairs excluded because one run, or both, diverged

    @classmethod
    def of(cls, scores: Scores, arms: Arms, measure: Measure) -> "list[Pairs]":
        """One at each rate at which the two arms are compared."""
        found = []
        for our_rate, their_rate in scores.matched(*arms):
            ours, theirs = scores.cell(arms[0], our_rate), scores.cell(arms[1], their_rate)
            seeds = [seed for seed in ours if seed in theirs]
            both = [(ours[seed].values, theirs[seed].values) for seed in seeds]
            whole = [(a, b) for a, b in both if measure.name in a and measure.name in b]
            found.append(
                cls(
                    *arms,
                    our_rate if scores.has_rates else None,
                    measure,
                    [a[measure.name] for a, _ in whole],
                    [b[measure.name] for _, b in whole],
                    len(both) - len(whole),
                )
            )
        return found


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One arm against another, on one measure.

    All fields but the verdict are of ours less theirs, unscaled. `verdict` is better or worse if
    and only if the interval excludes zero, which it does if and only if `adjusted` is at most 5 %.
    `is_equivalent`, if and only if the interval of the two one-sided tests, which is shorter,
    lies inside ±margin. An arm may be better and equivalent: the difference is too small to matter.
    """

    arm: str
    other: str
    rate: float | None
    measure: Measure
    diverged_pairs: int
    difference: Difference  # its interval is of 1 − `difference.level`, Holm's level for this test
    p: float | None
    adjusted: float | None
    margin: float | None
    equivalence: Difference  # its interval lies inside ±margin where `is_equivalent`
    equivalence_adjusted: float | None
    is_equivalent: bool
    verdict: Verdict
    detectable: float | None
    pairing: Pairing

    @property
    def name(self) -> str:
        """The two arms, and the rate if there are several."""
        return f"{self.arm} − {self.other}{self._at}"

    @property
    def _at(self) -> str:
        return "" if self.rate is None else f", rate {self.rate:g}"

    def sentence(self) -> str:
        """The verdict in words; its numbers are positive where the first arm is better."""
        return f"{self.arm} against {self.other}{self._at}: {self._said()}."

    @property
    def is_hopeless(self) -> bool:
        """Whether so few pairs cannot show anything, whatever they are."""
        return self.difference.low is None

    def hopeless(self) -> str:
        """What `sentence` says then, of all comparisons at once."""
        return f"every comparison is undecided: {self._too_few()}."

    def _too_few(self) -> str:
        found = self.difference
        needed = least_pairs(1, found.level)
        return (
            f"{count_text(found.n, 'pair')} cannot show anything at {confidence(found.level)}; "
            f"at least {needed} are needed"
        )

    def _said(self) -> str:
        found, unit = self.difference, self.measure.unit
        if found.mean is None:
            return f"undecided in {self.measure.name}: there is no pair"
        if self.verdict in ("better", "worse") and found.low is not None and found.high is not None:
            sign = self.measure.sign if self.verdict == "better" else -self.measure.sign
            low, high = sorted((sign * found.low, sign * found.high))
            text = f"{self.verdict} by {self._number(sign * found.mean)}"
            text += f" [{self._number(low)}, {self._number(high)}] {unit}"
            return f"{text}, but {self._equivalent()}" if self.is_equivalent else text
        if self.is_equivalent:
            return self._equivalent()
        if found.low is None or found.high is None or self.detectable is None:
            return f"undecided in {self.measure.name}: {self._too_few()}"
        if found.low == found.high:
            return f"undecided in {self.measure.name}: no pair differs"
        if abs(found.mean) < self.detectable:
            seen = self._number(self.detectable)
            return (
                f"undecided: an effect of {seen} or more {unit} would have been seen with "
                f"{100 * POWER:g} % power"
            )
        low, high = sorted((self.measure.sign * found.low, self.measure.sign * found.high))
        return f"undecided: between {self._number(low)} and {self._number(high)} {unit}"

    def _equivalent(self) -> str:
        found, sign = self.equivalence, self.measure.sign
        ends = sorted(sign * end for end in (found.low, found.high) if end is not None)
        margin = self.measure.scale * (self.margin or 0.0)
        interval = ", ".join(map(self._number, ends))
        at = confidence(found.level)
        return f"equivalent within ±{margin:.6g} {self.measure.unit}: [{interval}] at {at}"

    def _number(self, value: float) -> str:
        return self.measure.number(value)


def confidence(level: float) -> str:
    """The confidence of an interval, "97.5 %"."""
    return f"{100 * (1 - level):.4g} %"


def compare(family: Sequence[Pairs], margin: float | None = None) -> list[Comparison]:
    """Each verdict of a family of comparisons on one measure.

    Holm's method is applied to the family twice: to the tests of a direction, and to those of
    equivalence. In each, a wrong answer anywhere in the family has a probability of at most 5 %.

    Args:
      family: at least one pair is needed for a test; what has none does not count.
      margin: how large a difference, as the scores are, does not matter; None asks for no
        equivalence.
    """
    differences = [paired_differences(pairs.ours, pairs.theirs) for pairs in family]
    tests = [SignFlips(each) for each in differences]
    p = [test.p() if test.n else None for test in tests]
    adjusted, levels = _holm(p)
    within, within_levels = _holm(
        [test.p_equivalent(margin) if test.n and margin else None for test in tests]
    )
    found = []
    for k, pairs in enumerate(family):
        difference = Difference.tested(differences[k], tests[k], levels[k])
        # Two one-sided tests at a level: the two-sided interval of twice the level.
        equivalence = Difference.tested(differences[k], tests[k], 2 * within_levels[k])
        is_equivalent = _is_small(within[k])
        found.append(
            Comparison(
                arm=pairs.arm,
                other=pairs.other,
                rate=pairs.rate,
                measure=pairs.measure,
                diverged_pairs=pairs.diverged,
                difference=difference,
                p=p[k],
                adjusted=adjusted[k],
                margin=margin,
                equivalence=equivalence,
                equivalence_adjusted=within[k],
                is_equivalent=is_equivalent,
                verdict=_verdict(difference, pairs.measure, is_equivalent=is_equivalent),
                detectable=None
                if difference.std is None
                else detectable(difference.n, difference.std, levels[k]),
                pairing=Pairing.of(pairs.ours, pairs.theirs),
            )
        )
    return found


def _verdict(found: Difference, measure: Measure, *, is_equivalent: bool) -> Verdict:
    # By the interval alone: a p value rounded in another way could disagree with it.
    if found.low is not None and found.high is not None and (found.low > 0 or found.high < 0):
        is_better = (found.low > 0) == (measure.better == "higher")
        return "better" if is_better else "worse"
    return "equivalent" if is_equivalent else "undecided"


def _is_small(p: float | None) -> bool:
    return p is not None and p <= LEVEL


def _holm(p: Sequence[float | None]) -> tuple[list[float | None], list[float]]:
    """Holm's method on the tests that there are."""
    tested = [k for k, value in enumerate(p) if value is not None]
    adjusted, levels = holm([value for value in p if value is not None])
    by_place = dict(zip(tested, adjusted, strict=True)), dict(zip(tested, levels, strict=True))
    return [by_place[0].get(k) for k in range(len(p))], [
        by_place[1].get(k, LEVEL) for k in range(len(p))
    ]

"""What a report is made of, whatever it was read from: scores by arm, rate and seed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from train.common.errors import InputError
from train.report.statistics import BASELINE

Seed = int | str
Arms = tuple[str, str]  # compared: the first less the second


@dataclasses.dataclass(frozen=True)
class Measure:
    """Something that every run has a value of."""

    name: str
    better: Literal["higher", "lower"]
    unit: str  # "points of test accuracy": what stands behind a number in a sentence
    symbol: str = ""  # "%": what stands behind the name in a table
    scale: float = 1.0  # shown is the value times this
    digits: int = 4
    is_compared: bool = True

    @property
    def sign(self) -> int:
        """1 if higher is better, else −1."""
        return 1 if self.better == "higher" else -1

    def number(self, value: float, sign: str = "-") -> str:
        """A value as it is shown."""
        return number(self.scale * value, self.digits, sign)


def number(value: float, digits: int, sign: str = "-") -> str:
    """A number with so many digits behind the point, as far as these show it.

    One that would be cut to 0 has two digits and an exponent instead; a very large one is whole, or
    has an exponent.
    """
    value += 0.0  # so that a zero has no sign
    size = abs(value)
    if 0 < size < 0.5 * 10.0**-digits:
        return f"{value:{sign}.2g}"
    if size < 1e7:
        return f"{value:{sign}.{digits}f}"
    return f"{value:{sign}.0f}" if size < 1e15 else f"{value:{sign}.6e}"


@dataclasses.dataclass(frozen=True)
class Score:
    """The values of one run; a measure is missing where the run diverged."""

    arm: str
    rate: float | None
    seed: Seed
    values: Mapping[str, float]  # by the measure's name


@dataclasses.dataclass(frozen=True)
class Scores:
    """The runs of one task. The first measure is the one that counts."""

    task: str
    measures: tuple[Measure, ...]
    runs: tuple[Score, ...]

    @property
    def arms(self) -> list[str]:
        """In the order given."""
        return list(dict.fromkeys(run.arm for run in self.runs))

    def rates(self, arm: str) -> list[float | None]:
        """The rates of an arm, in order; None alone where it has none."""
        found = {run.rate for run in self.runs if run.arm == arm}
        return sorted(found, key=lambda rate: -1.0 if rate is None else rate)

    @property
    def has_rates(self) -> bool:
        """Whether an arm has more than one rate."""
        return any(len(self.rates(arm)) > 1 for arm in self.arms)

    def cell(self, arm: str, rate: float | None) -> dict[Seed, Score]:
        """The runs of an arm at a rate, by seed and in its order."""
        found = {run.seed: run for run in self.runs if (run.arm, run.rate) == (arm, rate)}
        return {
            seed: found[seed] for seed in sorted(found, key=lambda seed: (str(type(seed)), seed))
        }

    def matched(self, one: str, other: str) -> list[tuple[float | None, float | None]]:
        """The rates at which two arms are compared.

        Each arm's rate, if it has one alone. Else every rate that both have: their best rates are
        not compared, because chosen on the same seeds they would look better than they are.
        """
        ours, theirs = self.rates(one), self.rates(other)
        if len(ours) == len(theirs) == 1:
            return [(ours[0], theirs[0])]
        return [(rate, rate) for rate in ours if rate in theirs]


def comparisons(
    scores: Scores, baseline: str | None, compare: Sequence[str] | None, heading: str = ""
) -> list[Arms]:
    """The comparisons that count: those asked for, else each arm against the baseline.

    Args:
      scores: the task.
      baseline: an arm; None for sgdm if it is there, else the first.
      compare: "A:B" for A against B.
      heading: of the table, for errors.

    Raises:
      InputError: if an arm is not there, or a comparison is given twice, is none, or is of two
      arms without a rate in common.
    """
    arms = scores.arms
    place = f" of {heading.partition(':')[0]}" if heading else ""

    def known(option: str, name: str) -> str:
        if name not in arms:
            raise InputError(f"{option}: {name!r} is no arm{place}; allowed: {', '.join(arms)}")
        return name

    if compare is None:
        default = BASELINE if BASELINE in arms else arms[0]
        base = default if baseline is None else known("--baseline", baseline)
        return [(arm, base) for arm in arms if arm != base]
    found: list[Arms] = []
    for text in compare:
        one, colon, other = text.partition(":")
        if not (one and colon and other) or one == other:
            raise InputError(f"--compare: {text!r} is not two arms A:B")
        pair = known("--compare", one), known("--compare", other)
        if pair in found or pair[::-1] in found:
            raise InputError(f"--compare: {text!r} is given twice")
        if not scores.matched(*pair):
            raise InputError(f"--compare: {text!r}{place}: {no_common_rate(scores, pair)}")
        found.append(pair)
    return found


def no_common_rate(scores: Scores, arms: Arms) -> str:
    """Why two arms are not compared."""
    has = (f"{arm} has {', '.join(f'{rate}' for rate in scores.rates(arm))}" for arm in arms)
    return f"no learning rate in common; {', '.join(has)}"


def count_text(count: int, what: str) -> str:
    """A number of things."""
    return f"1 {what}" if count == 1 else f"{count} {what}s"

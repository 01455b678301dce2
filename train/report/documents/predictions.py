"""The predictions of results/PLAN.md, second and third part: by what rule each holds or fails."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

from train.report.documents.leads import Cell, DataSet, Tested, family

# By data set, in points of test accuracy.
MARGINS = {"digits": 0.3, "cifar10": 0.5}
MARGIN = 0.02  # of a lead
_NEAR_THE_LIMIT = 6.4  # the contrast of rates stays below


@dataclasses.dataclass(frozen=True)
class Answer:
    """One prediction on one data set."""

    rows: list[Tested]
    holds: bool
    fails: bool

    def missing(self, pairs: int, tests: int) -> str:
        """What was planned and has not been run; "" for nothing."""
        found = min(row.pairs.run for row in self.rows)
        if len(self.rows) < tests:
            return f"{len(self.rows)} of {tests} tests run"
        return f"{found} of {pairs} pairs run" if found < pairs else ""

    def verdict(self, pairs: int, tests: int) -> str:
        """In a word or two; of an answer from less than was planned, how much there is."""
        if missing := self.missing(pairs, tests):
            return missing
        if self.fails:
            return "refuted"
        return "holds" if self.holds else "undecided"


def larger_rates(data: DataSet, _margin: float) -> Answer | None:
    """At equal α rsgdm's training loss is below sgdm's, the more the larger α."""
    rates = data.rates("rsgdm", "sgdm")
    calm = [rate for rate in rates if rate < _NEAR_THE_LIMIT]
    if not calm:
        return None
    leads = {rate: data.leads(Cell("rsgdm", rate), Cell("sgdm", rate)) for rate in rates}
    low, high = min(calm), max(calm)
    contrast = leads[high].less(leads[low], f"the lead at {high:g} minus that at {low:g}")
    rows = family([*leads.values(), contrast])
    return Answer(rows, all(r.is_above for r in rows), any(r.is_below for r in rows))


def larger_decays(data: DataSet, _margin: float) -> Answer | None:
    """The lead shrinks towards β = ½ and grows with β."""
    rates = [
        rate
        for rate in data.rates("rsgdm", "sgdm")
        if data.has(*(Cell(arm, rate) for arm in ("s50", "r50", "s97", "r97")))
    ]
    if not rates:
        return None
    contrasts = []
    for rate in rates:
        small, usual, large = (
            data.leads(Cell(ours, rate), Cell(theirs, rate))
            for ours, theirs in (("r50", "s50"), ("rsgdm", "sgdm"), ("r97", "s97"))
        )
        at = f"α = {rate:g}: the lead at β ="
        contrasts += [
            large.less(usual, f"{at} 0.97 minus that at 0.9"),
            usual.less(small, f"{at} 0.9 minus that at 0.5"),
        ]
    rows = family(contrasts)
    return Answer(rows, all(r.is_above for r in rows), any(r.is_below for r in rows))


def larger_corrections(data: DataSet, _margin: float) -> Answer | None:
    """Some c above β beats c = β at small α, none does near the stable limit."""
    arms = [arm for arm in ("c2", "c4") if data.has(Cell(arm))]
    rates = data.rates("rsgdm", "sgdm")
    if not (arms and rates):
        return None
    rows = family(
        [
            data.leads(Cell(arm, rate), Cell("rsgdm", rate)).counted()
            for rate in (min(rates), max(rates))
            for arm in arms
        ]
    )
    small, large = rows[: len(arms)], rows[len(arms) :]
    beats_at_large = any(row.is_above for row in large)
    return Answer(
        rows,
        any(row.is_above for row in small) and not beats_at_large,
        all(row.is_below for row in small) or beats_at_large,
    )


def other_decays(data: DataSet, _margin: float) -> Answer | None:
    """No sgdm with another β′ matches rsgdm at high α."""
    cells = [
        Cell(arm, rate)
        for rate in data.rates("rsgdm", "sgdm")
        for arm in ("s80", "s87")
        if data.has(Cell(arm, rate))
    ]
    if not cells:
        return None
    rows = family([data.leads(Cell("rsgdm", cell.rate), cell).counted() for cell in cells])
    return Answer(
        rows,
        all(row.is_above for row in rows),
        any(row.is_below or row.is_within(MARGIN) for row in rows),
    )


def lost_gradient(data: DataSet, _margin: float) -> Answer | None:
    """At low α rsgdm is behind nesterov at first, by the lost gradient, and equal at the end."""
    rates = data.rates("rsgdm", "nesterov")
    if not rates:
        return None
    one, other = Cell("rsgdm", min(rates)), Cell("nesterov", min(rates))
    first, last = family([data.steps_behind(one, other), data.leads(one, other)])
    steps = first.difference.mean or 0.0
    return Answer(
        [first, last],
        first.is_above and 0.5 <= steps <= 1.5 and last.is_within(MARGIN),
        first.is_below or last.is_outside(MARGIN),
    )


def best_rates(data: DataSet, margin: float) -> Answer | None:
    """Each at its own best rate: rsgdm's loss is not above sgdm's, accuracy within the margin."""
    arms = ("rsgdm", "nesterov")
    if not data.has(*map(Cell, ("sgdm", *arms)), study="best"):
        return None
    rows = family(
        [
            *(data.leads(Cell(arm), Cell("sgdm"), "best") for arm in arms),
            *(data.accuracies(Cell(arm), Cell("sgdm"), "best") for arm in arms),
        ]
    )
    lead, _, accuracy, _ = rows
    return Answer(
        rows,
        _is_not_behind(lead) and accuracy.is_within(margin),
        lead.is_below or accuracy.is_outside(margin),
    )


def adam(data: DataSet, margin: float) -> Answer | None:
    """At its own best rate rsadam is equal to nadam, and not behind adam."""
    others = ("adam", "nadam")
    if not data.has(*map(Cell, ("rsadam", *others)), study="adam"):
        return None
    rows = family(
        [
            *(data.leads(Cell("rsadam"), Cell(arm), "adam") for arm in others),
            *(data.accuracies(Cell("rsadam"), Cell(arm), "adam") for arm in others),
        ]
    )
    to_adam, to_nadam, points, points_to_nadam = rows
    return Answer(
        rows,
        _is_not_behind(to_adam)
        and _is_not_behind(points, margin)
        and to_nadam.is_within(MARGIN)
        and points_to_nadam.is_within(margin),
        to_adam.is_below or points.is_below,
    )


def adam_at_equal_rates(data: DataSet, _margin: float) -> Answer | None:
    """At equal rates rsadam leads nadam."""
    study = "adam_equal"
    rates = data.rates("nadam", "rsadam", study)
    if not rates:
        return None
    cells = [(Cell("rsadam", rate), Cell("nadam", rate)) for rate in rates]
    rows = family(
        [
            *(data.leads(*both, study) for both in cells),
            *(data.accuracies(*both, study) for both in cells),
        ]
    )
    leads = rows[: len(rates)]
    return Answer(
        rows,
        all(row.is_above for row in leads),
        any(row.is_below for row in leads) or all(row.is_within(MARGIN) for row in leads),
    )


def longer_training(data: DataSet, _margin: float) -> Answer | None:
    """With longer training the difference in test accuracy shrinks."""
    both = Cell("rsgdm"), Cell("sgdm")
    if not all(data.has(*both, study=study) for study in ("best", "longer")):
        return None
    long, short = (data.accuracies(*both, study) for study in ("longer", "best"))
    epochs = f"after {data.epochs('longer')} epochs"
    rows = family(
        [
            long.less(
                short,
                f"rsgdm − sgdm {epochs} minus that after {data.epochs('best')}, "
                "points of test accuracy",
            ),
            dataclasses.replace(long, name=f"rsgdm − sgdm {epochs}, points of test accuracy"),
            dataclasses.replace(data.leads(*both, "longer"), name=f"rsgdm over sgdm {epochs}"),
        ]
    )
    contrast = rows[0]
    return Answer(rows, contrast.is_below, contrast.is_above)


def _is_not_behind(row: Tested, margin: float = MARGIN) -> bool:
    """By no more than the margin."""
    return row.difference.low is not None and row.difference.low > -margin


class Prediction(NamedTuple):
    """A rule, and what was planned for it: with less there is no verdict yet."""

    rule: Callable[[DataSet, float], Answer | None]  # its docstring is what it says
    planned: Mapping[str, tuple[int, int]]  # by data set: pairs and tests


# In the plan's order.
PREDICTIONS = [
    Prediction(larger_rates, {"digits": (30, 5), "cifar10": (10, 4)}),
    Prediction(larger_decays, {"digits": (30, 4), "cifar10": (10, 2)}),
    Prediction(larger_corrections, {"digits": (30, 4), "cifar10": (10, 2)}),
    Prediction(other_decays, {"digits": (30, 4), "cifar10": (10, 2)}),
    Prediction(lost_gradient, {"digits": (30, 2), "cifar10": (10, 2)}),
    Prediction(best_rates, {"digits": (30, 4), "cifar10": (10, 4)}),
    Prediction(adam, {"digits": (30, 4), "cifar10": (5, 4)}),
    Prediction(adam_at_equal_rates, {"digits": (30, 6)}),
    Prediction(longer_training, {"cifar10": (7, 3)}),
]

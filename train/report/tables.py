"""The tables of a task: its arms, their differences, and their best rates."""

import dataclasses
import math
from collections.abc import Sequence

from train.report.cells import difference_text, markdown_table, p_text, pairing_text, spread_text
from train.report.paper import PaperTable
from train.report.rates import RESAMPLES, BestRate, best_rates
from train.report.scores import (
    Arms,
    Measure,
    Scores,
    comparisons,
    count_text,
    no_common_rate,
)
from train.report.statistics import Spread, least_pairs
from train.report.verdict import Comparison, Pairs, compare, confidence

COMPARISONS_HEADER = [
    *("comparison", "measure", "pairs", "difference [interval]", "confidence"),
    *("p", "Holm", "equivalence", "detectable", "pairing"),
]
_MANY_SEEDS = 5  # for the share of draws in which a rate is best to mean something
RATES_HEADER = ["arm", "best rate", "seeds", "how often each rate is best"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One arm's line of the table at one rate; accuracies are fractions."""

    arm: str
    rate: float | None
    n: int  # runs that did not diverge
    diverged: int
    spreads: dict[str, Spread]  # by the measure's name


@dataclasses.dataclass(frozen=True)
class StudyTable:
    """What one study found, in however many folders it lies, or one task of a file."""

    title: str
    folders: list[str]  # empty in a study's own report, which does not depend on its place
    measures: tuple[Measure, ...]
    rows: list[Row]
    comparisons: list[Comparison]
    best_rates: list[BestRate]  # empty unless an arm has several rates
    paper: PaperTable | None
    unfinished: int
    not_compared: list[str]  # pairs of arms without a rate in common

    @property
    def diverged(self) -> int:
        """How many runs diverged."""
        return sum(row.diverged for row in self.rows)

    @property
    def main_comparisons(self) -> list[Comparison]:
        """Those on the first measure, the one that counts."""
        return [each for each in self.comparisons if each.measure == self.measures[0]]

    def header(self) -> list[str]:
        """The names of the arms' columns."""
        rate = [] if self._no_rates else ["rate"]
        return [
            "arm",
            *rate,
            "seeds",
            *(f"{each.name} {each.symbol}".strip() for each in self.measures),
        ]

    @property
    def _no_rates(self) -> bool:
        return all(row.rate is None for row in self.rows)

    def cells(self) -> list[list[str]]:
        """The arms' text, a list a row; the paper's stands below ours."""
        lines = []
        for row in self.rows:
            rate = [] if self._no_rates else ["" if row.rate is None else f"{row.rate:.6g}"]
            seeds = f"{row.n}" + (f" + {row.diverged} diverged" if row.diverged else "")
            figures = [spread_text(row.spreads[each.name], each) for each in self.measures]
            lines.append([row.arm, *rate, seeds, *figures])
            if self.paper and row.arm in self.paper.rows:
                theirs = self.paper.rows[row.arm]
                printed = {"test accuracy": theirs.test, "train accuracy": theirs.train}
                figures = [printed.get(each.name, "") for each in self.measures]
                lines.append([f"{row.arm}, paper", "", "", *figures])
        return lines

    def comparison_cells(self) -> list[list[str]]:
        """The comparisons' text under `COMPARISONS_HEADER`, a list a row."""
        lines = []
        for each in self.comparisons:
            found, measure = each.difference, each.measure
            pairs = f"{found.n}" + (
                f" of {found.n + each.diverged_pairs}" if each.diverged_pairs else ""
            )
            detectable = "none" if each.detectable is None else measure.number(each.detectable)
            lines.append(
                [
                    *(each.name, measure.name, pairs),
                    difference_text(found, measure.scale, measure.digits),
                    confidence(found.level),
                    *(p_text(each.p), p_text(each.adjusted)),
                    "" if each.margin is None else p_text(each.equivalence_adjusted),
                    detectable,
                    pairing_text(each.pairing),
                ]
            )
            papers = self.paper.rows.keys() if self.paper else set()
            if self.paper and measure.name == "test accuracy" and {each.arm, each.other} <= papers:
                points = f"{self.paper.points(each.arm, each.other):+.2f}"
                lines.append([f"{each.name}, paper", measure.name, "", points, *[""] * 6])
        return lines

    def rate_cells(self) -> list[list[str]]:
        """The best rates' text under `RATES_HEADER`, a list a row."""
        return [
            [
                each.arm,
                "none: diverged" if each.rate is None else f"{each.rate:.6g}",
                f"{each.seeds}",
                ", ".join(f"{rate:.6g}: {100 * share:.0f} %" for rate, share in each.wins.items()),
            ]
            for each in self.best_rates
        ]

    def verdicts(self) -> list[str]:
        """A sentence a comparison; one for all rates where none of them can show anything."""
        if self.best_rates and self.comparisons:
            most = max(self.comparisons, key=lambda each: each.difference.n)
            if most.is_hopeless and all(each.verdict == "undecided" for each in self.comparisons):
                return [most.hopeless()]
        return [each.sentence() for each in self.comparisons]

    def notes(self) -> list[str]:
        """What a reader must know, before anything else what the study is."""
        notes = [self.title_note()]
        if self.comparisons:
            notes += self._inference()
        notes += [f"Not compared: {each}." for each in self.not_compared]
        notes += self.rate_notes()
        if self.paper:
            notes.append(
                f"Paper: its Table {self.paper.number}, as printed; the number of runs and of "
                "epochs, and whether the last epoch counts or the best, are not stated."
            )
        if self.diverged:
            notes.append("Diverged runs count in no mean, and their pairs are excluded.")
        if self.unfinished:
            notes.append(f"Unfinished runs, not counted: {self.unfinished}.")
        if self.folders:
            notes.append(f"From {', '.join(self.folders)}.")
        return notes

    def title_note(self) -> str:
        """What the rows are."""
        return f"{self.title}; mean ± standard deviation over seeds."

    def rate_notes(self) -> list[str]:
        """What a reader must know of the best rates."""
        if not self.best_rates:
            return []
        notes = [
            f"Best rate: the one with the best mean {self.measures[0].name}, and how often each "
            f"rate is best when the seeds are drawn again, {RESAMPLES:,} times. Best rates are not "
            "compared here: chosen on these seeds, they would look better than they are."
        ]
        seeds = min(each.seeds for each in self.best_rates)
        if 0 < seeds < _MANY_SEEDS:
            draws = math.comb(2 * seeds - 1, seeds)
            notes.append(
                f"{count_text(seeds, 'seed')} can be drawn in {count_text(draws, 'way')} only: a "
                "share of 100 % says little."
            )
        ends = [each.arm for each in self.best_rates if each.at_end]
        if ends:
            notes.append(f"At the end of its rates: {', '.join(ends)}. Try rates beyond.")
        return notes

    def _inference(self) -> list[str]:
        first = [each for each in self.main_comparisons if each.difference.n]
        count = len(first)
        if not first:
            return []
        notes = [
            "Differences are paired by seed. Interval, p and verdict come from the same sign-flip "
            f"tests. Holm: p adjusted for the {count_text(count, 'comparison')} of a measure; the "
            "confidence of an interval is the one at which Holm's method judged it. Detectable: "
            "the smallest true difference that so many pairs find with 80 % power at this spread, "
            "by the paired t test. Pairing: correlation r over seeds, and how many times the seeds "
            "an unpaired comparison would need."
        ]
        if first[0].margin is not None:
            notes.append(
                f"Equivalence: adjusted p of the two one-sided tests against the margin, "
                f"±{first[0].measure.scale * first[0].margin:.6g} {first[0].measure.unit}."
            )
        pairs, needed = max(each.difference.n for each in first), least_pairs(count)
        if pairs < needed:
            notes.append(
                f"With {count_text(count, 'comparison')}, at least {needed} pairs are needed to "
                f"find any difference at 95 %; there are at most {pairs}."
            )
        return notes

    def markdown(self) -> str:
        """The tables, sentences and notes, in Markdown, without a line end."""
        blocks = [markdown_table(self.header(), self.cells())]
        if self.best_rates:
            blocks.append(markdown_table(RATES_HEADER, self.rate_cells()))
        if self.comparisons:
            blocks.append(markdown_table(COMPARISONS_HEADER, self.comparison_cells()))
            blocks.append("\n".join(f"- {line}" for line in self.verdicts()))
        return "\n\n".join([*blocks, "\n".join(self.notes())])


def tabulate_scores(
    scores: Scores,
    title: str,
    margin: float | None,
    arms: Sequence[Arms] | None = None,
    *,
    folders: Sequence[str] = (),
    paper: PaperTable | None = None,
    unfinished: int = 0,
) -> StudyTable:
    """The numbers of a table of scores; the margin is of its first measure."""
    if arms is None:
        arms = comparisons(scores, None, None)
    found = []
    for measure in scores.measures:
        if measure.is_compared:
            family = [pairs for pair in arms for pairs in Pairs.of(scores, pair, measure)]
            found += compare(family, margin if measure == scores.measures[0] else None)
    return StudyTable(
        title=title,
        folders=list(folders),
        measures=scores.measures,
        rows=[_row(scores, arm, rate) for arm in scores.arms for rate in scores.rates(arm)],
        comparisons=found,
        best_rates=best_rates(scores) if scores.has_rates else [],
        paper=paper,
        unfinished=unfinished,
        not_compared=[
            f"{pair[0]} with {pair[1]}, {no_common_rate(scores, pair)}"
            for pair in arms
            if not scores.matched(*pair)
        ],
    )


def _row(scores: Scores, arm: str, rate: float | None) -> Row:
    runs = scores.cell(arm, rate).values()
    diverged = sum(not run.values for run in runs)
    spreads = {
        each.name: Spread.of([run.values[each.name] for run in runs if each.name in run.values])
        for each in scores.measures
    }
    return Row(arm, rate, len(runs) - diverged, diverged, spreads)

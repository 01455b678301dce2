"""A study's tables: its optimizers, and their differences to the baseline."""

import dataclasses
from collections.abc import Sequence

from train.report.merge import Merged
from train.report.paper import PAPER, PaperTable
from train.report.statistics import (
    BASELINE,
    FEWEST_PAIRS,
    MOST_PAIRS,
    Difference,
    Differences,
    Spread,
    paired_differences,
)
from train.report.verdict import PRIMARY, Comparison, Pairs, compare
from train.runs.settings import RunConfig
from train.runs.store import Run

COMPARISONS_HEADER = [
    *(f"− {BASELINE}", "measure", "pairs", "difference [95 %]"),
    *("p", "Holm", "TOST", "seeds needed"),
]


@dataclasses.dataclass(frozen=True)
class Row:
    """One optimizer's line of the table. Accuracies are fractions."""

    optimizer: str
    alpha: float  # of the EMA form, in the first epoch
    accuracy: Spread
    loss: Spread
    train_accuracy: Spread  # all training examples, in evaluation mode
    diverged: int


@dataclasses.dataclass(frozen=True)
class StudyTable:
    """What one study found, in however many folders it lies."""

    title: str
    folders: list[str]  # empty in a study's own report, which does not depend on its place
    evaluation: str
    margin_points: float  # of accuracy
    rows: list[Row]
    comparisons: list[Comparison]
    paper: PaperTable | None
    unfinished: int

    @property
    def diverged(self) -> int:
        """How many runs ended in a loss that is not finite."""
        return sum(row.diverged for row in self.rows)

    def header(self) -> list[str]:
        """The names of the optimizers' columns."""
        return [
            *("optimizer", "rate α", "seeds"),
            *(f"{self.evaluation} accuracy %", f"{self.evaluation} loss", "train accuracy %"),
        ]

    def cells(self) -> list[list[str]]:
        """The optimizers' text, a list a row; the paper's stands below ours."""
        lines = []
        for row in self.rows:
            seeds = f"{row.accuracy.n}" + (f" + {row.diverged} diverged" if row.diverged else "")
            accuracies = _spread(row.accuracy, 100, 2), _spread(row.train_accuracy, 100, 2)
            loss = _spread(row.loss, 1, 4)
            rate = f"{row.alpha:.6g}"
            lines.append([row.optimizer, rate, seeds, accuracies[0], loss, accuracies[1]])
            if self.paper and row.optimizer in self.paper.rows:
                theirs = self.paper.rows[row.optimizer]
                lines.append([f"{row.optimizer}, paper", "", "", theirs.test, "", theirs.train])
        return lines

    def comparison_cells(self) -> list[list[str]]:
        """The comparisons' text under `COMPARISONS_HEADER`, a list a row."""
        lines = []
        for of in self.comparisons:
            name, n = of.optimizer, of.accuracy.n
            pairs = f"{n} of {n + of.diverged_pairs}" if of.diverged_pairs else f"{n}"
            accuracy, loss = difference_text(of.accuracy, 100, 2), difference_text(of.loss, 1, 4)
            accuracy_p = _p(of.accuracy_p.raw), _p(of.accuracy_p.adjusted)
            if name == PRIMARY:
                accuracy_p = accuracy_p[0], "primary"
            loss_p = _p(of.loss_p.raw), _p(of.loss_p.adjusted)
            tost = _p(of.within_p.adjusted)
            lines += [
                [name, "accuracy", pairs, accuracy, *accuracy_p, tost, _needed(of)],
                [name, "loss", pairs, loss, *loss_p, "", ""],
            ]
            if self.paper and name in self.paper.rows:
                points = f"{self.paper.points(name, BASELINE):+.2f}"
                lines.append([f"{name}, paper", "accuracy", "", points, "", "", "", ""])
        return lines

    def verdicts(self) -> list[str]:
        """A line a comparison, in the fixed words."""
        of_what = f"{self.evaluation} accuracy, margin ±{self.margin_points:g} points"
        return [
            f"{of.optimizer} − {BASELINE} ({of_what}): {of.direction}; size {of.size}."
            for of in self.comparisons
        ]

    def notes(self) -> list[str]:
        """What a reader must know, before anything else what the study is."""
        notes = [f"{self.title}. Last epoch; mean ± standard deviation over seeds."]
        if self.comparisons:
            notes.append(
                f"Differences to {BASELINE} are paired by seed; of accuracy in points. p: paired "
                "permutation test. Holm: p adjusted for all comparisons but the primary one, "
                f"{PRIMARY} − {BASELINE} in accuracy. TOST: p of the equivalence test, adjusted "
                "likewise. Seeds needed: for a paired t test to tell the observed difference from "
                "zero with 80 % power."
            )
            if max(of.accuracy.n for of in self.comparisons) < FEWEST_PAIRS:
                notes.append(
                    f"With fewer than {FEWEST_PAIRS} pairs no difference can be distinguished."
                )
        elif self.rows[0].optimizer != BASELINE:
            notes.append(f"There is no {BASELINE} to pair with.")
        if self.paper:
            notes.append(
                f"Paper: its Table {self.paper.number}, as printed; the number of runs and of "
                "epochs, and whether the last epoch counts or the best, are not stated."
            )
        if self.diverged:
            notes.append("Diverged runs count in no mean, and the pairs they were in are left out.")
        if self.unfinished:
            notes.append(f"Unfinished runs, not counted: {self.unfinished}.")
        if self.folders:
            notes.append(f"From {', '.join(self.folders)}.")
        return notes


def tabulate(study: Merged, margin_points: float, *, name_folders: bool) -> StudyTable:
    """A study's numbers; a difference of accuracies within the margin does not matter."""
    config, evaluation = study.runs[0].config, study.runs[0].evaluation
    by_optimizer = study.by_optimizer()
    baseline = by_optimizer.get(BASELINE)
    others = {name: runs for name, runs in by_optimizer.items() if name != BASELINE}
    pairs = {name: paired(runs, baseline, evaluation) for name, runs in others.items() if baseline}
    return StudyTable(
        title=title_of(config),
        folders=[str(folder) for folder in study.folders if name_folders],
        evaluation=evaluation,
        margin_points=margin_points,
        rows=[_row(name, runs, evaluation) for name, runs in by_optimizer.items()],
        comparisons=compare(pairs, margin_points / 100),
        paper=PAPER.get((config.dataset, config.model)) if evaluation == "test" else None,
        unfinished=study.unfinished,
    )


def _row(name: str, runs: list[Run], evaluation: str) -> Row:
    done = [run.result for run in runs if run.is_done]
    train_accuracies = (result["clean_train_accuracy"] for result in done)
    return Row(
        optimizer=name,
        alpha=runs[0].metrics[0]["alpha"],
        accuracy=Spread.of([result[f"{evaluation}_accuracy"] for result in done]),
        loss=Spread.of([result[f"{evaluation}_loss"] for result in done]),
        train_accuracy=Spread.of([value for value in train_accuracies if value is not None]),
        diverged=len(runs) - len(done),
    )


def paired(runs: list[Run], baseline: list[Run], evaluation: str) -> Pairs:
    """The runs' differences to the baseline's of the same seeds."""

    def differences(measure: str) -> Differences:
        ours, theirs = (
            {run.config.seed: run.result[f"{evaluation}_{measure}"] for run in of if run.is_done}
            for of in (runs, baseline)
        )
        return paired_differences(ours, theirs)

    seeds = {run.config.seed for run in runs} & {run.config.seed for run in baseline}
    accuracy = differences("accuracy")
    return Pairs(accuracy, differences("loss"), diverged=len(seeds) - len(accuracy))


def title_of(config: RunConfig) -> str:
    """The settings that all runs of a study share, but for the rates."""
    parts = [f"{config.model} on {config.dataset}"]
    if config.train_examples is not None:
        parts.append(f"{config.train_examples} examples")
    if config.validation_examples:
        parts.append(f"{config.validation_examples} held out")
    if not config.augment:
        parts.append("no augmentation")
    parts += [
        _epochs(config.epochs),
        f"batch {config.batch_size}",
        f"rate halved every {_epochs(config.halve_every)}",
        f"decay {config.decay:g}",
        f"weight decay {config.weight_decay:g}",
    ]
    if config.dtype != "float32":
        parts.append(config.dtype)
    if config.tf32:
        parts.append("TensorFloat-32")
    if config.lr_convention != "ema":
        parts.append(f"rates given as {config.lr_convention}")
    return ", ".join(parts)


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _spread(spread: Spread, scale: float, digits: int) -> str:
    if spread.mean is None:
        return "none"
    text = _number(scale * spread.mean, digits)
    return text if spread.std is None else f"{text} ± {_number(scale * spread.std, digits)}"


def difference_text(difference: Difference, scale: float, digits: int) -> str:
    """Mean and interval, times the scale."""
    if difference.mean is None:
        return "no pair"
    text = _number(scale * difference.mean, digits, "+")
    if difference.low is None or difference.high is None:
        return f"{text} ({'one pair' if difference.n == 1 else 'all alike'})"
    low, high = (_number(scale * end, digits, "+") for end in (difference.low, difference.high))
    return f"{text} [{low}, {high}]"


def _number(value: float, digits: int, sign: str = "-") -> str:
    return f"{value:{sign}.{digits}{'f' if abs(value) < 1e7 else 'e'}}"


def _p(p: float | None) -> str:
    if p is None:
        return "none"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _needed(of: Comparison) -> str:
    if of.pairs_needed is not None:
        return f"{of.pairs_needed}"
    return "none" if of.accuracy.low is None else f"> {MOST_PAIRS}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, without a line end."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

"""The report on a study, from its files alone.

python train/report.py STUDY
"""

import dataclasses
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from train import command
from train.comparison import BASELINE, Difference, Spread, paired_difference
from train.config import RunConfig
from train.errors import InputError
from train.figures import draw_figures
from train.options import Parser
from train.records import REPORT, Run, load_runs, run_folders, write_bytes, write_json


@dataclasses.dataclass(frozen=True)
class Row:
    """One optimizer's line of the table. Accuracies are fractions."""

    optimizer: str
    learning_rate: float
    accuracy: Spread
    loss: Spread
    train_accuracy: Spread  # all training examples, in evaluation mode
    difference: Difference | None  # of accuracy, to the baseline
    diverged: int


@dataclasses.dataclass(frozen=True)
class Report:
    """A study's table, and where its files are."""

    folder: Path
    title: str
    evaluation: str
    rows: list[Row]
    unfinished: int

    @property
    def diverged(self) -> int:
        """How many runs ended in a loss that is not finite."""
        return sum(row.diverged for row in self.rows)

    def header(self) -> list[str]:
        """The table's column names."""
        return [
            "optimizer",
            "rate α",
            "seeds",
            f"{self.evaluation} accuracy %",
            f"{self.evaluation} loss",
            "train accuracy %",
            f"− {BASELINE}, points [95 %]",
        ]

    def cells(self) -> list[list[str]]:
        """The table's text, a list a row."""
        return [
            [
                row.optimizer,
                f"{row.learning_rate:.6g}",
                f"{row.accuracy.n}" + (f" + {row.diverged} diverged" if row.diverged else ""),
                _spread(row.accuracy, 100, 2),
                _spread(row.loss, 1, 4),
                _spread(row.train_accuracy, 100, 2),
                _difference(row.difference) if row.optimizer != BASELINE else "",
            ]
            for row in self.rows
        ]

    def notes(self) -> list[str]:
        """What a reader of the table must know."""
        notes = [
            f"{self.title}. Last epoch; mean ± standard deviation over seeds; last column: "
            f"difference in accuracy to {BASELINE}, paired by seed, with its 95 % interval."
        ]
        if self.diverged:
            notes.append("Diverged runs count in no mean.")
        if self.unfinished:
            notes.append(f"Unfinished runs, not counted: {self.unfinished}.")
        return notes

    def show(self) -> None:
        """Prints the table to standard output."""
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 200  # a file or a pipe has no width to fit in
        table = Table(*self.header(), box=box.SIMPLE_HEAD)
        for cells in self.cells():
            table.add_row(*cells)
        console.print(table)
        for note in self.notes():
            console.print(note, markup=False)
        console.print(f"Report and figures: {self.folder}", markup=False, soft_wrap=True)


def build_report(study: Path) -> Report:
    """Reads every finished run of a study and writes table, numbers and figures.

    Raises:
      InputError: if the folder is no study, holds no finished run, or a file is damaged.
    """
    runs = load_runs(study)
    if not runs:
        raise InputError(f"{study}: holds no finished run")
    names = {run.config.optimizer for run in runs}
    order = sorted(names, key=lambda name: (name != BASELINE, name != "rsgdm", name))
    by_optimizer = {name: [run for run in runs if run.config.optimizer == name] for name in order}
    evaluation = "validation" if runs[0].config.validation_examples else "test"
    report = Report(
        folder=study / REPORT,
        title=_title(runs[0].config),
        evaluation=evaluation,
        rows=[
            _row(name, of_name, by_optimizer.get(BASELINE, []), f"{evaluation}_accuracy")
            for name, of_name in by_optimizer.items()
        ],
        unfinished=len(run_folders(study)) - len(runs),
    )
    report.folder.mkdir(exist_ok=True)
    write_bytes(report.folder / "table.md", _markdown(report).encode())
    write_json(report.folder / "results.json", _numbers(report, runs))
    draw_figures(report.folder, _curves(by_optimizer, evaluation), evaluation)
    return report


def _row(name: str, runs: list[Run], baseline: list[Run], measure: str) -> Row:
    done = [run.result for run in runs if run.is_done]
    return Row(
        optimizer=name,
        learning_rate=runs[0].metrics[0]["learning_rate"],
        accuracy=Spread.of([result[measure] for result in done]),
        loss=Spread.of([result[measure.replace("accuracy", "loss")] for result in done]),
        train_accuracy=Spread.of([result["clean_train_accuracy"] for result in done]),
        difference=paired_difference(_by_seed(runs, measure), _by_seed(baseline, measure)),
        diverged=len(runs) - len(done),
    )


def _by_seed(runs: list[Run], measure: str) -> dict[int, float]:
    return {run.config.seed: run.result[measure] for run in runs if run.is_done}


def _curves(
    by_optimizer: dict[str, list[Run]], evaluation: str
) -> dict[str, dict[str, list[list[float]]]]:
    """Measure, optimizer, run, epoch."""
    splits = ("train", evaluation)
    measures = [f"{split}_{what}" for split in splits for what in ("accuracy", "loss")]
    return {
        measure: {
            name: [[line[measure] for line in run.metrics] for run in runs if run.is_done]
            for name, runs in by_optimizer.items()
        }
        for measure in measures
    }


def _title(config: RunConfig) -> str:
    parts = [f"{config.model} on {config.dataset}"]
    if config.train_examples is not None:
        parts.append(f"{config.train_examples} examples")
    if config.validation_examples:
        parts.append(f"{config.validation_examples} held out")
    if not config.augment:
        parts.append("no augmentation")
    parts += [
        f"{config.epochs} epochs",
        f"batch {config.batch_size}",
        f"rate halved every {config.halve_every} epochs",
        f"decay {config.decay:g}",
        f"weight decay {config.weight_decay:g}",
    ]
    if config.lr_convention != "ema":
        parts.append(f"rates given as {config.lr_convention}")
    return ", ".join(parts)


def _spread(spread: Spread, scale: float, digits: int) -> str:
    if spread.mean is None:
        return "none"
    text = f"{scale * spread.mean:.{digits}f}"
    return text if spread.std is None else f"{text} ± {scale * spread.std:.{digits}f}"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return f"no {BASELINE} to pair with"
    text = f"{100 * difference.mean:+.2f}"
    if difference.low is None or difference.high is None:
        return f"{text} (one pair)"
    return f"{text} [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"


def _markdown(report: Report) -> str:
    table = markdown_table(report.header(), report.cells())
    return table + "\n\n" + "\n".join(report.notes()) + "\n"


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown, without a line end."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _numbers(report: Report, runs: list[Run]) -> dict[str, Any]:
    environments: list[dict[str, Any]] = []
    for run in runs:
        here = {key: value for key, value in run.environment.items() if key != "started"}
        if here not in environments:
            environments.append(here)
    return {
        "study": report.title,
        "evaluation": report.evaluation,
        "baseline": BASELINE,
        "unfinished": report.unfinished,
        "optimizers": [dataclasses.asdict(row) for row in report.rows],
        "runs": {run.config.name: run.result for run in runs},
        "environments": environments,
    }


def main() -> int:
    """Rebuilds one study's report and prints its table; returns the exit status."""
    parser = Parser(
        prog="report.py", description="Rebuild a study's table and figures from its files."
    )
    parser.add_argument("study", metavar="STUDY", type=Path, help="folder that training wrote")
    build_report(parser.parse_args().study).show()
    return 0


if __name__ == "__main__":
    command.run("report.py", main)

"""The report on a study, from its files alone.

python train/report.py STUDY
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from train.comparison import BASELINE, Difference, Spread, paired_difference
from train.errors import InputError
from train.figures import draw_figures
from train.records import REPORT, RunFolder, run_folders, write_bytes, write_json


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
            f"accuracy − {BASELINE}, points (95 % interval)",
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
            f"{self.title}. Last epoch; mean ± standard deviation over seeds; differences are "
            "paired by seed."
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
      InputError: if the folder is no study, or holds no finished run.
    """
    folders = run_folders(study)
    finished = [folder for folder in folders if folder.is_finished]
    if not finished:
        raise InputError(f"{study}: holds no finished run")
    by_optimizer: dict[str, dict[int, RunFolder]] = {}
    for folder in finished:
        config = folder.config()
        by_optimizer.setdefault(config["optimizer"], {})[config["seed"]] = folder
    order = sorted(by_optimizer, key=lambda name: (name != BASELINE, name != "rsgdm", name))
    results = {
        name: {seed: folder.result() for seed, folder in sorted(by_optimizer[name].items())}
        for name in order
    }
    first = finished[0].config()
    evaluation = "validation" if first["validation_examples"] else "test"
    report = Report(
        folder=study / REPORT,
        title=_title(first, evaluation),
        evaluation=evaluation,
        rows=[
            _row(name, results, evaluation, next(iter(by_optimizer[name].values())))
            for name in order
        ],
        unfinished=len(folders) - len(finished),
    )
    report.folder.mkdir(exist_ok=True)
    write_bytes(report.folder / "table.md", _markdown(report).encode())
    write_json(report.folder / "results.json", _numbers(report, results, finished))
    draw_figures(report.folder, _curves(by_optimizer, results, evaluation), evaluation)
    return report


def _row(name: str, results: dict[str, Any], evaluation: str, folder: RunFolder) -> Row:
    done = {s: r for s, r in results[name].items() if r["status"] == "done"}
    baseline = {s: r for s, r in results.get(BASELINE, {}).items() if r["status"] == "done"}
    measure = f"{evaluation}_accuracy"
    return Row(
        optimizer=name,
        learning_rate=folder.metrics()[0]["learning_rate"],
        accuracy=Spread.of([r[measure] for r in done.values()]),
        loss=Spread.of([r[f"{evaluation}_loss"] for r in done.values()]),
        train_accuracy=Spread.of([r["clean_train_accuracy"] for r in done.values()]),
        difference=paired_difference(
            {s: r[measure] for s, r in done.items()}, {s: r[measure] for s, r in baseline.items()}
        ),
        diverged=len(results[name]) - len(done),
    )


def _curves(
    by_optimizer: dict[str, dict[int, RunFolder]], results: dict[str, Any], evaluation: str
) -> dict[str, dict[str, list[list[float]]]]:
    measures = [
        f"{split}_{what}" for split in ("train", evaluation) for what in ("accuracy", "loss")
    ]
    curves: dict[str, dict[str, list[list[float]]]] = {measure: {} for measure in measures}
    for name, by_seed in results.items():
        for seed, result in by_seed.items():
            if result["status"] != "done":
                continue
            lines = by_optimizer[name][seed].metrics()
            for measure in measures:
                curves[measure].setdefault(name, []).append([line[measure] for line in lines])
    return curves


def _title(config: dict[str, Any], evaluation: str) -> str:
    subset = "" if config["train_examples"] is None else f", {config['train_examples']} examples"
    held_out = f", {config['validation_examples']} held out" if evaluation == "validation" else ""
    return (
        f"{config['model']} on {config['dataset']}{subset}{held_out}, {config['epochs']} epochs, "
        f"batch {config['batch_size']}, rate halved every {config['halve_every']} epochs, "
        f"decay {config['decay']:g}, weight decay {config['weight_decay']:g}"
    )


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
    header = report.header()
    lines = [header, ["---"] * len(header), *report.cells()]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return table + "\n\n" + "\n".join(report.notes()) + "\n"


def _numbers(report: Report, results: dict[str, Any], finished: list[RunFolder]) -> dict[str, Any]:
    return {
        "study": report.title,
        "evaluation": report.evaluation,
        "baseline": BASELINE,
        "unfinished": report.unfinished,
        "optimizers": [dataclasses.asdict(row) for row in report.rows],
        "runs": {
            f"{name}-seed{seed}": result
            for name, by_seed in results.items()
            for seed, result in by_seed.items()
        },
        "environments": _distinct(finished),
    }


def _distinct(finished: list[RunFolder]) -> list[dict[str, Any]]:
    """Every environment that a run was made in, once."""
    seen: list[dict[str, Any]] = []
    for folder in finished:
        here = {k: v for k, v in folder.environments()[-1].items() if k != "started"}
        if here not in seen:
            seen.append(here)
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="report.py", description="Rebuild a study's table and figures from its files."
    )
    parser.add_argument("study", metavar="STUDY", type=Path, help="folder that training wrote")
    try:
        build_report(parser.parse_args(arguments).study).show()
    except InputError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The report on one study or several, from their files alone.

python train/report.py STUDY
python train/report.py STUDY STUDY ... --output FOLDER
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from train import command
from train.comparison import BASELINE, LEVEL
from train.config import RunConfig
from train.errors import InputError
from train.figures import draw_figures
from train.merging import Merged, merge
from train.options import Parser, number
from train.records import REPORT, write_bytes, write_json
from train.table import COMPARISONS_HEADER, Row, StudyTable, markdown_table, tabulate
from train.verdict import MARGIN_POINTS, PRIMARY

_MEASURES = ("accuracy", "loss")
_FIGURE = re.compile(r"(train|test|validation)_(accuracy|loss)\.(png|svg)")
_PARTS = re.compile(rf"{_FIGURE.pattern}|table\.md|results\.json|table-\d+")


@dataclasses.dataclass(frozen=True)
class Report:
    """The tables of one study or several, and where their files are."""

    folder: Path
    headings: list[str]  # one a table; empty where there is one table only
    tables: list[StudyTable]

    @property
    def rows(self) -> list[Row]:
        """The optimizers' lines of all tables."""
        return [row for table in self.tables for row in table.rows]

    @property
    def diverged(self) -> int:
        """How many runs ended in a loss that is not finite."""
        return sum(table.diverged for table in self.tables)

    def show(self) -> None:
        """Prints the tables to standard output."""
        console = Console(highlight=False, markup=False)
        if not console.is_terminal:
            console.width = 200  # a file or a pipe has no width to fit in
        for heading, table in zip(self.headings, self.tables, strict=True):
            if heading:
                console.print(heading)
            _print_table(console, table.header(), table.cells())
            if table.comparisons:
                _print_table(console, COMPARISONS_HEADER, table.comparison_cells())
            for line in (*table.verdicts(), *table.notes()):
                console.print(line)
        console.print(f"Report and figures: {self.folder}", soft_wrap=True)

    def markdown(self) -> str:
        """The tables as they stand in table.md."""
        blocks = []
        for heading, table in zip(self.headings, self.tables, strict=True):
            if heading:
                blocks.append(f"## {heading}")
            blocks.append(markdown_table(table.header(), table.cells()))
            if table.comparisons:
                blocks.append(markdown_table(COMPARISONS_HEADER, table.comparison_cells()))
                blocks.append("\n".join(f"- {line}" for line in table.verdicts()))
            blocks.append("\n".join(table.notes()))
        return "\n\n".join(blocks) + "\n"


def build_report(
    study: Path, *more: Path, output: Path | None = None, margin_points: float = MARGIN_POINTS
) -> Report:
    """Reads every finished run of the studies and writes tables, numbers and figures.

    Args:
      study: its folder.
      *more: other studies; those of the same settings share a table.
      output: the report's folder; that of a single study lies in it, unless told otherwise.
      margin_points: the difference of accuracies, in points, that is too small to matter.

    Raises:
      InputError: if a folder is no study or holds no finished run, a file is damaged, runs
      contradict each other, or the output is something else. Nothing has been written then.
    """
    if not 0 < margin_points < 100:
        raise InputError(f"margin: {margin_points!r} is not a number of points above 0, below 100")
    if output is None and more:
        raise InputError("--output: missing; a report on several studies needs a folder of its own")
    merged = merge([study, *more])
    folder = study / REPORT if output is None else output
    if folder.resolve() != (study / REPORT).resolve() or more:
        _check_output(folder, [study, *more])
    report = Report(
        folder=folder,
        headings=_headings([group.runs[0].config for group in merged]),
        tables=[tabulate(group, margin_points, name_folders=bool(more)) for group in merged],
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", _numbers(report, merged))  # first: it marks a report
    write_bytes(folder / "table.md", report.markdown().encode())
    _draw(report, merged)
    return report


def _check_output(folder: Path, studies: Sequence[Path]) -> None:
    for study in studies:
        if study.resolve() in folder.resolve().parents:
            raise InputError(f"--output: {folder} is inside of {study}; choose another folder")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"--output: {folder} is a file")
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    foreign = sorted(name for name in names if not _PARTS.fullmatch(name))
    if foreign:
        raise InputError(f"--output: {folder} holds {foreign[0]}, which is no part of a report")
    if names and not _is_report(folder / "results.json"):
        raise InputError(f"--output: {folder} is not empty, and no report; choose another folder")


def _is_report(results: Path) -> bool:
    try:
        content = json.loads(results.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(content, dict) and "tables" in content


def _headings(configs: list[RunConfig]) -> list[str]:
    """A table's number and the settings that tell it from others; the rates stand in its rows."""
    if len(configs) == 1:
        return [""]
    fields = [field.name for field in dataclasses.fields(RunConfig)]
    telling = [
        field
        for field in fields
        if field not in ("optimizer", "seed", "learning_rate")
        and len({getattr(config, field) for config in configs}) > 1
    ]
    return [
        ": ".join(
            [
                f"Table {k}",
                *[", ".join(f"{field} {getattr(config, field)!s:.16}" for field in telling)],
            ]
        ).removesuffix(": ")
        for k, config in enumerate(configs, 1)
    ]


def _numbers(report: Report, merged: list[Merged]) -> dict[str, Any]:
    return {
        "baseline": BASELINE,
        "primary": PRIMARY,
        "level": LEVEL,
        "tables": [
            {
                **dataclasses.asdict(table),
                "runs": {run.config.name: run.result for run in group.runs},
                "environments": _environments(group),
            }
            for table, group in zip(report.tables, merged, strict=True)
        ],
    }


def _environments(group: Merged) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for run in group.runs:
        here = {key: value for key, value in run.environment.items() if key != "started"}
        if here not in found:
            found.append(here)
    return found


def _draw(report: Report, merged: list[Merged]) -> None:
    """Draws every table's figures; those of several tables have a folder each."""
    drawn: set[Path] = set()
    for k, (table, group) in enumerate(zip(report.tables, merged, strict=True), 1):
        folder = report.folder if len(merged) == 1 else report.folder / f"table-{k}"
        folder.mkdir(exist_ok=True)
        drawn.update(draw_figures(folder, curves(group, table.evaluation), table.evaluation))
    # Figures of an earlier report would be taken for this one's.
    for path in (*report.folder.glob("*.*"), *report.folder.glob("table-*/*.*")):
        if _FIGURE.fullmatch(path.name) and path not in drawn:
            path.unlink()


def curves(group: Merged, evaluation: str) -> dict[str, dict[str, list[list[float]]]]:
    """What the figures show: measure, optimizer, run, epoch."""
    measures = [f"{split}_{what}" for split in ("train", evaluation) for what in _MEASURES]
    return {
        measure: {
            name: [[line[measure] for line in run.metrics] for run in runs if run.is_done]
            for name, runs in group.by_optimizer().items()
        }
        for measure in measures
    }


def _print_table(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True)
    for name in header:
        # One heading takes two lines, so that on 100 columns no number has to.
        table.add_column(name.replace("seeds needed", "seeds\nneeded"))
    for cells in rows:
        table.add_row(*cells)
    console.print(table)


def main() -> int:
    """Rebuilds the report and prints its tables; returns the exit status."""
    parser = Parser(
        prog="report.py",
        description="Rebuild the tables and figures of one study or several from their files. "
        "Studies of the same settings share a table.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "studies", metavar="STUDY", nargs="+", type=Path, help="folder that training wrote"
    )
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, help="needed for several (default: STUDY/report)"
    )
    parser.add_argument(
        "--margin",
        metavar="POINTS",
        default=f"{MARGIN_POINTS}",
        help="accuracy difference too small to matter (default: %(default)s)",
    )
    given = parser.parse_args()
    margin = number("margin", given.margin)
    build_report(*given.studies, output=given.output, margin_points=margin).show()
    return 0


if __name__ == "__main__":
    command.run("report.py", main)

"""The report on one study or several, from their files alone.

python train/report.py STUDY
python train/report.py STUDY STUDY ... --output FOLDER

A STUDY is a folder, or the one file that tools/pack_study.py made of it.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.common.arguments import Parser, number
from train.common.errors import InputError
from train.common.screen import print_table, screen
from train.report.figures import figures, write_figures
from train.report.merge import Merged, merge
from train.report.statistics import BASELINE, LEVEL
from train.report.tables import COMPARISONS_HEADER, Row, StudyTable, markdown_table, tabulate
from train.report.verdict import MARGIN_POINTS, PRIMARY
from train.runs.folders import REPORT, is_litter
from train.runs.formats import FORMAT, check_format
from train.runs.store import write_bytes, write_json

_MEASURES = ("accuracy", "loss")
_FIGURE = re.compile(r"(train|test|validation)_(accuracy|loss)\.(png|svg)")
_PARTS = re.compile(rf"{_FIGURE.pattern}|table\.md|results\.json|table-\d+")


@dataclasses.dataclass(frozen=True)
class Report:
    """The tables of one study or several, and the runs behind each."""

    folder: Path  # of its files
    groups: list[Merged]
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
        console = screen()
        for heading, table in zip(self._headings(), self.tables, strict=True):
            if heading:
                console.print(heading)
            print_table(console, table.header(), table.cells())
            if table.comparisons:
                cells = table.comparison_cells()
                print_table(console, COMPARISONS_HEADER, cells, title=f"{{}} − {BASELINE}")
            for line in (*table.verdicts(), *table.notes()):
                console.print(line)
        console.print(f"Report and figures: {self.folder}", soft_wrap=True)

    def markdown(self) -> str:
        """The tables as they stand in table.md."""
        blocks = []
        for heading, table in zip(self._headings(), self.tables, strict=True):
            if heading:
                blocks.append(f"## {heading}")
            blocks.append(markdown_table(table.header(), table.cells()))
            if table.comparisons:
                blocks.append(markdown_table(COMPARISONS_HEADER, table.comparison_cells()))
                blocks.append("\n".join(f"- {line}" for line in table.verdicts()))
            blocks.append("\n".join(table.notes()))
        return "\n\n".join(blocks) + "\n"

    def _headings(self) -> list[str]:
        """A table's number and the settings that tell it from others; the rates are in its rows."""
        if len(self.groups) == 1:
            return [""]
        configs = [group.runs[0].config for group in self.groups]
        telling = [
            name
            for name in configs[0].identity
            if name not in ("optimizer", "seed", "learning_rate")
            and len({config.identity[name] for config in configs}) > 1
        ]
        headings = []
        for k, config in enumerate(configs, 1):
            settings = ", ".join(f"{name} {getattr(config, name)!s:.16}" for name in telling)
            headings.append(f"Table {k}: {settings}" if settings else f"Table {k}")
        return headings

    def write(self) -> None:
        """Writes tables, numbers and figures; several reports may do so at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "results.json", self._numbers())  # first: it marks a report
        write_bytes(self.folder / "table.md", self.markdown().encode(errors="replace"))
        drawn: set[Path] = set()
        for k, (table, group) in enumerate(zip(self.tables, self.groups, strict=True), 1):
            folder = self.folder if len(self.groups) == 1 else self.folder / f"table-{k}"
            folder.mkdir(exist_ok=True)
            shown = figures(curves(group, table.evaluation), table.evaluation)
            drawn.update(write_figures(folder, shown))
        # Figures of an earlier report would be taken for this one's.
        for path in (*self.folder.glob("*.*"), *self.folder.glob("table-*/*.*")):
            if _FIGURE.fullmatch(path.name) and path not in drawn:
                path.unlink(missing_ok=True)

    def _numbers(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "baseline": BASELINE,
            "primary": PRIMARY,
            "level": LEVEL,
            "tables": [
                {
                    **dataclasses.asdict(table),
                    "runs": {run.config.name: run.result for run in group.runs},
                    "environments": _environments(group),
                }
                for table, group in zip(self.tables, self.groups, strict=True)
            ],
        }


def build_report(
    study: Path, *more: Path, output: Path | None = None, margin_points: float = MARGIN_POINTS
) -> Report:
    """Reads every finished run of the studies, and writes the report; see `read_report`."""
    report = read_report(study, *more, output=output, margin_points=margin_points)
    report.write()
    return report


def read_report(
    study: Path, *more: Path, output: Path | None = None, margin_points: float = MARGIN_POINTS
) -> Report:
    """Reads every finished run of the studies; nothing is written.

    Args:
      study: its folder, or the file that it was packed into.
      *more: other studies; those of the same settings share a table.
      output: the report's folder; that of a single folder lies in it, unless told otherwise.
      margin_points: the difference of accuracies, in points, that is too small to matter.

    Raises:
      InputError: if a path is no study or holds no finished run, a file cannot be read, runs
      contradict each other, or the output is something else.
    """
    if not 0 < margin_points < 100:
        raise InputError(f"margin: {margin_points!r} is not a number of points above 0, below 100")
    if output is None and (more or study.is_file()):
        raise InputError(
            "--output: missing; a report on several studies, or on a packed one, needs a folder of "
            "its own"
        )
    groups = merge([study, *more])
    folder = study / REPORT if output is None else output
    if more or folder.resolve() != (study / REPORT).resolve():
        _check_output(folder, [study, *more])
    _check_earlier(folder)
    tables = [tabulate(group, margin_points, name_folders=bool(more)) for group in groups]
    return Report(folder, groups, tables)


def _check_output(folder: Path, studies: Sequence[Path]) -> None:
    for study in studies:
        if study.resolve() in folder.resolve().parents:
            raise InputError(f"--output: {folder} is inside of {study}; choose another folder")
    if not folder.is_dir():
        return
    names = [path.name for path in folder.iterdir() if not is_litter(path.name)]
    foreign = sorted(name for name in names if not _PARTS.fullmatch(name))
    if foreign:
        raise InputError(f"--output: {folder} holds {foreign[0]}, which is no part of a report")
    if names and _tables(folder) is None:
        raise InputError(f"--output: {folder} is not empty, and no report; choose another folder")


def _check_earlier(folder: Path) -> None:
    """Raises `InputError` if the folder is a file, or has the report of a newer version."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output: {folder} is a file")
    earlier = _tables(folder)
    if earlier is not None:
        check_format(str(folder / "results.json"), earlier)


def _tables(folder: Path) -> dict[str, Any] | None:
    """The content of a report's results.json, if it is one."""
    try:
        content = json.loads((folder / "results.json").read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and "tables" in content else None


def _environments(group: Merged) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for run in group.runs:
        here = {key: value for key, value in run.environment.items() if key != "started"}
        if here not in found:
            found.append(here)
    return found


def curves(group: Merged, evaluation: str) -> dict[str, dict[str, list[list[float | None]]]]:
    """What the figures show: measure, optimizer, run, epoch."""
    measures = [f"{split}_{what}" for split in ("train", evaluation) for what in _MEASURES]
    return {
        measure: {
            name: [[line[measure] for line in run.metrics] for run in runs if run.is_done]
            for name, runs in group.by_optimizer().items()
        }
        for measure in measures
    }


def main() -> int:
    """Rebuilds the report and prints its tables; returns the exit status."""
    parser = Parser(
        prog="report.py",
        description="Rebuild the tables and figures of one study or several from their files. "
        "Studies of the same settings share a table.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "studies",
        metavar="STUDY",
        nargs="+",
        type=Path,
        help="folder that training wrote, or the file that it was packed into",
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        help="needed for several or a packed one (default: STUDY/report)",
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

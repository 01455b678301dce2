"""A report's tables on the screen, and its files."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.common.errors import InputError
from train.common.files import write_bytes, write_json
from train.common.screen import print_table, screen
from train.report.figures import curve_figures, table_figures, write_figures
from train.report.merge import Merged
from train.report.scores import Scores
from train.report.statistics import LEVEL
from train.report.studies import curves
from train.report.tables import COMPARISONS_HEADER, RATES_HEADER, StudyTable
from train.runs.folders import is_litter
from train.runs.formats import FORMAT, check_format

_FIGURE = re.compile(r"((train|test|validation)_(accuracy|loss)|differences|rates)\.(png|svg)")
_PARTS = re.compile(rf"{_FIGURE.pattern}|table\.md|results\.json|table-\d+")


@dataclasses.dataclass(frozen=True)
class Section:
    """One table of a report, and what it was made of."""

    heading: str  # empty where there is one table alone
    table: StudyTable
    scores: Scores
    study: Merged | None  # None for a file's scores

    def numbers(self) -> dict[str, Any]:
        """All that results.json says of it."""
        found = dataclasses.asdict(self.table)
        if self.study is None:
            return found | {"scores": [dataclasses.asdict(run) for run in self.scores.runs]}
        return found | {
            "runs": {name: run.result for name, run in self.study.by_name().items()},
            "environments": _environments(self.study),
        }

    def write_figures(self, folder: Path) -> list[Path]:
        """Draws and writes every figure; returns the files."""
        drawn = table_figures(self.table, self.scores)
        if self.study is not None:
            shown = curves(self.study, self.table.best_rates)
            drawn = curve_figures(shown, self.study.runs[0].evaluation) | drawn
        return write_figures(folder, drawn)


@dataclasses.dataclass(frozen=True)
class Report:
    """The tables of one study or several, or of a file's tasks."""

    folder: Path  # of its files
    sections: list[Section]

    @property
    def tables(self) -> list[StudyTable]:
        """One a section."""
        return [section.table for section in self.sections]

    @property
    def diverged(self) -> int:
        """How many runs diverged."""
        return sum(table.diverged for table in self.tables)

    def show(self) -> None:
        """Prints the tables to standard output."""
        console = screen()
        for section in self.sections:
            table = section.table
            if section.heading:
                console.print(section.heading)
            print_table(console, table.header(), table.cells())
            if table.best_rates:
                print_table(console, RATES_HEADER, table.rate_cells())
            if table.comparisons:
                print_table(console, COMPARISONS_HEADER, table.comparison_cells())
            for line in (*table.verdicts(), *table.notes()):
                console.print(line)
        console.print(f"Report and figures: {self.folder}", soft_wrap=True)

    def markdown(self) -> str:
        """The tables as they stand in table.md."""
        blocks = []
        for section in self.sections:
            if section.heading:
                blocks.append(f"## {section.heading}")
            blocks.append(section.table.markdown())
        return "\n\n".join(blocks) + "\n"

    def write(self) -> None:
        """Writes tables, numbers and figures; several reports may do so at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tables = [section.numbers() for section in self.sections]
        numbers = {"format": FORMAT, "level": LEVEL, "tables": tables}
        write_json(self.folder / "results.json", numbers)  # first: it marks a report
        write_bytes(self.folder / "table.md", self.markdown().encode(errors="replace"))
        drawn: set[Path] = set()
        for k, section in enumerate(self.sections, 1):
            folder = self.folder if len(self.sections) == 1 else self.folder / f"table-{k}"
            folder.mkdir(exist_ok=True)
            drawn.update(section.write_figures(folder))
        # Figures of an earlier report would be taken for this one's.
        for path in (*self.folder.glob("*.*"), *self.folder.glob("table-*/*.*")):
            if _FIGURE.fullmatch(path.name) and path not in drawn:
                path.unlink(missing_ok=True)


def check_output(folder: Path, studies: Sequence[Path]) -> None:
    """Raises `InputError` if the folder lies in a study, or holds something else."""
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


def check_earlier(folder: Path) -> None:
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

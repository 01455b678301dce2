"""Scores from a CSV file, so that results of any program can have a report.

arm,seed,score          one line a run; the order of lines and columns does not matter
arm,rate,seed,score     the learning rate, where there are several
task,arm,seed,score     each task has tables of its own
"""

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from train.common.errors import InputError
from train.common.files import reading
from train.report.scores import Arms, Measure, Score, Scores, Seed
from train.report.statistics import Spread

_NEEDED = ("arm", "seed", "score")
_COLUMNS = (*_NEEDED, "rate", "task")
_DIGITS = 18  # of a seed that is a number; a longer one is a name
_LARGEST = 1e100  # squares of what is larger overflow
_Key = tuple[str, str, float | None, Seed]  # task, arm, rate, seed


class CsvScores:
    """The scores of a CSV file, task by task, and where each stands.

    A score that is not finite (nan, inf) is a diverged run.

    Args:
      path: of the file.
      better: whether the higher score or the lower one is better.

    Raises:
      InputError: naming the file and the line, if a column is missing or unknown, a number cannot
      be read, or a run is there twice.
    """

    def __init__(self, path: Path, better: Literal["higher", "lower"]) -> None:
        self.path = path
        self._lines: dict[_Key, int] = {}
        runs: dict[str, list[Score]] = {}
        for line, cells in _rows(path):
            rate = self._rate(line, cells)
            run = Score(
                cells["arm"], rate, _seed(cells["seed"]), self._values(line, cells["score"])
            )
            key = (cells["task"], run.arm, rate, run.seed)
            if key in self._lines:
                raise InputError(
                    f"{path}, line {line}: {_named(key)} is there already, in line "
                    f"{self._lines[key]}"
                )
            self._lines[key] = line
            runs.setdefault(cells["task"], []).append(run)
        if not runs:
            raise InputError(f"{path}, line 1: no run follows the names of the columns")
        self.tasks = [
            Scores(task, (_measure(found, better),), tuple(found)) for task, found in runs.items()
        ]

    def check_pairs(self, scores: Scores, comparisons: list[Arms]) -> None:
        """Raises `InputError` if a run that is compared lacks its partner of the same seed."""
        for one, other in comparisons:
            for our_rate, their_rate in scores.matched(one, other):
                cells = (one, our_rate), (other, their_rate)
                for there, lacking in (cells, cells[::-1]):
                    for seed in scores.cell(*there).keys() - scores.cell(*lacking).keys():
                        raise InputError(
                            f"{self.path}, line {self._lines[scores.task, *there, seed]}: "
                            f"{there[0]} has seed {seed}, {lacking[0]} has not; each needs the "
                            "other for a pair"
                        )

    def _rate(self, line: int, cells: dict[str, str]) -> float | None:
        if "rate" not in cells:
            return None
        rate = self._number(line, "rate", cells["rate"])
        if not 0 < rate < math.inf:
            raise InputError(f"{self.path}, line {line}: rate {cells['rate']!r} is not above 0")
        return rate

    def _values(self, line: int, text: str) -> dict[str, float]:
        score = self._number(line, "score", text)
        if not math.isfinite(score):
            return {}
        if abs(score) > _LARGEST:
            raise InputError(
                f"{self.path}, line {line}: score {text!r:.60} is beyond ±{_LARGEST:g}; write inf "
                "for a run that diverged"
            )
        return {"score": score}

    def _number(self, line: int, column: str, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise InputError(
                f"{self.path}, line {line}: {column} {text!r:.60} is not a number"
            ) from None


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines' numbers and cells by column; the task is empty where there is none."""
    with reading(path):
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")  # some spreadsheets begin a file with a mark
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        names = [name.strip() for name in next(reader, [])]
        _check_header(path, names)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}, line {reader.line_num}"
            if len(row) != len(names):
                raise InputError(f"{where}: {len(row)} cells, where line 1 names {len(names)}")
            cells = {name: cell.strip() for name, cell in zip(names, row, strict=True)}
            for name, cell in cells.items():
                if not cell:
                    hint = "; write nan for a run that diverged" if name == "score" else ""
                    raise InputError(f"{where}: {name} is empty{hint}")
                if not cell.isprintable():
                    raise InputError(f"{where}: {name} {cell!r:.60} is not a line of text")
            yield reader.line_num, {"task": ""} | cells
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise InputError(f"{path}, line {line}: is no CSV file: no text in UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: is no CSV file: {error}") from None


def _check_header(path: Path, names: list[str]) -> None:
    where, allowed = f"{path}, line 1", ", ".join(_COLUMNS)
    if not any(names):
        raise InputError(f"{where}: is empty; its first line names the columns {allowed}")
    for name in _NEEDED:
        if name not in names:
            raise InputError(f"{where}: no column {name!r}; needed are {', '.join(_NEEDED)}")
    for name in names:
        if name not in _COLUMNS:
            raise InputError(f"{where}: column {name!r:.60} is unknown; allowed: {allowed}")
        if names.count(name) > 1:
            raise InputError(f"{where}: column {name!r} is there twice")


def _seed(text: str) -> Seed:
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else text


def _named(key: _Key) -> str:
    task, arm, rate, seed = key
    at = "" if rate is None else f", rate {rate:g}"
    return f"{arm}{at}, seed {seed}{f' of {task}' if task else ''}"


def _measure(runs: list[Score], better: Literal["higher", "lower"]) -> Measure:
    """Digits enough for four of the spread within an arm: pairs differ by less."""
    cells: dict[tuple[str, float | None], list[float]] = {}
    for run in runs:
        cells.setdefault((run.arm, run.rate), []).extend(run.values.values())
    spreads = [Spread.of(values).std for values in cells.values()]
    least = min((spread for spread in spreads if spread), default=0.01)
    digits = min(12, max(0, 3 - math.floor(math.log10(least))))
    return Measure("score", better, "in score", digits=digits)

"""A study's folder: its runs, and what else lies there.

STUDY/OPTIMIZER-seedK/   a run: train/runs/store.py
STUDY/report/            what train/report.py makes of them
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from train.common.errors import InputError
from train.runs.settings import RunConfig
from train.runs.store import RunFolder, exists, mismatch, reading

REPORT = "report"
_RUN_NAME = re.compile(r"[a-z_]+-seed\d+")
# What file managers, file systems, editors and schedulers leave anywhere.
_LITTER = re.compile(
    r"\..*|@eaDir|Thumbs\.db|desktop\.ini|Icon\r|lost\+found|__MACOSX|\$RECYCLE\.BIN|#.*#|.*~"
    r"|System Volume Information|.*\.(swp|bak|orig|tmp|out|err|log)"
)


def is_litter(name: str) -> bool:
    """Whether a file of this name is nobody's work."""
    return _LITTER.fullmatch(name) is not None


@dataclasses.dataclass(frozen=True)
class Contents:
    """What lies in a study's folder."""

    runs: list[tuple[RunFolder, RunConfig]]  # whether finished or not
    strays: dict[str, str]  # what is no run of the study, by name: what it is
    has_report: bool


def contents(study: Path) -> Contents:
    """Looks through a study's folder.

    Raises:
      InputError: if there is no such folder, or a run's settings cannot be read.
    """
    with reading(study):
        if not study.is_dir():
            what = "is a file" if study.exists() else "does not exist"
            raise InputError(f"{study}: {what}; a study is the folder that training wrote")
        found = Contents([], {}, has_report=exists(study / REPORT))
        for path in sorted(study.iterdir()):
            if path.name == REPORT or path.name.startswith("."):
                continue
            if not (_RUN_NAME.fullmatch(path.name) and path.is_dir()):
                found.strays[path.name] = "no run"
            elif exists(path / "config.json"):
                folder = RunFolder(path)
                config = folder.config()
                if config.name == path.name:
                    found.runs.append((folder, config))
                else:
                    found.strays[path.name] = f"the run {config.name}"
            # Without a file it was stopped before its first: as if it were not there.
            elif not all(is_litter(inside.name) for inside in path.iterdir()):
                raise mismatch(path / "config.json", "is missing")
    return found


def check_same_study(study: Path, runs: list[RunConfig]) -> None:
    """Raises `InputError` if the folder holds another study than these runs', or no study."""
    if not study.exists() and not study.is_symlink():
        return
    found = contents(study)
    strays = {name: what for name, what in found.strays.items() if not is_litter(name)}
    if found.runs:  # what lies beside them does no harm, unless it lies in the way
        strays = {run.name: strays[run.name] for run in runs if run.name in strays}
    elif found.has_report:
        strays[REPORT] = "no run"
    for name, what in strays.items():
        raise InputError(
            f"{study}: holds {name}, which is {what}; choose another --output, or move it away"
        )
    wanted = {run.optimizer: run for run in runs}
    for _, config in found.runs:
        # Single optimizers may have rates of their own: compare each with its like.
        difference = difference_of(config, wanted.get(config.optimizer) or runs[0])
        if difference:
            raise InputError(
                f"{study}: belongs to another study, with {difference[0]} {difference[1]!r} in "
                f"{config.name} where this one has {difference[2]!r}; choose another --output"
            )


def difference_of(a: RunConfig, b: RunConfig) -> tuple[str, Any, Any] | None:
    """The first setting in which runs of one study must agree, and do not."""
    free = {"optimizer", "seed"} | ({"learning_rate"} if a.optimizer != b.optimizer else set())
    mine, other = a.identity, b.identity
    for name in mine:
        if name not in free and mine[name] != other[name]:
            return name, getattr(a, name), getattr(b, name)
    return None

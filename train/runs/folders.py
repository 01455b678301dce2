"""A study's folder: its runs, and what else lies there.

STUDY/ARM-seedK/            a run: train/runs/store.py
STUDY/ARM-rateRATE-seedK/   a run of an arm that has several learning rates
STUDY/report/               what train/report.py makes of them
"""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.common.errors import InputError
from train.common.files import exists, reading
from train.runs.settings import RunConfig
from train.runs.store import RunFolder, mismatch

REPORT = "report"
_RUN_NAME = re.compile(r"\w+(-rate[\w.+-]+)?-seed\d+")
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
                if path.name in (config.name, config.name_with_rate):
                    found.runs.append((folder, config))
                else:
                    found.strays[path.name] = f"the run {config.name}"
            # Without a file it was stopped before its first: as if it were not there.
            elif not all(is_litter(inside.name) for inside in path.iterdir()):
                raise mismatch(path / "config.json", "is missing")
    return found


def check_same_study(study: Path, runs: Sequence[RunConfig]) -> None:
    """Raises `InputError` if the folder holds another study than these runs', or no study."""
    if not study.exists() and not study.is_symlink():
        return
    found = contents(study)
    strays = {name: what for name, what in found.strays.items() if not is_litter(name)}
    if found.runs:  # what lies beside them does no harm, unless it lies in the way
        ours = {name for run in runs for name in (run.name, run.name_with_rate)}
        strays = {name: strays[name] for name in strays.keys() & ours}
    elif found.has_report:
        strays[REPORT] = "no run"
    for name, what in strays.items():
        raise InputError(
            f"{study}: holds {name}, which is {what}; choose another --output, or move it away"
        )
    for _, config in found.runs:
        # Like arms are compared with each other: an arm's name must mean the same optimizer.
        like = next((run for run in runs if run.arm == config.arm), runs[0])
        difference = difference_of(config, like)
        if difference:
            raise InputError(
                f"{study}: belongs to another study, with {difference[0]} {difference[1]!r} in "
                f"{config.name} where this one has {difference[2]!r}; choose another --output"
            )


def difference_of(a: RunConfig, b: RunConfig) -> tuple[str, Any, Any] | None:
    """The first setting in which runs of one study must agree, and do not."""
    free = {"arm", "seed", "learning_rate"}
    if a.arm != b.arm:
        free |= {"optimizer", "version"}
    mine, other = a.identity, b.identity
    for name in mine:
        if name not in free and mine[name] != other[name]:
            return name, getattr(a, name), getattr(b, name)
    return None


def places(study: Path, runs: Sequence[RunConfig]) -> list[RunFolder]:
    """The folder of each run: where it is already, or where it will be.

    A rate stands in the name of a new folder if its arm has several.
    """
    found = contents(study).runs if study.exists() else []
    where = {_key(config): folder for folder, config in found}
    rates: dict[str, set[float]] = defaultdict(set)
    for config in [*runs, *(config for _, config in found)]:
        rates[config.arm].add(config.learning_rate)
    return [
        where.get(_key(run))
        or RunFolder(study / (run.name if len(rates[run.arm]) == 1 else run.name_with_rate))
        for run in runs
    ]


def _key(run: RunConfig) -> tuple[Any, ...]:
    return run.arm, run.learning_rate, run.seed

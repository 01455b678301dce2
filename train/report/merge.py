"""Several studies as few: those with the same settings, from several machines, become one."""

import dataclasses
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from train.common.errors import InputError
from train.common.progress import warn
from train.report.statistics import BASELINE
from train.report.verdict import PRIMARY
from train.runs import packed
from train.runs.folders import Contents, contents, difference_of
from train.runs.settings import RunConfig
from train.runs.store import Run


@dataclasses.dataclass(frozen=True)
class Merged:
    """What studies of the same settings hold together."""

    folders: list[Path]  # or packed files
    runs: list[Run]  # finished ones, each arm, rate and seed once
    unfinished: int

    def by_arm(self) -> dict[str, list[Run]]:
        """The baseline's runs first, then those of the paper's optimizer; each by seed."""
        names = {run.config.arm for run in self.runs}
        order = sorted(names, key=lambda name: (name != BASELINE, name != PRIMARY, name))
        runs = sorted(self.runs, key=lambda run: run.config.seed)
        return {name: [run for run in runs if run.config.arm == name] for name in order}

    def by_name(self) -> dict[str, Run]:
        """Each run under its name, with the rate in it where the arm has several."""
        return {
            run.config.name_with_rate
            if len({other.config.learning_rate for other in runs}) > 1
            else run.config.name: run
            for runs in self.by_arm().values()
            for run in runs
        }


def merge(paths: Sequence[Path]) -> list[Merged]:
    """Puts together the studies whose settings agree, in the order given.

    A study is a folder, or a file that train/runs/packed.py wrote.

    Two agree if they could stand in one folder: all settings are equal but arms, rates and seeds,
    and an arm that both have is the same optimizer.

    Raises:
      InputError: if a path is no study or holds no finished run, a file is damaged, a study
      agrees with two that do not agree with each other, or one run is there twice with
      different results.
    """
    studies = [_load(folder) for folder in dict.fromkeys(paths)]
    merged: list[list[_Study]] = []
    for study in studies:
        alike = [other for other in studies if _disagreement(study, other) is None]
        for one, other in combinations(alike, 2):
            setting = _disagreement(one, other)
            if setting is not None:
                raise InputError(
                    f"{study.folder}: belongs with {one.folder} and with {other.folder}, which "
                    f"differ in {setting}; report on it with one of them alone"
                )
        if alike not in merged:  # agreeing is transitive now
            merged.append(alike)
    return [_merged(group) for group in merged]


@dataclasses.dataclass(frozen=True, eq=False)
class _Study:
    folder: Path
    runs: dict[str, tuple[Path, Run]]  # by name with rate: where it lies, and the run
    unfinished: set[str]

    @property
    def configs(self) -> list[RunConfig]:
        return [run.config for _, run in self.runs.values()]


def _load(folder: Path) -> _Study:
    if folder.is_file():
        found = Contents([], {}, has_report=False)
        runs = [(folder / run.config.name_with_rate, run) for run in packed.read(folder)]
    else:
        found = contents(folder)
        runs = [(place.path, place.load()) for place, _ in found.runs if place.is_finished]
    if not runs:
        raise InputError(f"{folder}: holds no finished run")
    _check_one_study(folder, [run.config for _, run in runs])
    if found.strays:
        named = ", ".join(f"{name}, {what}" for name, what in found.strays.items())
        warn(f"{folder}: left out: {named:.300}")
    for path, run in runs:
        for figure in run.lost:
            warn(f"{path}: done, but its last {figure} is null; counted as diverged")
    known: dict[str, tuple[Path, Run]] = {}
    for path, run in runs:
        _add(known, path, run)
    unfinished = {config.name_with_rate for _, config in found.runs} - known.keys()
    return _Study(folder, known, unfinished)


def _check_one_study(folder: Path, configs: Sequence[RunConfig]) -> None:
    first = {config.arm: config for config in reversed(configs)}
    for config in configs:
        for other in (configs[0], first[config.arm]):
            difference = difference_of(config, other)
            if difference:
                raise InputError(
                    f"{folder}: {config.name} and {other.name} are not of one study; "
                    f"{difference[0]} is {difference[1]!r} and {difference[2]!r}"
                )


def _disagreement(a: _Study, b: _Study) -> str | None:
    """A setting in which two studies differ."""
    ours, theirs = ({config.arm: config for config in study.configs} for study in (a, b))
    pairs = [(ours[name], theirs[name]) for name in ours if name in theirs]
    for one, other in pairs or [(next(iter(ours.values())), next(iter(theirs.values())))]:
        difference = difference_of(one, other)
        if difference is not None:
            return difference[0]
    return None


def _merged(studies: list[_Study]) -> Merged:
    runs: dict[str, tuple[Path, Run]] = {}
    for study in studies:
        for path, run in study.runs.values():
            _add(runs, path, run)
    unfinished = set().union(*(study.unfinished for study in studies))
    return Merged(
        [study.folder for study in studies],
        [run for _, run in runs.values()],
        len(unfinished - runs.keys()),
    )


def _add(runs: dict[str, tuple[Path, Run]], path: Path, run: Run) -> None:
    """Adds a run unless it is there already; two of the same seed must be the same."""
    known_path, known = runs.setdefault(run.config.name_with_rate, (path, run))
    if _figures(run) != _figures(known):
        raise InputError(
            f"{path}: has other results than {known_path}, of the same settings and seed; "
            "report on one of them alone"
        )


def _figures(run: Run) -> list[dict[str, Any]]:
    """All that a run measured, except its speed."""
    return [
        {name: value for name, value in line.items() if name != "images_per_second"}
        for line in (*run.metrics, run.result)
    ]

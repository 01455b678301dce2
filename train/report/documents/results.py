"""What lies in a folder of results/, read and checked."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from train.report.merge import Merged, merge
from train.report.studies import study_scores, tabulate
from train.report.tables import StudyTable
from train.report.verdict import MARGIN_POINTS
from train.runs.measurements import (
    BIAS_VARIANCE,
    NESTEROV_DISTANCE,
    SHARPNESS,
    Numbers,
    read_numbers,
)

_ENVIRONMENT = {
    "platform": "{}",
    "cpus": "{} CPUs",
    "device": "device {}",
    "python": "Python {}",
    "packages": "{}",
    "commit": "commit {:.12}",
}


class Study:
    """The finished runs of one study, in a folder or packed."""

    def __init__(self, path: Path):
        self.merged: Merged
        (self.merged,) = merge([path])
        self.table: StudyTable = tabulate(self.merged, MARGIN_POINTS, name_folders=False)

    def share_rate(self, one: str, other: str) -> bool:
        """Whether both optimizers were run, at one rate."""
        rates = [study_scores(self.merged).rates(arm) for arm in (one, other)]
        return len(rates[0]) == 1 and rates[0] == rates[1]

    @property
    def evaluation(self) -> str:
        """What its runs were evaluated on."""
        return self.merged.runs[0].evaluation

    @property
    def environments(self) -> list[dict[str, Any]]:
        return [run.environment for run in self.merged.runs]

    @property
    def seconds(self) -> float:
        """Time spent on training, evaluation apart; the epoch in which a run diverged has none."""
        images = (
            (run.config.batch_size * line["step"] / line["epoch"], line["images_per_second"])
            for run in self.merged.runs
            for line in run.metrics
        )
        return float(sum(count / speed for count, speed in images if speed))


class Results:
    """Everything in a folder, by its place there; train/report/documents/make.py lists it.

    Raises:
      InputError: if a file is none of these, or cannot be read.
    """

    def __init__(self, folder: Path):
        self.studies: dict[str, Study] = {}
        self.tuning: dict[str, Study] = {}
        self.nesterov_distance: dict[str, list[Numbers]] = {}
        self.bias_variance: dict[str, list[Numbers]] = {}
        self.sharpness: dict[str, list[Numbers]] = {}
        measured = {
            NESTEROV_DISTANCE: self.nesterov_distance,
            BIAS_VARIANCE: self.bias_variance,
            SHARPNESS: self.sharpness,
        }
        for path in sorted(folder.rglob("*.json")):
            place = path.relative_to(folder)
            parent, (kind, *_) = place.parent.as_posix(), place.parts
            if kind in measured:
                measured[kind].setdefault(parent, []).append(read_numbers(path, kind))
            else:
                of_kind = self.tuning if kind == "tuning" else self.studies
                of_kind[place.with_suffix("").as_posix()] = Study(path)


def measured_on(environments: Iterable[dict[str, Any]]) -> str:
    """The machines, versions and commits, each once."""
    lines = []
    for environment in environments:
        facts = {key: environment[key] for key in _ENVIRONMENT if environment.get(key)}
        if "platform" in facts:
            facts["platform"] = facts["platform"].partition("-")[0]  # without the kernel's version
        if "packages" in facts:
            facts["packages"] = ", ".join(map(" ".join, facts["packages"].items()))
        line = ", ".join(_ENVIRONMENT[key].format(value) for key, value in facts.items())
        if line not in lines:
            lines.append(line)
    return f"Measured on {'; and on '.join(lines)}."

"""What lies under results/, read and checked."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from train.experiments import bias_variance, nesterov_distance
from train.experiments.measurement import Numbers, read_numbers
from train.report.merge import Merged, merge
from train.report.studies import tabulate
from train.report.tables import StudyTable
from train.report.verdict import MARGIN_POINTS
from train.runs.formats import SETTINGS, checked

_ENVIRONMENT = {
    "platform": "{}",
    "cpus": "{} CPUs",
    "device": "device {}",
    "python": "Python {}",
    "packages": "{}",
    "commit": "commit {:.12}",
}


class Study:
    """The finished runs of one folder."""

    def __init__(self, folder: Path):
        self.merged: Merged
        (self.merged,) = merge([folder])
        self.table: StudyTable = tabulate(self.merged, MARGIN_POINTS, name_folders=False)

    def share_rate(self, one: str, other: str) -> bool:
        """Whether both optimizers were run, at one rate."""
        rates = {row.arm: row.rate for row in self.table.rows}
        return {one, other} <= rates.keys() and rates[one] == rates[other]

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
    """Everything under results/, by the name of its folder."""

    def __init__(self, folder: Path):
        self.studies: dict[str, Study] = {}
        self.tuning: dict[str, dict[float, Study]] = {}
        # A study none of whose runs has ended is not there yet.
        for path in sorted({path.parents[1] for path in folder.rglob("result.json")}):
            name = path.relative_to(folder).as_posix()
            if name.startswith("tuning/"):
                rates = self.tuning.setdefault(Path(name).parent.as_posix(), {})
                rates[float(path.name.removeprefix("rate-"))] = Study(path)
            else:
                self.studies[name] = Study(path)
        self.straying = _measured(folder, nesterov_distance.NAME)
        self.correction = _measured(folder, bias_variance.NAME)


def _measured(folder: Path, name: str) -> dict[str, list[Numbers]]:
    found: dict[str, list[Numbers]] = {}
    for path in sorted((folder / name).rglob("*.json")):
        numbers = read_numbers(path, name)
        numbers["settings"] = checked(f"{path}, settings", numbers["settings"], SETTINGS)
        found.setdefault(path.parent.relative_to(folder).as_posix(), []).append(numbers)
    return found


def measured_on(environments: Iterable[dict[str, Any]]) -> str:
    """The machines, versions and commits, each once."""
    lines = []
    for environment in environments:
        facts = {key: environment[key] for key in _ENVIRONMENT if environment.get(key)}
        if "packages" in facts:
            facts["packages"] = ", ".join(map(" ".join, facts["packages"].items()))
        line = ", ".join(_ENVIRONMENT[key].format(value) for key, value in facts.items())
        if line not in lines:
            lines.append(line)
    return f"Measured on {'; and on '.join(lines)}."

"""What a measurement inside of training is made of: options, single steps, one file a run.

FOLDER/ARM-seedK.json   see train/runs/measurements.py
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from train.common import jax_settings
from train.common.arguments import Parser
from train.common.errors import InputError
from train.common.files import write_json
from train.data.dataset import Dataset
from train.engine import backend
from train.engine.epochs import Trainer
from train.models import cpu_convolution
from train.runs.environment import environment
from train.runs.formats import FORMAT
from train.runs.lock import locked
from train.runs.measurements import Numbers, read_numbers
from train.runs.settings import RunConfig
from train.study.cli import parse
from train.study.config import Config, Execution
from train.study.runner import check_batches, computing, load_data, matmul_precision
from train.study.validation import check

# Options of train/cifar.py that say how a study is executed or compared, not what a run is.
_NOT_HERE = (
    *("--dry-run", "--baseline", "--compare"),
    *(
        "--" + field.name.replace("_", "-")
        for field in dataclasses.fields(Execution)
        if field.name not in ("data_dir", "unverified_archive", "output")
    ),
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A training that is looked at step by step: the runs of one arm."""

    trainer: Trainer
    dataset: Dataset
    run: RunConfig  # its seed does not count

    def seeded(self, seed: int) -> RunConfig:
        """The run of a seed."""
        return dataclasses.replace(self.run, seed=seed)


# Called once for an arm, and what it returns once for a seed: so steps are compiled once.
Measurement = Callable[[Subject], Callable[[int], Numbers]]


def options(program: str, description: str, *, not_here: tuple[str, ...] = ()) -> Config:
    """The settings of the trainings to look at, from the command line.

    Raises:
      InputError: for an unknown option, one that has no meaning here, or an unreadable value.
    """
    parser = Parser(
        prog=program,
        description=f"{description} All options are those of train/cifar.py except "
        f"{', '.join((*_NOT_HERE, *not_here))}. A run whose file is there is not repeated.",
        allow_abbrev=False,
    )
    _, words = parser.parse_known_args()
    for option in (*_NOT_HERE, *not_here):
        if any(word.partition("=")[0] == option for word in words):
            raise InputError(f"{option}: not for {program}")
    return parse(words).config


def measure_all(name: str, config: Config, measurement: Measurement) -> None:
    """Measures every run that has no file yet.

    Args:
      name: of the measurement, for its files.
      config: the trainings to look at, and the folder for the files.
      measurement: what to measure.

    Raises:
      InputError: if a setting makes no sense, or the folder holds something else. Nothing has
      been written then.
    """
    check(config)
    jax_settings.check()
    if config.run.dtype != "float32":
        raise InputError(f"dtype: {config.run.dtype} is not for measurements; they are in float32")
    for arm in config.study.arms:
        if len(config.study.rates(arm.name)) > 1:
            raise InputError(f"learning_rate: {arm.name} has several; a measurement takes one")
    # On one device: a measurement looks at single steps, and none of them is large.
    devices = backend.devices()[:1]
    dataset = load_data(config)
    check_batches(config, dataset, devices)
    runs = config.runs(dataset.fingerprint)
    folder = Path(config.execution.output)
    if folder.exists():
        _check_folder(folder, name, runs)
    trainer = Trainer(dataset, devices=devices)
    subjects = {run.arm: Subject(trainer, dataset, run) for run in reversed(runs)}
    measures = {arm: measurement(subject) for arm, subject in subjects.items()}
    here = environment(
        devices=devices,
        parallel="jit",
        matmul_precision=matmul_precision(config),
        convolution=cpu_convolution.choose(devices, "jit"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), computing(config):
        for run in runs:
            path = folder / f"{run.name}.json"
            if path.exists():
                continue
            start = time.perf_counter()
            numbers: Numbers = {
                "format": FORMAT,
                "measurement": name,
                "settings": dataclasses.asdict(run),
                "environment": here,
                **measures[run.arm](run.seed),
            }
            write_json(path, numbers)
            print(f"{path}: {time.perf_counter() - start:.0f} s", flush=True)


def _check_folder(folder: Path, name: str, all_runs: list[RunConfig]) -> None:
    """Raises `InputError` unless the folder holds runs like these, measured in this way."""
    wanted = {run.arm: run for run in all_runs}
    if not folder.is_dir():
        raise InputError(f"--output: {folder} is a file")
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        found = RunConfig(**read_numbers(path, name)["settings"])
        ours = wanted.get(found.arm, found)
        for setting, value in found.identity.items():
            if setting != "seed" and value != ours.identity[setting]:
                raise InputError(
                    f"--output: {path} was measured with {setting} {value!r}, not "
                    f"{ours.identity[setting]!r}; choose another folder"
                )


def significant(value: float) -> float:
    """Six digits: more than a measurement in float32 has."""
    return float(f"{float(value):.6g}")

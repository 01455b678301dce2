"""What a measurement inside of training is made of: options, single steps, one file a run.

FOLDER/OPTIMIZER-seedK.json   see train/runs/measurements.py
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from train.common.arguments import Parser
from train.common.errors import InputError
from train.data.dataset import load
from train.engine import backend
from train.engine.recipe import Recipe, make_network
from train.engine.steps import (
    EVALUATION_BATCH,
    EvaluationStep,
    Examples,
    Keys,
    Network,
    Sums,
    TrainState,
    epoch_order,
)
from train.runs.environment import environment
from train.runs.folders import difference_of
from train.runs.formats import FORMAT
from train.runs.lock import locked
from train.runs.measurements import Numbers, read_numbers
from train.runs.settings import RunConfig
from train.runs.store import write_json
from train.study.cli import parse
from train.study.presets import Config, runs
from train.study.runner import check_batch_size, matmul_precision
from train.study.validation import check

Step = Callable[[TrainState, Keys], TrainState]

# Options of train/cifar.py that say how a study is kept or divided, not what a run is.
_NOT_HERE = ("--dry-run", "--tensorboard", "--checkpoint-every", "--parallel", "--distributed")


@dataclasses.dataclass(frozen=True)
class Subject(Recipe):
    """A training that is looked at step by step: the runs of one optimizer, whatever the seed."""

    network: Network

    @functools.cached_property
    def examples(self) -> Examples:
        examples: Examples = jax.device_put(Examples.of(self.dataset.train, self.dataset))
        return examples

    def step(self, optimizer: optax.GradientTransformation) -> Step:
        """Training's own step with any optimizer, compiled once."""
        step = self.train_step(self.network, optimizer)

        @jax.jit
        def one_step(state: TrainState, keys: Keys, examples: Examples) -> TrainState:
            epoch = state.step // self.steps_per_epoch
            order = epoch_order(keys, epoch, len(self.dataset.train))
            return step(state, Sums.zero(), examples, order, keys)[0]

        return lambda state, keys: one_step(state, keys, self.examples)

    def start(self, optimizer: optax.GradientTransformation, keys: Keys) -> TrainState:
        """The initial state of the keys' seed."""
        params, batch_stats = self._init(keys.parameters)
        return TrainState(jnp.int32(0), params, batch_stats, optimizer.init(params))

    @functools.cached_property
    def _init(self) -> Callable[..., tuple[Any, Any]]:
        return jax.jit(self.network.init)

    @functools.cached_property
    def _evaluate(self) -> Callable[..., Sums]:
        return jax.jit(EvaluationStep(self.network))

    @functools.cached_property
    def _evaluation_examples(self) -> Examples:
        examples: Examples = jax.device_put(Examples.of(self.dataset.evaluation, self.dataset))
        return examples

    def accuracy(self, state: TrainState) -> float:
        """On the examples to evaluate on."""
        sums, examples = Sums.zero(), self._evaluation_examples
        for start in range(0, len(examples.labels), EVALUATION_BATCH):
            position = np.int32(start)
            sums = self._evaluate(state.params, state.batch_stats, sums, examples, position)
        return sums.averages()[1]


# Called once for an optimizer, and what it returns once for a seed: so steps are compiled once.
Measurement = Callable[[Subject], Callable[[int], Numbers]]


def options(program: str, description: str, *, not_here: tuple[str, ...] = ()) -> Config:
    """The settings of the trainings to look at, from the command line.

    Raises:
      InputError: for an unknown option, one that has no meaning here, or an unreadable value.
    """
    parser = Parser(
        prog=program,
        description=f"{description} All options are those of train/cifar.py, but for "
        f"{', '.join((*_NOT_HERE, *not_here))}. A run whose file is there is not repeated.",
        allow_abbrev=False,
    )
    _, words = parser.parse_known_args()
    for option in (*_NOT_HERE, *not_here):
        if any(word.partition("=")[0] == option for word in words):
            raise InputError(f"{option}: not for {program}")
    return parse(words).config


def measure_all(name: str, config: Config, measurement: Measurement) -> None:
    """Measures every optimizer × seed that has no file yet.

    Args:
      name: of the measurement, for its files.
      config: the trainings to look at, and the folder for the files.
      measurement: what to measure.

    Raises:
      InputError: if a setting makes no sense, or the folder holds something else. Nothing has
      been written then.
    """
    check(config)
    backend.check_settings()
    if config.dtype != "float32":
        raise InputError(f"dtype: {config.dtype} is not for measurements; they are in float32")
    dataset = load(
        config.dataset,
        data_dir=config.data_dir,
        unverified_archive=config.unverified_archive,
        train_examples=config.train_examples,
        validation_examples=config.validation_examples,
    )
    check_batch_size(config, dataset)
    all_runs = runs(config, dataset.fingerprint)
    folder = Path(config.output)
    if folder.exists():
        _check_folder(folder, name, all_runs)
    network = make_network(dataset, config.model)
    first = {run.optimizer: run for run in reversed(all_runs)}
    measures = {
        optimizer: measurement(Subject(run, dataset, network)) for optimizer, run in first.items()
    }
    precision = matmul_precision(config)
    # On one device: a measurement looks at single steps, and none of them is large.
    here = environment(
        devices=jax.devices()[:1],
        parallel="jit",
        matmul_precision=precision,
        convolution="xla",
    )
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), jax.default_matmul_precision(precision):
        for run in all_runs:
            path = folder / f"{run.name}.json"
            if path.exists():
                continue
            start = time.perf_counter()
            numbers: Numbers = {
                "format": FORMAT,
                "measurement": name,
                "settings": dataclasses.asdict(run),
                "environment": here,
                **measures[run.optimizer](run.seed),
            }
            write_json(path, numbers)
            print(f"{path}: {time.perf_counter() - start:.0f} s", flush=True)


def _check_folder(folder: Path, name: str, all_runs: list[RunConfig]) -> None:
    """Raises `InputError` unless the folder holds runs like these, measured in this way."""
    wanted = {run.optimizer: run for run in all_runs}
    if not folder.is_dir():
        raise InputError(f"--output: {folder} is a file")
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        found = RunConfig(**read_numbers(path, name)["settings"])
        difference = difference_of(found, wanted.get(found.optimizer, found))
        if difference:
            raise InputError(
                f"--output: {path} was measured with {difference[0]} {difference[1]!r}, not "
                f"{difference[2]!r}; choose another folder"
            )


def significant(value: float) -> float:
    """Six digits: more than a measurement in float32 has."""
    return float(f"{float(value):.6g}")

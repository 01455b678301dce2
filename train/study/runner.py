"""A study: every run that is not done yet, and the report on all of them."""

import contextlib
import functools
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from train.common import jax_settings, signals
from train.common.errors import InputError, first_line
from train.common.progress import Display
from train.data.dataset import Dataset, load
from train.engine import backend, multihost
from train.engine.epochs import Trainer
from train.engine.optimizers import known_faults
from train.engine.recipe import Recipe, check_arms, check_batch_norm
from train.models import cpu_convolution
from train.runs.environment import environment
from train.runs.folders import check_same_study, contents, places
from train.runs.lock import locked
from train.runs.settings import RunConfig, dataset_identity
from train.runs.store import RunFolder
from train.study.comparing import too_few_seeds
from train.study.config import Config
from train.study.rates_from import check_source
from train.study.training import AfterEpoch, train_run
from train.study.validation import check
from train.study.workers import Task, train_on_workers, workers

if TYPE_CHECKING:
    from train.report.report import Report

DAY = 86_400.0  # seconds
_OWN = (
    "process_id",
    "data_dir",
    "output",
    "rates_from",
)  # may differ from one process of a study to another

Devices = tuple[jax.Device, ...]


def run_study(
    config: Config,
    devices: Devices | None = None,
    *,
    after_epoch: AfterEpoch | None = None,
) -> "Report":
    """Does what `python train/cifar.py` does: trains what is not done yet, then reports.

    With workers JAX has the CPU alone in this process from then on: the GPUs are theirs.

    Args:
      config: the study, usually `PRESETS[name].replace(...)`.
      devices: to divide each batch among; None: every one of every process.
      after_epoch: is called with a run's settings and an epoch's figures, once these are in its
        metrics.jsonl, before its checkpoint is written. Not with workers: they are other processes.

    Returns:
      The report; its files are in the study's folder, `config.execution.output`.

    Raises:
      InputError: if a setting makes no sense, JAX is set up for other numbers, or the folder
      holds something else. Nothing has been written then.
    """
    check(config)
    jax_settings.check()
    if after_epoch is not None and config.execution.has_workers:
        raise InputError("after_epoch: is not called in other processes; set workers=None")
    if config.execution.has_workers:
        jax.config.update("jax_platforms", "cpu")
    with multihost.distributed_session(config.execution):
        return _run_study(config, devices or backend.devices(), after_epoch or _nothing)


def _run_study(config: Config, devices: Devices, after_epoch: AfterEpoch) -> "Report":
    # Here, for workers import this file too, and draw nothing. Not later, for it may fail.
    from train.report.report import build_report

    dataset = check_study(config, devices)
    study, epochs = Path(config.execution.output), config.run.epochs
    runs = config.runs(dataset.fingerprint)
    here = _environment(config, devices)  # before anything is written: it may fail
    with contextlib.ExitStack() as stack:
        tasks = list(map(Task, runs, multihost.from_first(lambda: places(study, runs))))
        left = sum(not task.folder.is_finished for task in tasks)
        client = (
            stack.enter_context(workers(config, left))
            if config.execution.has_workers and left
            else None
        )

        def begin() -> tuple[list[Task], list[RunConfig]]:
            study.mkdir(parents=True, exist_ok=True)  # an impossible folder is known at once
            stack.enter_context(locked(study))
            check_same_study(study, runs)  # again: another process may have been here
            tasks = map(Task, runs, places(study, runs))
            earlier = [config for _, config in contents(study).runs]
            return [task for task in tasks if not task.folder.is_finished], earlier

        todo, earlier = multihost.from_first(begin)
        with Display(len(todo) * epochs, quiet=not multihost.is_first()) as display:
            display.say(
                f"{study}: {len(runs)} runs of {epochs} epochs, "
                f"{len(runs) - len(todo)} of them done"
            )
            if todo:
                _describe(config, dataset, [*runs, *earlier], display)
                if client is not None:
                    train_on_workers(client, config, todo, work, display)
                else:
                    _train_here(config, dataset, devices, here, todo, display, after_epoch)
        asked = {"baseline": config.study.baseline, "compare": config.study.compare or None}
        return multihost.from_first(lambda: build_report(study, **asked))


def _train_here(
    config: Config,
    dataset: Dataset,
    devices: Devices,
    here: dict[str, Any],
    todo: Sequence[Task],
    display: Display,
    after_epoch: AfterEpoch,
) -> None:
    """Trains the runs one after the other in this process, and in others that do the same."""
    execution = config.execution
    trainer = Trainer(
        dataset, devices=devices, parallel=execution.parallel, between_steps=signals.check
    )
    with computing(config):
        _warn_of_days(trainer, todo, dataset, display)
        for run, folder in todo:
            train_run(trainer, run, folder, here, execution, display, after_epoch)


_trainers: dict[str, Trainer] = {}  # of a worker: it gets many runs of a study


def work(config: Config, run: RunConfig, folder: RunFolder) -> None:
    """Trains one run: a task of train/study/workers.py."""
    devices = backend.devices()
    key = repr((run.shared, vars(config.execution)))
    trainer = _trainers.get(key)
    if trainer is None:
        _trainers.clear()
        # On this machine the study's process has warned of the data already.
        is_told = config.execution.cluster is None
        with contextlib.redirect_stderr(io.StringIO() if is_told else sys.stderr):
            dataset = load_data(config)
        trainer = Trainer(dataset, devices=devices, parallel=config.execution.parallel)
        _trainers[key] = trainer
    here = _environment(config, devices) | {"worker": f"process {os.getpid()}"}
    display = Display(run.epochs, quiet=True)
    with computing(config):
        train_run(trainer, run, folder, here, config.execution, display, _nothing)


def _nothing(_run: RunConfig, _metrics: dict[str, Any]) -> None:
    pass


def _environment(config: Config, devices: Devices) -> dict[str, Any]:
    parallel, source = config.execution.parallel, config.study.rates_from
    here = environment(
        devices=devices,
        parallel=parallel,
        matmul_precision=matmul_precision(config),
        convolution=cpu_convolution.choose(devices, parallel),
    )
    return here if source is None else here | {"rates_from": source}


def check_study(config: Config, devices: Devices | None = None) -> Dataset:
    """Finds whatever makes a study impossible, without writing; returns its data.

    Raises:
      InputError: if a setting makes no sense, or the folder holds something else.
    """
    check(config)
    devices = devices or backend.devices()
    cpu_convolution.choose(devices, config.execution.parallel)
    dataset = multihost.everywhere(functools.partial(load_data, config))
    settings = {
        name: value
        for part in (config.run, config.study, config.execution)
        for name, value in vars(part).items()
        if name not in _OWN
    }
    known_by = {"dataset": dataset_identity(config.run.dataset), "data": dataset.fingerprint}
    multihost.check_alike(settings | known_by)
    check_batches(config, dataset, devices)
    check_arms(dataset, config.run.model, config.study.arms)
    runs = config.runs(dataset.fingerprint)
    multihost.from_first(lambda: check_source(config, runs[0]))
    multihost.from_first(lambda: check_same_study(Path(config.execution.output), runs))
    return dataset


def load_data(config: Config) -> Dataset:
    """A study's data."""
    return load(
        config.run.dataset,
        data_dir=config.execution.data_dir,
        unverified_archive=config.execution.unverified_archive,
        train_examples=config.run.train_examples,
        validation_examples=config.run.validation_examples,
    )


def check_batches(config: Config, dataset: Dataset, devices: Devices) -> None:
    """Raises `InputError` if an epoch has not one whole batch, or a device has no whole share.

    Also if a BatchNorm layer would have one value a channel.
    """
    batch_size = config.run.batch_size
    if batch_size % len(devices):
        raise InputError(
            f"batch_size: {batch_size} is not a multiple of {len(devices)}, the number of devices"
        )
    if batch_size > len(dataset.train):
        raise InputError(
            f"batch_size: {batch_size} is more than the {len(dataset.train)} examples to train on"
        )
    check_batch_norm(dataset, config.run.model, batch_size)


def matmul_precision(config: Config) -> str:
    """How float32 products are taken: whole, unless a GPU may use TensorFloat-32."""
    return "tensorfloat32" if config.run.tf32 else "float32"


@contextlib.contextmanager
def computing(config: Config) -> Iterator[None]:
    """Takes products as the study wants; says in one line if the device has too little memory."""
    try:
        with jax.default_matmul_precision(matmul_precision(config)):
            yield
    except jax.errors.JaxRuntimeError as error:
        if not str(error).startswith("RESOURCE_EXHAUSTED"):
            raise
        raise InputError(
            f"batch_size: {config.run.batch_size} with {config.run.model}: too little memory: "
            f"{first_line(error)}"
        ) from error


def _describe(
    config: Config, dataset: Dataset, runs: Sequence[RunConfig], display: Display
) -> None:
    display.say(
        f"{config.run.model} on {config.run.dataset}: {len(dataset.train)} examples to train on, "
        f"{len(dataset.evaluation)} for {dataset.evaluation_name}"
    )
    for line in known_faults([arm.optimizer for arm in config.study.arms]):
        display.say(f"warning: {line}")
    if few := too_few_seeds(config.study, runs):
        display.say(few)


def _warn_of_days(
    trainer: Trainer, todo: Sequence[Task], dataset: Dataset, display: Display
) -> None:
    run = todo[0].run
    seconds = trainer.step_seconds(run)
    steps = Recipe(run, dataset).steps * len(todo)
    if seconds * steps > DAY:
        display.say(
            f"this will take about {seconds * steps / DAY:.1f} days on this machine: "
            f"{steps} steps of {seconds:.2g} s"
        )

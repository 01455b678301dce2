"""A study: every optimizer × every seed, and the report on them."""

import contextlib
import functools
from pathlib import Path
from typing import Any

import jax

from train.common.errors import InputError
from train.common.progress import Display
from train.data.dataset import Dataset, load
from train.engine import backend, multihost
from train.engine.epochs import Trainer
from train.engine.optimizers import known_faults
from train.engine.parallel import devices
from train.engine.recipe import check_batch_norm
from train.models import cpu_convolution
from train.report.report import Report, build_report
from train.runs.environment import environment
from train.runs.folders import check_same_study
from train.runs.lock import locked
from train.runs.settings import RunConfig, dataset_identity
from train.runs.store import RunFolder
from train.study.presets import Config, runs
from train.study.validation import check

DAY = 86_400.0  # seconds
_OWN = ("process_id", "data_dir", "output")  # may differ from one process of a study to another


def run_study(config: Config) -> Report:
    """Does what `python train/cifar.py` does: trains what is not done yet, then reports.

    Args:
      config: the study, usually `dataclasses.replace(PRESETS[name], ...)`.

    Returns:
      The report; its files are in the folder `config.output`.

    Raises:
      InputError: if a setting makes no sense, JAX is set up for other numbers, or the folder
      holds something else. Nothing has been written then.
    """
    check(config)
    backend.check_settings()
    with multihost.together(config):
        return _run_study(config)


def _run_study(config: Config) -> Report:
    dataset = check_study(config)
    here = environment(
        devices=devices(),
        parallel=config.parallel,
        matmul_precision=matmul_precision(config),
        convolution=cpu_convolution.choose(devices(), config.parallel),
    )
    study = Path(config.output)
    all_runs = runs(config, dataset.fingerprint)
    with contextlib.ExitStack() as stack:

        def begin() -> list[RunConfig]:
            study.mkdir(parents=True, exist_ok=True)  # an impossible folder is known at once
            stack.enter_context(locked(study))
            check_same_study(study, all_runs)  # again: another process may have been here
            return [run for run in all_runs if not RunFolder(study / run.name).is_finished]

        todo = multihost.from_first(begin)
        display = Display(len(todo) * config.epochs, quiet=not multihost.is_first())
        with display:
            display.say(
                f"{study}: {len(all_runs)} runs of {config.epochs} epochs, "
                f"{len(all_runs) - len(todo)} of them done"
            )
            if todo:
                with jax.default_matmul_precision(matmul_precision(config)):
                    _train(config, todo, dataset, here, display)
        return multihost.from_first(lambda: build_report(study))


def check_study(config: Config) -> Dataset:
    """Finds whatever makes a study impossible, without writing; returns its data.

    Raises:
      InputError: if a setting makes no sense, or the folder holds something else.
    """
    check(config)
    cpu_convolution.choose(devices(), config.parallel)
    dataset = multihost.everywhere(
        lambda: load(
            config.dataset,
            data_dir=config.data_dir,
            unverified_archive=config.unverified_archive,
            train_examples=config.train_examples,
            validation_examples=config.validation_examples,
        )
    )
    shared = {name: value for name, value in vars(config).items() if name not in _OWN}
    known_by = {"dataset": dataset_identity(config.dataset), "data": dataset.fingerprint}
    multihost.check_alike(shared | known_by)
    check_batch_size(config, dataset)
    all_runs = runs(config, dataset.fingerprint)
    multihost.from_first(lambda: check_same_study(Path(config.output), all_runs))
    return dataset


def check_batch_size(config: Config, dataset: Dataset) -> None:
    """Raises `InputError` if an epoch has not one whole batch, or a device has no whole share.

    Also if a BatchNorm layer would have one value a channel.
    """
    count = len(devices())
    if config.batch_size % count:
        raise InputError(
            f"batch_size: {config.batch_size} is not a multiple of {count}, the number of devices"
        )
    if config.batch_size > len(dataset.train):
        raise InputError(
            f"batch_size: {config.batch_size} is more than the {len(dataset.train)} examples "
            "to train on"
        )
    check_batch_norm(dataset, config.model, config.batch_size)


def matmul_precision(config: Config) -> str:
    """How float32 products are taken: whole, unless a GPU may use TensorFloat-32."""
    return "tensorfloat32" if config.tf32 else "float32"


def _train(
    config: Config,
    todo: list[RunConfig],
    dataset: Dataset,
    here: dict[str, Any],
    display: Display,
) -> None:
    display.say(
        f"{config.model} on {config.dataset}: {len(dataset.train)} examples to train on, "
        f"{len(dataset.evaluation)} for {dataset.evaluation_name}"
    )
    for line in known_faults(config.optimizers):
        display.say(f"warning: {line}")
    trainer = Trainer(dataset, config.model, config.dtype, config.parallel)
    seconds = trainer.step_seconds(todo[0])
    steps = len(dataset.train) // config.batch_size * config.epochs * len(todo)
    if seconds * steps > DAY:
        display.say(
            f"this will take about {seconds * steps / DAY:.1f} days on this machine: "
            f"{steps} steps of {seconds:.2g} s"
        )
    for run in todo:
        folder = RunFolder(Path(config.output) / run.name)
        multihost.from_first(functools.partial(folder.start, run, here))
        result = trainer.run(
            run,
            folder,
            display,
            checkpoint_every=config.checkpoint_every,
            tensorboard=config.tensorboard,
        )
        if result["status"] == "diverged":
            display.skip(run.epochs - result["epoch"])
            display.say(
                f"{run.name} diverged: the loss was not finite at step {result['step']}, "
                f"epoch {result['epoch']}"
            )

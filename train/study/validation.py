"""What a study's settings may be: the first that makes no sense is refused in one line.

Each setting's own rule stands beside it; here are the names that other rooms know, and what
several settings must be together.
"""

import os
from collections import ChainMap
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from train.common import rules
from train.common.errors import InputError
from train.data.sources import BUNDLED, NAMED
from train.engine.optimizers import OPTIMIZERS, Arm
from train.engine.schedules import SCHEDULES
from train.models.resnet import MODELS
from train.runs import settings
from train.study.comparing import check_comparisons
from train.study.config import Config

# Setting → the names that it may have.
CHOICES: Mapping[str, Mapping[str, Any]] = {
    "dataset": ChainMap(BUNDLED, NAMED),
    "model": MODELS,
    "schedule": SCHEDULES,
    "optimizers": OPTIMIZERS,
}
MOST_RUNS = 10_000
FLOAT32 = np.finfo(np.float32)


def check(config: Config) -> None:
    """Raises `InputError` at the first setting that makes no sense."""
    for part in (config.run, config.study, config.execution):
        settings.check(part)
    _check_data(config)
    for name in ("model", "schedule"):
        rules.one_of(*CHOICES[name]).check(name, getattr(config.run, name))
    arms = config.study.arms
    _check_rates(config, arms)
    check_comparisons(config.study)
    first, end = config.study.seeds
    count = (end - first) * sum(len(config.study.rates(arm.name)) for arm in arms)
    if count > MOST_RUNS:
        raise InputError(f"seeds: {first}:{end} makes {count} runs; {MOST_RUNS} are allowed")
    wanted = config.execution.workers
    if isinstance(wanted, int) and wanted > count:
        raise InputError(f"workers: {wanted} are more than the {count} runs of the study")
    run = config.run
    if run.warmup_epochs >= run.epochs:
        raise InputError(
            f"warmup_epochs: {run.warmup_epochs} is not below the number of epochs, {run.epochs}"
        )
    if run.tf32 and run.dtype != "float32":
        raise InputError(f"tf32: is for dtype float32, not {run.dtype}")
    if config.execution.tensorboard and find_spec("tensorboardX") is None:
        raise InputError("tensorboard: needs tensorboardX: pip install -e '.[tensorboard]'")
    _check_processes(config)
    _check_path("output", config.execution.output)


def _check_processes(config: Config) -> None:
    execution = config.execution
    if execution.has_workers and execution.is_distributed:
        raise InputError("workers: train whole runs each; not together with --distributed")
    if execution.workers is not None and execution.cluster is not None:
        raise InputError("cluster: it has workers of its own; give --workers or --cluster")
    given = {
        "coordinator": execution.coordinator,
        "num_processes": execution.num_processes,
        "process_id": execution.process_id,
    }
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return
    if missing:
        raise InputError(f"{missing[0]}: is missing; {', '.join(given)} are given together")
    host, _, port = str(execution.coordinator).rpartition(":")
    if not host or not (port.isdecimal() and len(port) < 6 and 0 < int(port) < 2**16):
        raise InputError(f"coordinator: {execution.coordinator!r} is not HOST:PORT")
    assert execution.process_id is not None  # noqa: S101  # for the type checker
    assert execution.num_processes is not None  # noqa: S101
    if execution.process_id >= execution.num_processes:
        raise InputError(
            f"process_id: {execution.process_id} is not below num_processes, "
            f"{execution.num_processes}"
        )


def _check_data(config: Config) -> None:
    dataset, execution = config.run.dataset, config.execution
    if not dataset.startswith("npz:"):
        rules.one_of(*CHOICES["dataset"], "npz:FILE").check("dataset", dataset)
    elif dataset == "npz:":
        raise InputError("dataset: npz: names no file; allowed is npz:FILE")
    else:
        _check_path("dataset", dataset.removeprefix("npz:"))
    if execution.data_dir is not None:
        _check_path("data_dir", execution.data_dir)
    if dataset not in NAMED:
        for name in ("data_dir", "unverified_archive"):
            if getattr(execution, name):
                raise InputError(f"{name}: {dataset} has no archive; for {', '.join(NAMED)}")


def _check_rates(config: Config, arms: list[Arm]) -> None:
    run, names = config.run, [arm.name for arm in arms]
    for name, rates in config.study.learning_rate.items():
        for rate in rates:
            rules.POSITIVE.check(f"learning_rate{f' of {name}' if name else ''}", rate)
        if name and name not in names and name not in OPTIMIZERS:
            raise InputError(
                f"learning_rate: {name!r} is unknown; allowed: {', '.join(names)}, and the "
                f"built-in optimizers"
            )
    for arm in arms:
        rates = config.study.rates(arm.name)
        for rate in rates:
            alpha = arm.ema_rate(rate, run.lr_convention, run.decay)
            if not float(FLOAT32.tiny) <= alpha <= float(FLOAT32.max):
                raise InputError(f"learning_rate of {arm.name}: {rate!r} is out of float32's range")
            if rates.count(rate) > 1:
                raise InputError(f"learning_rate of {arm.name}: {rate!r} is given twice")


def _check_path(name: str, value: str) -> None:
    if not value:
        raise InputError(f"{name}: {value!r} is no folder's name")
    if value.startswith("~"):  # what is left where no home is known
        raise InputError(f"{name}: {value!r}: there is no such home folder; name it in full")
    try:
        os.path.abspath(value).encode()  # noqa: PTH100  # of text
    except UnicodeEncodeError:
        raise InputError(f"{name}: {value!r}: a name in this path is not UTF-8") from None

"""What a study's settings may be: the first that makes no sense is refused in one line."""

import math
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import numpy as np

from train.common.errors import InputError
from train.data.sources import DATASETS, NAMED
from train.engine.optimizers import OPTIMIZERS, ema_rate
from train.engine.parallel import PARALLEL
from train.models.resnet import MODELS
from train.study.presets import Config, rate_of

LR_CONVENTIONS = ("ema", "heavy_ball")
DTYPES = ("float32", "bfloat16")
MOST_RUNS = 10_000
FLOAT32 = np.finfo(np.float32)


def check(config: Config) -> None:
    """Raises `InputError` at the first setting that makes no sense."""
    _check_data(config)
    _choice("model", config.model, tuple(MODELS))
    _check_runs(config)
    for name in ("epochs", "halve_every", "batch_size", "checkpoint_every"):
        _whole(name, getattr(config, name), 1)
    if config.train_examples is not None:
        _whole("train_examples", config.train_examples, 1)
    _whole("validation_examples", config.validation_examples, 0)
    _choice("lr_convention", config.lr_convention, LR_CONVENTIONS)
    _number("decay", config.decay, lambda decay: 0 <= decay < 1, "a number in [0, 1)")
    _number("weight_decay", config.weight_decay, lambda decay: decay >= 0, "a number of 0 or more")
    _check_rates(config)
    for name in ("augment", "distributed", "unverified_archive", "tf32", "tensorboard"):
        if not isinstance(getattr(config, name), bool):
            raise InputError(f"{name}: {getattr(config, name)!r} is neither True nor False")
    _choice("dtype", config.dtype, DTYPES)
    if config.tf32 and config.dtype != "float32":
        raise InputError(f"tf32: is for dtype float32, not {config.dtype}")
    if config.tensorboard and find_spec("tensorboardX") is None:
        raise InputError("tensorboard: needs tensorboardX: pip install -e '.[tensorboard]'")
    _choice("parallel", config.parallel, tuple(PARALLEL))
    _check_processes(config)
    _path("output", config.output)


def _check_processes(config: Config) -> None:
    together = ("coordinator", "num_processes", "process_id")
    missing = [name for name in together if getattr(config, name) is None]
    if len(missing) == len(together):
        return
    if missing:
        raise InputError(f"{missing[0]}: is missing; {', '.join(together)} are given together")
    host, _, port = str(config.coordinator).rpartition(":")
    if not host or not (port.isdecimal() and 0 < int(port) < 2**16):
        raise InputError(f"coordinator: {config.coordinator!r} is not HOST:PORT")
    _whole("num_processes", config.num_processes, 1)
    _whole("process_id", config.process_id, 0)
    if config.process_id >= config.num_processes:  # type: ignore[operator]
        raise InputError(
            f"process_id: {config.process_id} is not below num_processes, {config.num_processes}"
        )


def _check_data(config: Config) -> None:
    if not (isinstance(config.dataset, str) and config.dataset.startswith("npz:")):
        _choice("dataset", config.dataset, DATASETS)
    elif config.dataset == "npz:":
        raise InputError("dataset: npz: names no file; allowed is npz:FILE")
    else:
        _path("dataset", config.dataset.removeprefix("npz:"))
    if config.data_dir is not None:
        _path("data_dir", config.data_dir)
    if config.dataset not in NAMED:
        if config.data_dir is not None:
            raise InputError(f"data_dir: {config.dataset} has no archive; for {', '.join(NAMED)}")
        if config.unverified_archive:
            raise InputError(
                f"unverified_archive: {config.dataset} has no archive; for {', '.join(NAMED)}"
            )


def _check_runs(config: Config) -> None:
    if isinstance(config.optimizers, str) or not config.optimizers:
        raise InputError(f"optimizers: {config.optimizers!r} is not a tuple of names")
    for name in config.optimizers:
        _choice("optimizers", name, tuple(OPTIMIZERS))
        if config.optimizers.count(name) > 1:
            raise InputError(f"optimizers: {name} is given twice")
    match config.seeds:
        case (int(first), int(end)) if 0 <= first < end <= 2**31:
            pass
        case _:
            text = (
                ":".join(map(str, config.seeds))
                if isinstance(config.seeds, tuple)
                else config.seeds
            )
            raise InputError(f"seeds: {text} is not A:B with 0 <= A < B <= 2^31")
    count = len(config.optimizers) * (end - first)
    if count > MOST_RUNS:
        raise InputError(f"seeds: {first}:{end} makes {count} runs; {MOST_RUNS} are allowed")


def _check_rates(config: Config) -> None:
    rates = config.learning_rate
    if not isinstance(rates, Mapping):
        rates = dict.fromkeys(config.optimizers, rates)
    for name in (*rates, *config.optimizers):
        _choice("learning_rate", name, tuple(OPTIMIZERS))
        rate = rates[name] if name in rates else rate_of(config, name)
        _number(f"learning_rate of {name}", rate, lambda rate: rate > 0, "a positive number")
        alpha = ema_rate(name, rate, config.lr_convention, config.decay)
        if not float(FLOAT32.tiny) <= alpha <= float(FLOAT32.max):
            raise InputError(f"learning_rate of {name}: {rate!r} is out of float32's range")


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name}: {value!r} is unknown; allowed: {', '.join(allowed)}")


def _whole(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**31:
        raise InputError(f"{name}: {value!r} is not a whole number of {low} or more, below 2^31")


def _path(name: str, value: object) -> None:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{name}: {value!r} is no folder's name")
    if value.startswith("~"):  # what is left where no home is known
        raise InputError(f"{name}: {value!r}: there is no such home folder; name it in full")
    try:
        os.path.abspath(value).encode()  # noqa: PTH100  # of text
    except UnicodeEncodeError:
        raise InputError(f"{name}: {value!r}: a name in this path is not UTF-8") from None


def _number(name: str, value: object, is_allowed: Callable[[float], bool], allowed: str) -> None:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_real and math.isfinite(value) and is_allowed(value)):  # type: ignore[arg-type]
        raise InputError(f"{name}: {value!r} is not {allowed}")

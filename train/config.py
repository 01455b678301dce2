"""Every setting of a study: names, defaults, presets, what is allowed.

`Config` describes one study, `RunConfig` one of its runs.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from train.errors import InputError
from train.optimizers import OPTIMIZERS, ema_rate
from train.parallel import PARALLEL
from train.resnet import MODELS
from train.sources import DATASETS, NAMED

LR_CONVENTIONS = ("ema", "heavy_ball")
DTYPES = ("float32", "bfloat16")
MOST_RUNS = 10_000
FLOAT32 = np.finfo(np.float32)

# Part of the program's design, refused with a line of its own until it is built.
_PLANNED = {
    "optimizers": ("rsadam",),
}


def _option(help: str, metavar: str, **default: Any) -> Any:  # noqa: A002
    """A field that is also an option of the command."""
    return dataclasses.field(metadata={"help": help, "metavar": metavar}, **default)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One study: every optimizer × every seed, each an independent run."""

    dataset: str = _option(" ".join(DATASETS), "NAME")
    data_dir: str | None = _option(
        "folder that holds the data set's official archive, or to download it into",
        "DIR",
        default=None,
    )
    unverified_archive: bool = _option(
        "take an archive whose checksum is not the official one", "", default=False
    )
    train_examples: int | None = _option(
        "train on this many examples, the same ones in every run", "N", default=None
    )
    validation_examples: int = _option(
        "take N training examples to evaluate on, and leave the test set alone", "N", default=0
    )
    model: str = _option(" ".join(MODELS), "NAME")
    optimizers: tuple[str, ...] = _option(" ".join(OPTIMIZERS), "NAME")
    seeds: tuple[int, int] = _option("N for seeds 0 to N-1, or A:B for A to B-1", "SEEDS")
    epochs: int = _option("epochs of each run", "N")
    halve_every: int = _option("epochs after which the learning rate halves, each time", "N")
    batch_size: int = _option("examples a step, over all devices", "N", default=128)
    learning_rate: float | Mapping[str, float] = _option(
        "one rate, or OPTIMIZER=RATE for single optimizers", "RATE"
    )
    lr_convention: str = _option(
        "ema, as in the paper, or heavy_ball, as PyTorch reads a rate: alpha = RATE/(1-decay)",
        "NAME",
        default="ema",
    )
    decay: float = _option("beta of the momentum methods, b1 of the Adam family", "B", default=0.9)
    weight_decay: float = _option(
        "added to the gradient, times the parameters, before the optimizer", "W", default=5e-4
    )
    augment: bool = _option("random crops, and flips where the images allow it", "", default=True)
    dtype: str = _option(
        "float32, or bfloat16 to compute in; parameters, statistics and loss are float32",
        "NAME",
        default="float32",
    )
    tf32: bool = _option("let a GPU round float32 factors to TensorFloat-32", "", default=False)
    parallel: str = _option(
        "jit or pmap: how a step is divided among the devices", "NAME", default="jit"
    )
    distributed: bool = _option(
        "this is one of several processes; SLURM, Open MPI or a TPU says which", "", default=False
    )
    coordinator: str | None = _option(
        "the first process's address, where nothing else says it; with the next two",
        "HOST:PORT",
        default=None,
    )
    num_processes: int | None = _option("how many processes there are", "N", default=None)
    process_id: int | None = _option("which of them this one is, from 0", "K", default=None)
    checkpoint_every: int = _option("epochs from one checkpoint to the next", "N", default=1)
    tensorboard: bool = _option("write event files beside the metrics", "", default=False)
    output: str = _option("folder of the study (default: runs/PRESET)", "DIR")


_PAPER = Config(
    dataset="cifar10",
    model="resnet18",
    optimizers=("sgdm", "rsgdm"),
    seeds=(0, 1),
    epochs=200,
    halve_every=50,
    learning_rate=0.01,
    output="runs/cifar10",
)

PRESETS: dict[str, Config] = {
    "cifar10": _PAPER,
    "cifar100": dataclasses.replace(
        _PAPER, dataset="cifar100", model="resnet50", output="runs/cifar100"
    ),
    "fashion_mnist": dataclasses.replace(
        _PAPER,
        dataset="fashion_mnist",
        model="resnet8",
        optimizers=("sgdm", "rsgdm", "nesterov"),
        seeds=(0, 3),
        epochs=8,
        halve_every=2,
        output="runs/fashion_mnist",
    ),
    # The rates come from validation examples: `make tune-demo`, results in docs/tuning.md.
    "demo": Config(
        dataset="digits",
        model="resnet8",
        optimizers=("sgdm", "rsgdm", "nesterov"),
        seeds=(0, 5),
        epochs=12,
        halve_every=3,
        learning_rate={"sgdm": 3.2, "rsgdm": 3.2, "nesterov": 0.8},
        checkpoint_every=4,  # an epoch takes no longer than a checkpoint
        output="runs/demo",
    ),
}
DEFAULT_PRESET = "cifar10"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The settings of one run, as its config.json holds them: what makes it this run."""

    dataset: str
    data: str  # fingerprint: a file may change under its name
    train_examples: int | None
    validation_examples: int
    model: str
    optimizer: str
    seed: int
    epochs: int
    halve_every: int
    batch_size: int
    learning_rate: float
    lr_convention: str
    decay: float
    weight_decay: float
    augment: bool
    dtype: str
    tf32: bool

    @property
    def name(self) -> str:
        """The run's folder inside its study."""
        return f"{self.optimizer}-seed{self.seed}"


def runs(config: Config, data: str) -> list[RunConfig]:
    """The runs of a checked study, seed by seed, so that pairs are complete early.

    Args:
      config: the study.
      data: the fingerprint of its data set.
    """
    shared = {field.name for field in dataclasses.fields(RunConfig)}
    settings = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name in shared - {"learning_rate"}
    }
    return [
        RunConfig(
            data=data, optimizer=name, seed=seed, learning_rate=_rate(config, name), **settings
        )
        for seed in range(*config.seeds)
        for name in config.optimizers
    ]


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
    if not isinstance(config.output, str) or not config.output:
        raise InputError(f"output: {config.output!r} is no folder's name")


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
        rate = rates[name] if name in rates else _rate(config, name)
        _number(f"learning_rate of {name}", rate, lambda rate: rate > 0, "a positive number")
        alpha = ema_rate(name, rate, config.lr_convention, config.decay)
        if not float(FLOAT32.tiny) <= alpha <= float(FLOAT32.max):
            raise InputError(f"learning_rate of {name}: {rate!r} is out of float32's range")


def _rate(config: Config, optimizer: str) -> float:
    if not isinstance(config.learning_rate, Mapping):
        return config.learning_rate
    if optimizer not in config.learning_rate:
        given = ", ".join(config.learning_rate)
        raise InputError(
            f"learning_rate: none given for {optimizer}, only for {given}; "
            f"add {optimizer}=RATE, or give one rate for all"
        )
    return config.learning_rate[optimizer]


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value in allowed:
        return
    planned = _PLANNED.get(name, ())
    if value in planned:
        raise InputError(f"{name}: {value} is not available yet; available: {', '.join(allowed)}")
    raise InputError(f"{name}: {value!r} is unknown; allowed: {', '.join(allowed)}")


def _whole(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**31:
        raise InputError(f"{name}: {value!r} is not a whole number of {low} or more, below 2^31")


def _number(name: str, value: object, is_allowed: Callable[[float], bool], allowed: str) -> None:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_real and math.isfinite(value) and is_allowed(value)):  # type: ignore[arg-type]
        raise InputError(f"{name}: {value!r} is not {allowed}")

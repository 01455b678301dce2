"""Every setting of a study: names, defaults, presets. What is allowed: train/study/validation.py.

`Config` describes one study, `runs` divides it into its runs.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from train.common.errors import InputError
from train.data.sources import DATASETS
from train.engine.optimizers import OPTIMIZERS
from train.models.resnet import MODELS
from train.runs.settings import RunConfig


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
    optimizers: tuple[str, ...] = _option(
        f"{' '.join(OPTIMIZERS)}; a warning says if optax's adan is not the algorithm", "NAME"
    )
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

    def __post_init__(self) -> None:
        # The shell leaves the ~ of --output=~/study and of npz:~/file to the program.
        for name in ("dataset", "data_dir", "output"):
            if isinstance(value := getattr(self, name), str):
                file = "npz:" if value.startswith("npz:") else ""
                path = os.path.expanduser(value.removeprefix(file))  # noqa: PTH111  # text remains
                object.__setattr__(self, name, file + path)


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
    # These rates, and the demo's, come from validation examples: docs/results.md, Learning rates.
    "fashion_mnist": dataclasses.replace(
        _PAPER,
        dataset="fashion_mnist",
        model="resnet8",
        optimizers=("sgdm", "rsgdm", "nesterov"),
        seeds=(0, 3),
        epochs=12,
        halve_every=3,
        learning_rate={"sgdm": 3.2, "rsgdm": 1.6, "nesterov": 1.6},
        output="runs/fashion_mnist",
    ),
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
            data=data, optimizer=name, seed=seed, learning_rate=rate_of(config, name), **settings
        )
        for seed in range(*config.seeds)
        for name in config.optimizers
    ]


def rate_of(config: Config, optimizer: str) -> float:
    """The rate as given for one optimizer."""
    if not isinstance(config.learning_rate, Mapping):
        return config.learning_rate
    if optimizer not in config.learning_rate:
        given = ", ".join(config.learning_rate)
        raise InputError(
            f"learning_rate: none given for {optimizer}, only for {given}; "
            f"add {optimizer}=RATE, or give one rate for all"
        )
    return config.learning_rate[optimizer]

"""The settings of runs: names, defaults, allowed values, and their options' help.

`RunSettings` is what all runs of a study share: the study's identity. `RunConfig` adds what makes
a run this one. A default is also what a setting was before it existed: files that lack it mean it.
"""

import dataclasses
from typing import Any

from train.common import rules
from train.common.rules import Rule

# The settings of a run that others of its study may have otherwise.
OWN = ("arm", "optimizer", "version", "learning_rate", "seed")


def setting(rule: Rule, help: str = "", metavar: str = "", **default: Any) -> Any:  # noqa: A002
    """A field with its rule; with a help text it is an option of the command line, too."""
    return dataclasses.field(
        metadata={"rule": rule, "help": help, "metavar": metavar or help.partition(" ")[0]},
        **default,
    )


def check(settings: Any) -> None:
    """Raises `InputError` at the first field whose rule refuses its value."""
    for field in dataclasses.fields(settings):
        field.metadata["rule"].check(field.name, getattr(settings, field.name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What all runs of a study share."""

    dataset: str = setting(rules.text(), "data set: {names}, or npz:FILE", "NAME")
    train_examples: int | None = setting(
        rules.or_none(rules.whole(1)),
        "train on this many examples, the same ones in every run",
        "N",
        default=None,
    )
    validation_examples: int = setting(
        rules.whole(0),
        "take N training examples to evaluate on, and leave the test set alone",
        "N",
        default=0,
    )
    model: str = setting(rules.text(), "network: {names}", "NAME")
    epochs: int = setting(rules.whole(1), "epochs of each run", "N")
    schedule: str = setting(
        rules.text(), "how the learning rate changes: {names}", "NAME", default="step"
    )
    halve_every: int = setting(
        rules.whole(1),
        "epochs after which schedule step halves the learning rate, each time",
        "N",
        default=50,
    )
    warmup_epochs: int = setting(
        rules.whole(0),
        "epochs in which the learning rate first rises from zero",
        "N",
        default=0,
    )
    batch_size: int = setting(rules.whole(1), "examples a step, over all devices", "N", default=128)
    lr_convention: str = setting(
        rules.one_of("ema", "heavy_ball"),
        "ema, as in the paper, or heavy_ball, as PyTorch reads a rate: alpha = RATE/(1-decay)",
        "NAME",
        default="ema",
    )
    decay: float = setting(
        rules.number("a number in [0, 1)", lambda value: 0 <= value < 1),
        "beta of the built-in momentum methods, b1 of the Adam family",
        "B",
        default=0.9,
    )
    weight_decay: float = setting(
        rules.NOT_NEGATIVE,
        "added to the gradient, times the parameters, before the optimizer",
        "W",
        default=5e-4,
    )
    augment: bool = setting(
        rules.truth(), "random crops, and flips where the images allow it", default=True
    )
    dtype: str = setting(
        rules.one_of("float32", "bfloat16"),
        "float32, or bfloat16 to compute in; parameters, statistics and loss are float32",
        "NAME",
        default="float32",
    )
    tf32: bool = setting(
        rules.truth(), "let a GPU round float32 factors to TensorFloat-32", default=False
    )
    batch_norm: str = setting(
        rules.one_of("running", "reestimated"),
        "BatchNorm's statistics at evaluation: running averages, or estimated anew from training "
        "batches at the epoch's weights",
        "NAME",
        default="running",
    )
    evaluate_every: int = setting(
        rules.whole(1),
        "epochs from one evaluation to the next; the last one always",
        "N",
        default=1,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig(RunSettings):
    """The settings of one run, as its config.json holds them: what makes it this run."""

    data: str = setting(rules.text())  # fingerprint: a file may change under its name
    arm: str = setting(rules.text())  # the optimizer's name in the study
    optimizer: str = setting(rules.text())  # built-in name, or module:function(key=value, …)
    version: str | None = setting(rules.or_none(rules.text()), default=None)  # of that package
    seed: int = setting(rules.whole(0))
    learning_rate: float = setting(rules.POSITIVE)  # as given

    @property
    def name(self) -> str:
        """The run's folder inside its study."""
        return f"{self.arm}-seed{self.seed}"

    @property
    def name_with_rate(self) -> str:
        """The run's folder where its arm has several rates."""
        return f"{self.arm}-rate{self.learning_rate!r}-seed{self.seed}"

    @property
    def evaluation(self) -> str:
        """What the run is evaluated on: the test set, or validation examples."""
        return "validation" if self.validation_examples else "test"

    @property
    def shared(self) -> dict[str, Any]:
        """The settings that all runs of a study share, its data's fingerprint among them."""
        return {name: value for name, value in self.identity.items() if name not in OWN}

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that make it this run. A file's place is only shown: see `data`."""
        return vars(self) | {"dataset": dataset_identity(self.dataset)}


def dataset_identity(dataset: str) -> str:
    """What of a data set's name counts: not where a file lies, for it has a fingerprint."""
    return "npz" if dataset.startswith("npz:") else dataset

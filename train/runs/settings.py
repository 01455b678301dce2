"""The settings of one run: what makes it this run and no other."""

import dataclasses
from typing import Any


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

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that make it this run. A file's place is only shown: see `data`."""
        return vars(self) | {"dataset": dataset_identity(self.dataset)}


def dataset_identity(dataset: str) -> str:
    """What of a data set's name counts: not where a file lies, for it has a fingerprint."""
    return "npz" if dataset.startswith("npz:") else dataset

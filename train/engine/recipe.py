"""What a run's settings come to on a data set: steps, learning rates, optimizer, network.

Whatever trains takes them from here, so that no two trainings of the same settings can differ.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from train.common.errors import InputError
from train.data.dataset import Dataset
from train.engine import schedules
from train.engine.optimizers import Arm
from train.engine.parallel import Undivided
from train.engine.steps import UNDIVIDED, Network, OptimizerOf, TrainStep
from train.models.resnet import MODELS, OneValueError
from train.runs.settings import RunConfig


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a run, on their data set."""

    run: RunConfig
    dataset: Dataset

    @property
    def steps_per_epoch(self) -> int:
        """The incomplete last batch of an epoch is dropped."""
        return len(self.dataset.train) // self.run.batch_size

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.run.epochs * self.steps_per_epoch

    @property
    def arm(self) -> Arm:
        """The run's optimizer, by name."""
        return Arm(self.run.arm, self.run.optimizer, self.run.version)

    @property
    def alpha(self) -> float:
        """The highest rate of the run, of the EMA form."""
        run = self.run
        return self.arm.ema_rate(run.learning_rate, run.lr_convention, run.decay)

    @property
    def schedule(self) -> optax.Schedule:
        """α of the EMA form at each step."""
        return self._scaled(jnp.float32(self.alpha))

    def optimizer(self, alpha: jax.Array) -> optax.GradientTransformation:
        """The run's optimizer behind its weight decay, with another highest rate."""
        run = self.run
        return self.arm.make(self._scaled(alpha), decay=run.decay, weight_decay=run.weight_decay)

    def train_step(
        self,
        network: Network,
        optimizer: OptimizerOf | None = None,
        parallel: Undivided = UNDIVIDED,
    ) -> TrainStep:
        """The run's step, with its own optimizer or any other."""
        return TrainStep(
            network,
            optimizer or self.optimizer,
            batch_size=self.run.batch_size,
            steps_per_epoch=self.steps_per_epoch,
            augment=self.run.augment,
            flip=self.dataset.can_flip,
            parallel=parallel,
        )

    def _scaled(self, alpha: jax.Array) -> optax.Schedule:
        factor = schedules.factor(self.run, self.steps_per_epoch)
        return lambda count: alpha * factor(count)


def make_network(
    dataset: Dataset,
    model: str,
    dtype: str = "float32",
    convolution: Callable[..., jax.Array] | None = None,
) -> Network:
    """The named model for a data set; `convolution` as in `Network`."""
    channels = dataset.train.images.shape[-1]
    return Network(
        functools.partial(MODELS[model], channels=channels, classes=dataset.classes),
        # Left alone in float32: the layers compute in their parameters' dtype.
        None if dtype == "float32" else jnp.dtype(dtype),
        convolution,
    )


def check_batch_norm(dataset: Dataset, model: str, batch_size: int) -> None:
    """Raises `InputError` if a BatchNorm layer would have one value a channel, as PyTorch does."""
    if batch_size > 1:
        return
    network = make_network(dataset, model)
    image = dataset.train.images.shape[1:]
    params, batch_stats = jax.eval_shape(network.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((batch_size, *image), jnp.float32)
    try:
        jax.eval_shape(functools.partial(network.apply, training=True), params, batch_stats, images)
    except OneValueError as error:
        size = "×".join(map(str, image[:2]))
        raise InputError(
            f"batch_size: {batch_size} is too small for {model} on images of {size}: {error}; "
            "allowed: 2 or more"
        ) from error


def check_arms(dataset: Dataset, model: str, arms: list[Arm]) -> None:
    """Raises `InputError` at the first arm that takes no step on the model."""
    network = make_network(dataset, model)
    params, _ = jax.eval_shape(network.init, jax.random.key(0))
    for arm in arms:
        arm.check(params)

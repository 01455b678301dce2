"""The training and the evaluation step: pure functions from state and batch to state and sums."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from train.data.augment import augment, border, draw
from train.data.dataset import Dataset, Split
from train.engine.parallel import Undivided

EVALUATION_BATCH = 500
NO_STEP = 2**31 - 1
UNDIVIDED = Undivided()
# A sum of finite losses is finite then: there are fewer than 2³² of them. A power of two: exact.
LOSS_SCALE = 2.0**-32


class TrainState(NamedTuple):
    """All that training changes."""

    step: jax.Array  # steps taken, int32: the position in the run
    params: Any
    batch_stats: Any
    opt_state: Any


class Sums(NamedTuple):
    """Sums over examples; averages are taken once, on the host."""

    loss: jax.Array  # float32, times `LOSS_SCALE`
    correct: jax.Array  # int32
    count: jax.Array  # type: ignore[assignment]  # int32
    bad_step: jax.Array  # first step whose loss was not finite, else NO_STEP

    @classmethod
    def zero(cls) -> "Sums":
        # Separate buffers, though equal: they are donated.
        return cls(jnp.float32(0), jnp.int32(0), jnp.int32(0), jnp.int32(NO_STEP))

    def plus(self, other: "Sums") -> "Sums":
        return Sums(
            self.loss + other.loss,
            self.correct + other.correct,
            self.count + other.count,
            jnp.minimum(self.bad_step, other.bad_step),
        )

    def averages(self) -> tuple[float, float]:
        """Loss and accuracy, on the host."""
        count = int(self.count)
        return float(self.loss) / LOSS_SCALE / count, int(self.correct) / count


class Examples(NamedTuple):
    """Examples, the images as they are stored, and what normalises them."""

    images: jax.Array  # uint8 N×H×W×C
    labels: jax.Array  # int32 N; −1 marks padding
    mean: jax.Array  # float32 C
    std: jax.Array

    @classmethod
    def of(cls, dataset: Dataset, *splits: Split, batch: int = EVALUATION_BATCH) -> "Examples":
        """Splits one after the other, each padded to a multiple of a batch; on the host."""
        images: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        for split in splits:
            padding = -len(split) % batch
            images.append(np.pad(split.images, ((0, padding), (0, 0), (0, 0), (0, 0))))
            labels.append(np.pad(split.labels, (0, padding), constant_values=-1))
        arrays: list[Any] = [*map(np.concatenate, (images, labels)), dataset.mean, dataset.std]
        return cls(*arrays)


class Keys(NamedTuple):
    """A run's independent streams of randomness."""

    parameters: jax.Array
    order: jax.Array
    augmentation: jax.Array

    @classmethod
    def of_seed(cls, seed: int) -> "Keys":
        return cls(*jax.random.split(jax.random.key(seed), 3))


@dataclasses.dataclass(frozen=True)
class Network:
    """A Flax model as functions of its parameters and BatchNorm statistics.

    With a `dtype` the layers compute in it; parameters, statistics and logits keep their own.
    A `convolution` takes the place of `lax.conv_general_dilated`.
    """

    make: Callable[[nnx.Rngs], nnx.Module]
    dtype: jnp.dtype | None = None
    convolution: Callable[..., jax.Array] | None = None

    @functools.cached_property
    def _graph(self) -> Any:  # kept: every program that is traced needs it
        return nnx.graphdef(nnx.eval_shape(lambda: self.make(nnx.Rngs(0))))

    def init(self, key: jax.Array) -> tuple[Any, Any]:
        """Initial parameters and statistics."""
        params, batch_stats = nnx.state(self.make(nnx.Rngs(key)), nnx.Param, nnx.BatchStat)
        return params, batch_stats

    def apply(
        self,
        params: Any,
        batch_stats: Any,
        images: jax.Array,
        *,
        training: bool,
        momentum: float | None = None,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, Any]:
        """Logits and new statistics; in training with the batch's own, else with the old ones.

        A `momentum` takes the place of the layers': with 0 the new statistics are the batch's own.
        Where the images are one device's share, `axis_name` leads to the others': the statistics
        are those of the whole batch.
        """
        # copy: a variable made outside of a gradient may not be written to inside of it.
        model: Any = nnx.merge(self._graph, params, batch_stats, copy=True)
        # A model may have no BatchNorm, or no convolution.
        model.set_attributes(use_running_average=not training, raise_if_not_found=False)
        if self.dtype is not None:
            model.set_attributes(dtype=self.dtype)
        if momentum is not None:
            model.set_attributes(momentum=momentum, raise_if_not_found=False)
        if axis_name is not None:
            model.set_attributes(axis_name=axis_name, raise_if_not_found=False)
        if self.convolution is not None:
            model.set_attributes(conv_general_dilated=self.convolution, raise_if_not_found=False)
        logits: jax.Array = model(images)
        # The loss needs the digits that a low precision lacks.
        wide = jnp.promote_types(logits.dtype, jnp.float32)
        return logits.astype(wide), nnx.state(model, nnx.BatchStat)


# An optimizer from its highest rate, an array: runs at several rates share a program.
OptimizerOf = Callable[[jax.Array], optax.GradientTransformation]


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """One step on the batch that `state.step` names in the epoch's order of examples."""

    network: Network
    optimizer: OptimizerOf
    batch_size: int
    steps_per_epoch: int
    augment: bool
    flip: bool
    parallel: Undivided = UNDIVIDED
    __name__: ClassVar[str] = "train_step"  # in profiles and logs of compilations

    def __call__(
        self,
        state: TrainState,
        sums: Sums,
        examples: Examples,
        order: jax.Array,
        keys: Keys,
        alpha: jax.Array,
    ) -> tuple[TrainState, Sums]:
        epoch, position = jnp.divmod(state.step, self.steps_per_epoch)
        start = position * self.batch_size
        indices = jax.lax.dynamic_slice_in_dim(order, start, self.batch_size)
        draws, padding = None, border(*examples.images.shape[1:3])
        if self.augment:
            key = jax.random.fold_in(jax.random.fold_in(keys.augmentation, epoch), position)
            draws = draw(key, self.batch_size, padding, flip=self.flip)
        indices, draws = self.parallel.shard((indices, draws))
        images, labels = examples.images[indices], examples.labels[indices]
        if draws is not None:
            images = augment(images, draws, padding)

        def loss_fn(params: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            logits, batch_stats = self.network.apply(
                params,
                state.batch_stats,
                normalise(images, examples),
                training=True,
                axis_name=self.parallel.axis_name,
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), (logits, batch_stats)

        (loss, (logits, batch_stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params
        )
        loss, gradients = self.parallel.pmean((loss, gradients))
        optimizer = self.optimizer(alpha)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        batch = Sums(
            loss=loss * (self.batch_size * LOSS_SCALE),
            correct=self.parallel.psum(jnp.sum(jnp.argmax(logits, -1) == labels, dtype=jnp.int32)),
            count=jnp.int32(self.batch_size),
            bad_step=jnp.where(jnp.isfinite(loss), NO_STEP, state.step + 1),
        )
        return TrainState(state.step + 1, params, batch_stats, opt_state), sums.plus(batch)


@dataclasses.dataclass(frozen=True)
class EvaluationStep:
    """Adds the batch of examples that begins at `start`, in evaluation mode."""

    network: Network
    batch: int = EVALUATION_BATCH
    parallel: Undivided = UNDIVIDED
    __name__: ClassVar[str] = "evaluation_step"

    def __call__(
        self, params: Any, batch_stats: Any, sums: Sums, examples: Examples, start: jax.Array
    ) -> Sums:
        images, labels = self.parallel.shard(
            (
                jax.lax.dynamic_slice_in_dim(examples.images, start, self.batch),
                jax.lax.dynamic_slice_in_dim(examples.labels, start, self.batch),
            )
        )
        logits, _ = self.network.apply(
            params, batch_stats, normalise(images, examples), training=False
        )
        real = labels >= 0
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
        loss, correct, count = self.parallel.psum(
            (
                jnp.sum(losses * LOSS_SCALE, where=real),
                jnp.sum(jnp.argmax(logits, -1) == labels, where=real, dtype=jnp.int32),
                jnp.sum(real, dtype=jnp.int32),
            )
        )
        return sums.plus(Sums(loss, correct, count, bad_step=jnp.int32(NO_STEP)))


def epoch_order(keys: Keys, epoch: jax.Array, examples: int) -> jax.Array:
    """The order in which an epoch visits the examples: a permutation of 0 … examples − 1."""
    return jax.random.permutation(jax.random.fold_in(keys.order, epoch), examples)


def normalise(images: jax.Array, examples: Examples) -> jax.Array:
    """Stored images as the network takes them."""
    return (images.astype(jnp.float32) - examples.mean) / examples.std

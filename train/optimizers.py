"""The optimizers by name, with coupled weight decay and the step schedule."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

import rsgdm_optax

# Each takes a learning rate or schedule and a decay. The first group averages
# the gradient, so that its learning rate has two conventions.
_AVERAGING: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgdm": rsgdm_optax.sgdm,
    "rsgdm": rsgdm_optax.rsgdm,
    "rsgdm_compact": functools.partial(rsgdm_optax.rsgdm, compact=True),
    "nesterov": rsgdm_optax.nesterov,
}

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    **_AVERAGING,
    "sgd": lambda learning_rate, _decay: optax.sgd(learning_rate),
    "adam": lambda learning_rate, decay: optax.adam(learning_rate, b1=decay),
    "nadam": lambda learning_rate, decay: optax.nadam(learning_rate, b1=decay),
    "adan": lambda learning_rate, decay: optax.adan(learning_rate, b1=decay),
}


def ema_rate(optimizer: str, learning_rate: float, convention: str, decay: float) -> float:
    """The rate as the optimizers here take it: α of the EMA form.

    Heavy-ball momentum has no factor 1−β on the gradient, so its rate is α·(1−β).
    Optimizers that do not average the gradient have one convention only.
    """
    if convention == "heavy_ball" and optimizer in _AVERAGING:
        return learning_rate / (1 - decay)
    return learning_rate


def step_schedule(learning_rate: float, *, halve_every: int) -> optax.Schedule:
    """Halves the rate after every `halve_every` steps: exactly, and at exactly that step.

    In whole numbers: optax's staircase divides in floating point, and under jit is a step late at
    some boundaries; its piecewise constant schedule traces an operation for every boundary.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        return jnp.ldexp(jnp.float32(learning_rate), -(jnp.asarray(count) // halve_every))

    return schedule


def make_optimizer(
    name: str, schedule: optax.Schedule, *, decay: float, weight_decay: float
) -> optax.GradientTransformation:
    """The named optimizer behind weight decay, which joins the gradient as in PyTorch."""
    return optax.chain(optax.add_decayed_weights(weight_decay), OPTIMIZERS[name](schedule, decay))

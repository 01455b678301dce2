"""The optimizers by name, with coupled weight decay and the step schedule."""

import functools
from collections.abc import Callable, Sequence

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
    "rsadam": lambda learning_rate, decay: rsgdm_optax.rsadam(learning_rate, b1=decay),
    "nadam": lambda learning_rate, decay: optax.nadam(learning_rate, b1=decay),
    "adan": lambda learning_rate, decay: optax.adan(learning_rate, b1=decay),
}


def known_faults(names: Sequence[str]) -> list[str]:
    """One line for each of the named optimizers that the installed optax computes wrongly."""
    if "adan" not in names or not _adan_is_faulty():
        return []
    return [
        f"adan: optax {optax.__version__} weighs the gradient's difference with 1-b2 = 0.08, where "
        "the algorithm has b2 = 0.92; the figures are not Adan's"
    ]


def _adan_is_faulty() -> bool:
    # With b1 = b2 = b3 = 0 Adan is g/|g|; the fault makes it (g + Δg)/|g + Δg|.
    adan = optax.scale_by_adan(b1=0.0, b2=0.0, b3=0.0)
    _, state = adan.update(jnp.float32(3), adan.init(jnp.float32(0)))
    update, _ = adan.update(jnp.float32(1), state)
    return bool(update < 0)


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
    halve_every = min(halve_every, 2**31 - 1)  # steps are counted in int32

    def schedule(count: ArrayLike) -> jax.Array:
        return jnp.ldexp(jnp.float32(learning_rate), -(jnp.asarray(count) // halve_every))

    return schedule


def make_optimizer(
    name: str, schedule: optax.Schedule, *, decay: float, weight_decay: float
) -> optax.GradientTransformation:
    """The named optimizer behind weight decay, which joins the gradient as in PyTorch."""
    return optax.chain(optax.add_decayed_weights(weight_decay), OPTIMIZERS[name](schedule, decay))

"""How the learning rate changes during a run: factors of its highest value.

A schedule here is a function of a run's settings and its steps an epoch; it returns the factor at
each step. To add one, add it to `SCHEDULES`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from train.runs.settings import RunSettings

Factory = Callable[[RunSettings, int], optax.Schedule]


def step(settings: RunSettings, steps_per_epoch: int) -> optax.Schedule:
    """Halves after every `halve_every` epochs: exactly, and at exactly that step.

    In whole numbers: optax's staircase divides in floating point, and under jit is a step late at
    some boundaries; its piecewise constant schedule traces an operation for every boundary.
    """
    every = min(settings.halve_every * steps_per_epoch, 2**31 - 1)  # steps are counted in int32

    def factor(count: ArrayLike) -> jax.Array:
        return jnp.ldexp(jnp.float32(1), -(jnp.asarray(count) // every))

    return factor


def linear(settings: RunSettings, steps_per_epoch: int) -> optax.Schedule:
    """Falls on a straight line to zero, which the step after the last one would have."""
    return optax.linear_schedule(1.0, 0.0, _steps(settings, steps_per_epoch))


def cosine(settings: RunSettings, steps_per_epoch: int) -> optax.Schedule:
    """Falls on half a period of a cosine to zero, which the step after the last would have."""
    return optax.cosine_decay_schedule(1.0, _steps(settings, steps_per_epoch))


SCHEDULES: dict[str, Factory] = {"step": step, "linear": linear, "cosine": cosine}


def factor(settings: RunSettings, steps_per_epoch: int) -> optax.Schedule:
    """The factor of a run's learning rate at each step, its warm-up included."""
    after = SCHEDULES[settings.schedule](settings, steps_per_epoch)
    warmup = settings.warmup_epochs * steps_per_epoch
    if not warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, 1.0, warmup), after], [warmup])


def _steps(settings: RunSettings, steps_per_epoch: int) -> int:
    """The steps after the warm-up."""
    return (settings.epochs - settings.warmup_epochs) * steps_per_epoch

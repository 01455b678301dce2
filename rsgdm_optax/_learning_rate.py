"""The last links of every optimizer here: weight decay, and a step against the direction."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsgdm_optax._arguments import is_real, shown
from rsgdm_optax._average import times
from rsgdm_optax._leafwise import Rule, leafwise
from rsgdm_optax._leaves import dtype_of


def scale_by_learning_rate(
    learning_rate: optax.ScalarOrSchedule,
) -> optax.GradientTransformationExtraArgs:
    """`optax.scale_by_learning_rate` and its states, under the contract of `leafwise`.

    Optax's own multiplies by −α in the gradient's dtype or in α's, and fails
    where implicit promotion is forbidden.
    """

    def rule_at(count: jax.Array | None) -> Rule:
        rate = value_at("learning_rate", learning_rate, count)
        return lambda direction: (-times(rate, direction),)

    return leafwise(schedule_state(learning_rate), rule_at)


def add_decayed_weights(
    weight_decay: optax.ScalarOrSchedule, mask: Any
) -> optax.GradientTransformationExtraArgs:
    """`optax.add_decayed_weights`, likewise."""
    if isinstance(mask, bool | np.bool_ | jax.Array):  # what inject_hyperparams makes of a function
        raise ValueError(
            f"mask must be None, a tree of booleans or a function, got {shown(mask)}. Under "
            "optax.inject_hyperparams name it in static_args."
        )

    def rule_at(count: jax.Array | None) -> Rule:
        strength = value_at("weight_decay", weight_decay, count)
        return lambda direction, parameter: (direction + times(strength, parameter),)

    decayed = leafwise(schedule_state(weight_decay), rule_at, reads_parameters=True)
    return decayed if mask is None else optax.masked(decayed, mask)


def value_at(name: str, scalar: optax.ScalarOrSchedule, count: jax.Array | None) -> Any:
    """The number, or what the schedule says at this count."""
    value = scalar(count) if callable(scalar) else scalar
    dtype = dtype_of(value)
    if dtype is not None and jnp.shape(value) != ():
        raise ValueError(
            f"{name} must be a schedule of scalars, got shape {jnp.shape(value)} from it."
        )
    if dtype is None or not is_real(dtype):
        raise ValueError(f"{name} must be a schedule of real numbers, got {shown(value)} from it.")
    return value


def schedule_state(scalar: optax.ScalarOrSchedule) -> Any:
    """The type of the state: a schedule needs a counter."""
    return optax.ScaleByScheduleState if callable(scalar) else optax.EmptyState

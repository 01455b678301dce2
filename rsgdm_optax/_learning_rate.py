"""The last link of every optimizer here: a step against the direction."""

import jax
import jax.numpy as jnp
import optax

from rsgdm_optax._average import times
from rsgdm_optax._leafwise import Rule, leafwise


def scale_by_learning_rate(
    learning_rate: optax.ScalarOrSchedule,
) -> optax.GradientTransformationExtraArgs:
    """`optax.scale_by_learning_rate` and its states, under the contract of `leafwise`.

    Optax's own multiplies by −α in the gradient's dtype or in α's, and fails
    where implicit promotion is forbidden.
    """

    def rule_at(count: jax.Array | None) -> Rule:
        rate = learning_rate(count) if callable(learning_rate) else learning_rate
        if jnp.shape(rate) != ():
            raise ValueError(
                f"learning_rate must be a schedule of scalars, got shape {jnp.shape(rate)} from it."
            )
        return lambda direction: (-times(rate, direction),)

    state_type = optax.ScaleByScheduleState if callable(learning_rate) else optax.EmptyState
    return leafwise(state_type, rule_at)

"""The momentum methods of one buffer: an average, mixed with the gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsgdm_optax._arguments import Number
from rsgdm_optax._average import average
from rsgdm_optax._leafwise import Rule, leafwise


class MomentumState(NamedTuple):
    """State of `sgdm`, `nesterov` and the quasi-hyperbolic family, their learning rate's apart."""

    m: optax.Updates  # average of the gradients, m_t; mirrors the parameters' tree


def one_buffer(
    decay: Number,
    share: Number,
    accumulator_dtype: np.dtype[Any] | None,
    *,
    state_type: Any = MomentumState,
    start: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """b_t = β·b_{t−1} + (1−β)·g_t with b_0 = 0; the update is ν·b_t + (1−ν)·g_t.

    Args:
      decay: β.
      share: ν, the buffer's share in the update.
      accumulator_dtype: dtype of the buffer; None for each parameter's own.
      state_type: a NamedTuple of the buffer and, if there is a `start`, `count`.
      start: b_1 from b_0 and g_1, in place of (1−β)·g_1.
    """

    def rule_at(count: Any) -> Rule:
        def rule(g: jax.Array, buffer: jax.Array) -> tuple[jax.Array, jax.Array]:
            new = average(buffer, g, decay)
            if start is not None:
                new = jnp.where(count == 0, start(buffer, g), new)
            return average(new, g, share), new

        return rule

    return leafwise(state_type, rule_at, accumulator_dtype)

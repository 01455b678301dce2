"""The updates of any linear momentum method, from one buffer."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsgdm_optax._arguments import Number
from rsgdm_optax._average import average, scaled, times
from rsgdm_optax._leafwise import Rule, leafwise

SMALLEST_DIVISOR = 2.0**-20


class LinearMomentumState(NamedTuple):
    """State of `LinearMomentum.transformation`, its learning rate's apart."""

    count: jax.Array  # type: ignore[assignment]  # steps taken so far (t), shape (), int32
    s: optax.Updates  # the past gradients' part of the next update, s_t; mirrors the parameters


def scale_by_weights(
    pole: Number,
    newest: tuple[Number, Number],
    first: tuple[Number, Number] | None,
    accumulator_dtype: np.dtype[Any] | None,
) -> optax.GradientTransformationExtraArgs:
    """n_t = h_0·g_t + s_{t−1} and s_t = β·s_{t−1} + h_1·g_t, where the first step may differ."""
    share = newest[1] / (1 - pole)  # h_1 = (1−β)·share: s is an average of share·g
    # n_t = (h_0 − h_1/β)·g_t + s_t/β reads only the new buffer, so that it may take the old one's
    # memory. Where β is tiny, 1/β or the buffer would leave the range of float32.
    pairs: list[tuple[Any, Any]] = [newest, first or newest]
    reads_new = (
        all(isinstance(number, float) for number in (pole, *pairs[0], *pairs[1]))
        and pole > SMALLEST_DIVISOR
        and all(abs(b) <= pole * abs(a) for a, b in pairs)
    )

    def own_weight(weights: tuple[Number, Number]) -> Number:
        """Of g_t in n_t, besides the buffer's."""
        return weights[0] - weights[1] / pole if reads_new else weights[0]

    def rule_at(count: Any) -> Rule:
        own = own_weight(newest)
        if first is not None:
            with jax.numpy_dtype_promotion("standard"):  # of scalars; `times` takes g's dtype
                own = jnp.where(count == 0, own_weight(first), own)

        def rule(g: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
            new = average(s, scaled(share, g), pole)
            if first is not None:
                # s is 0 in the first step. Where nothing of g₁ stays, it stays itself: zeros of
                # their own would cost the donated buffer a copy.
                stays = isinstance(first[1], float) and first[1] == 0
                new = jnp.where(count == 0, s if stays else times(first[1], g), new)
            rest = times(1 / pole, new) if reads_new else s
            return scaled(own, g) + rest, new

        return rule

    return leafwise(LinearMomentumState, rule_at, accumulator_dtype)

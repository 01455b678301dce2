"""The momentum methods of one buffer: an average, mixed with the gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsgdm_optax._arguments import FirstDifference, Number
from rsgdm_optax._average import average, times
from rsgdm_optax._leafwise import leafwise


class MomentumState(NamedTuple):
    """State of `sgdm`, `nesterov` and the quasi-hyperbolic family, their learning rate's apart."""

    m: optax.Updates  # average of the gradients, m_t; mirrors the parameters' tree


def one_buffer(
    decay: Number, share: Number, accumulator_dtype: np.dtype[Any] | None
) -> optax.GradientTransformationExtraArgs:
    """m_t = β·m_{t−1} + (1−β)·g_t with m_0 = 0; the update is ν·m_t + (1−ν)·g_t.

    Args:
      decay: β.
      share: ν, the buffer's share in the update.
      accumulator_dtype: dtype of the buffer; None for each parameter's own.
    """

    def rule(g: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
        m = average(m, g, decay)
        return average(m, g, share), m

    return leafwise(MomentumState, lambda _: rule, accumulator_dtype)


class CorrectedAverage(NamedTuple):
    """n_t = m_t + c·z_t from one buffer b, which starts at zero.

    With r = c/β and ν = 1 − r·(1−β), from the second gradient on

        b_t = β·b_{t−1} + (1−β)·x·g_t
        n_t = s·b_t + (1−s)·y·g_t

    where (s, x, y) = (ν, 1, 1) if r ≤ 1. The buffer is then an average, whose weights
    add up to 1. Beyond, its first gradient's weight would grow without bound as ν
    goes to 0, so it is scaled by ν/β: (s, x, y) = (β, ν/β, r). The start with Δg₁ = 0
    is b_1 = (1−β)(1−r)/s·g_1. With Δg₁ = g₁ it is the recursion's own.
    """

    decay: Number  # β
    nu: Number  # ν
    share: Number  # s
    taken: Number  # x
    added: Number  # y
    start: Number | None  # b_1/g_1; None if it is the recursion's own

    def rule_at(self, count: jax.Array) -> Callable[[jax.Array, jax.Array], Any]:
        """The function from g_t and b_{t−1} to n_t and b_t at t = count + 1."""

        def rule(g: jax.Array, buffer: jax.Array) -> tuple[jax.Array, jax.Array]:
            new = average(buffer, _scaled(self.taken, g), self.decay)
            if self.start is not None:
                new = jnp.where(count == 0, _scaled(self.start, g), new)
            return average(new, _scaled(self.added, g), self.share), new

        return rule


def corrected_average(
    decay: Number, correction: Number | None, first_difference: FirstDifference
) -> CorrectedAverage:
    """The one-buffer form of m_t + c·z_t; c is β if `correction` is None."""
    is_zero = first_difference == "zero"
    if correction is None:  # r is 1, also where β is 0
        return CorrectedAverage(decay, decay, decay, 1.0, 1.0, 0.0 if is_zero else None)
    xp: Any = np if isinstance(decay, float) and isinstance(correction, float) else jnp
    with jax.numpy_dtype_promotion("standard"):
        beta, c = _at_least_float32(decay), _at_least_float32(correction)
        # Where β is 0, c is too. The inner `where` keeps derivatives free of 0/0.
        r = xp.where(beta == 0, 0.0, c / xp.where(beta == 0, 1.0, beta))
        nu = 1 - r * (1 - beta)
        is_scaled = r > 1
        share = xp.where(is_scaled, beta, nu)
        taken = xp.where(is_scaled, nu / xp.where(is_scaled, beta, 1.0), 1.0)
        added = xp.where(is_scaled, r, 1.0)
        start = (1 - beta) * (1 - r) / share
    numbers = [nu, share, taken, added, start]
    if xp is np:
        numbers = [float(number) for number in numbers]
    nu, share, taken, added, start = numbers
    return CorrectedAverage(decay, nu, share, taken, added, start if is_zero else None)


def _at_least_float32(number: Number) -> Number:
    if isinstance(number, float):
        return number
    return number.astype(jnp.promote_types(number.dtype, jnp.float32))


def _scaled(weight: Number, x: jax.Array) -> jax.Array:
    """weight·x; a weight known to be 0 does not look at x, which may not be finite."""
    if isinstance(weight, float) and weight in (0.0, 1.0):
        return x if weight else jnp.zeros_like(x)
    return times(weight, x)

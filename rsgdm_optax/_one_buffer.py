"""The momentum methods of one buffer: an average, mixed with the gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsgdm_optax._arguments import FirstDifference, Number, at_least_float32
from rsgdm_optax._average import average, mean, scaled, total_weight
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
    goes to 0, so it is scaled by ν/β: (s, x, y) = (β, ν/β, r). Of the first gradient
    x is (1−r)/s with Δg₁ = 0; with Δg₁ = g₁ it is the same as of the others.
    """

    decay: Number  # β
    ratio: Number  # r
    share: Number  # s
    rest: Number  # 1 − s, computed without the subtraction
    taken: Number  # x
    added: Number  # y
    start: Number | None  # x of the first gradient; None if it is that of the others

    def rule_at(self, count: jax.Array) -> Callable[[jax.Array, jax.Array], Any]:
        """The function from g_t and b_{t−1} to n_t and b_t at t = count + 1."""

        def rule(g: jax.Array, buffer: jax.Array) -> tuple[jax.Array, jax.Array]:
            taken = scaled(self.taken, g)
            if self.start is not None:
                taken = jnp.where(count == 0, scaled(self.start, g), taken)
            buffer = average(buffer, taken, self.decay)
            return mean(buffer, scaled(self.added, g), self.share, self.rest), buffer

        return rule

    def total_weight_at(self, count: jax.Array) -> jax.Array:
        """What the weights on g_1 … g_t add up to, at t = count + 1.

        1 − β^t with Δg₁ = 0, as z has nothing of a steady gradient; 1 − ν·β^t with Δg₁ = g₁.
        """
        total = total_weight(self.decay, optax.safe_increment(count))
        if self.start is not None:
            return total
        with jax.numpy_dtype_promotion("standard"):
            present = self.ratio * (1 - self.decay)  # 1 − ν
            return present + (1 - present) * total


def corrected_average(
    decay: Number, correction: Number | None, first_difference: FirstDifference
) -> CorrectedAverage:
    """The one-buffer form of m_t + c·z_t; c is β if `correction` is None."""
    is_zero = first_difference == "zero"
    if correction is None:  # r is 1, also where β is 0
        start = 0.0 if is_zero else None
        return CorrectedAverage(decay, 1.0, decay, 1 - decay, 1.0, 1.0, start)
    xp: Any = np if isinstance(decay, float) and isinstance(correction, float) else jnp
    with jax.numpy_dtype_promotion("standard"):
        beta, c = at_least_float32(decay), at_least_float32(correction)
        # Where β is 0, c is too. The inner `where` keeps derivatives free of 0/0.
        ratio = xp.where(beta == 0, 0.0, c / xp.where(beta == 0, 1.0, beta))
        nu = 1 - ratio * (1 - beta)
        is_scaled = ratio > 1
        share = xp.where(is_scaled, beta, nu)
        rest = xp.where(is_scaled, 1 - beta, ratio * (1 - beta))
        taken = xp.where(is_scaled, nu / xp.where(is_scaled, beta, 1.0), 1.0)
        added = xp.where(is_scaled, ratio, 1.0)
        # share is 0 where β is lost beside 1: of the first gradient then all is there.
        start = (1 - ratio) / xp.where(share == 0, 1.0, share)
        numbers = [ratio, share, rest, taken, added, start]
    if xp is np:  # Python's own floats, for they promote nothing
        numbers = [float(number) for number in numbers]
    ratio, share, rest, taken, added, start = numbers
    return CorrectedAverage(decay, ratio, share, rest, taken, added, start if is_zero else None)

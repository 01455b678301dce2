"""One step of an exponential moving average."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def promote(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both in their common dtype, explicitly: implicit promotion may be forbidden."""
    dtype = jnp.promote_types(a.dtype, b.dtype)
    return a.astype(dtype), b.astype(dtype)


def average(previous: jax.Array, value: jax.Array, decay: ArrayLike) -> jax.Array:
    """β·previous + (1−β)·value, in their common dtype.

    Written so that β enters only through 1−β, rounded once: the weights add up
    to exactly 1 in any precision. In textbook order they do not, which on noisy
    gradients in float32 loses about 0.1/(1−β) units in the last place, a hundred
    at β = 0.999.
    """
    previous, value = promote(previous, value)
    return previous + (1 - decay) * (value - previous)

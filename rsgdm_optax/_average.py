"""One step of an exponential moving average."""

import jax
import jax.numpy as jnp

from rsgdm_optax._arguments import Number


def average(previous: jax.Array, value: jax.Array, decay: Number) -> jax.Array:
    """β·previous + (1−β)·value, of two arrays of one dtype.

    A step from the one of larger weight towards the other, so that the weights
    add up to exactly 1 in any precision, and β enters through the smaller one,
    rounded once. In textbook order a β near 1 loses, on noisy gradients in
    float32, about 0.1/(1−β) units in the last place, a hundred at β = 0.999. A
    step from `previous` alone would leave, at a β near 0, what it rounds to.
    """
    weight: Number
    if isinstance(decay, jax.Array):  # maybe traced
        is_small = decay < 0.5
        weight = jnp.where(is_small, decay, 1 - decay)
        near = jnp.where(is_small, value, previous)
        far = jnp.where(is_small, previous, value)
    elif decay < 0.5:
        weight, near, far = decay, value, previous
    else:
        weight, near, far = 1 - decay, previous, value
    if isinstance(weight, float) and weight == 0:
        return near  # and not near + 0·(far − near), which is NaN if that is not finite
    return near + times(weight, far - near)


def times(weight: Number, x: jax.Array) -> jax.Array:
    """weight·x in the dtype of x, whatever the scalar's own is."""
    return jnp.asarray(weight).astype(x.dtype) * x

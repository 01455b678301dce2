"""Exponential moving averages: a step of one, and the sum of its weights."""

import math

import jax
import jax.numpy as jnp

from rsgdm_optax._arguments import Number


def average(previous: jax.Array, value: jax.Array, decay: Number) -> jax.Array:
    """β·previous + (1−β)·value, of two arrays of one dtype."""
    return mean(previous, value, decay, 1 - decay)


def mean(x: jax.Array, y: jax.Array, weight: Number, rest: Number) -> jax.Array:
    """weight·x + rest·y, of two arrays of one dtype; the two weights add up to 1.

    A step from the one of larger weight towards the other, so that the weights
    add up to exactly 1 in any precision, and only the smaller one is used,
    rounded once. In textbook order a β near 1 loses, on noisy gradients in
    float32, about 0.1/(1−β) units in the last place, a hundred at β = 0.999. A
    step from `x` alone would leave, at a weight near 0, what it rounds to.
    """
    smaller: Number
    if isinstance(weight, jax.Array) or isinstance(rest, jax.Array):  # maybe traced
        is_small = jnp.asarray(weight) < 0.5
        smaller = jnp.where(is_small, weight, rest)
        near = jnp.where(is_small, y, x)
        far = jnp.where(is_small, x, y)
    elif weight < 0.5:
        smaller, near, far = weight, y, x
    else:
        smaller, near, far = rest, x, y
    if isinstance(smaller, float) and smaller == 0:
        return near  # and not near + 0·(far − near), which is NaN if that is not finite
    return near + times(smaller, far - near)


def times(weight: Number, x: jax.Array) -> jax.Array:
    """weight·x in the dtype of x, whatever the scalar's own is."""
    return jnp.asarray(weight).astype(x.dtype) * x


def scaled(weight: Number, x: jax.Array) -> jax.Array:
    """As `times`, but a weight known to be 0 does not look at x, which may not be finite."""
    return jnp.zeros_like(x) if isinstance(weight, float) and weight == 0 else times(weight, x)


def total_weight(decay: Number, steps: jax.Array) -> jax.Array:
    """1 − β^t: what the weights of an average that began at zero add up to after t steps.

    Without the subtraction, which near β = 1 would cost the digits that `mean` saves.
    """
    t = steps.astype(float)
    if isinstance(decay, float):
        return -jnp.expm1(t * math.log(decay)) if decay else jnp.ones_like(t)
    with jax.numpy_dtype_promotion("standard"):
        is_small = decay < 0.5  # where the logarithm may have no derivative
        beta = jnp.where(is_small, 0.5, decay)
        return jnp.where(is_small, 1 - decay**t, -jnp.expm1(t * jnp.log(beta)))

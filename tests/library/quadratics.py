"""Linear methods on a noisy quadratic: what tests of feedback compare with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax
from rsgdm_optax import linear


def _optimistic(decay, c):
    return lambda rate: optax.chain(
        optax.scale_by_optimistic_gradient(1.0, c),
        optax.ema(decay, debias=False),
        optax.scale(-rate),
    )


# name: (description, the optimizer of a learning rate, which is not made from it)
METHODS = {
    "sgd": (linear.sgd(), optax.sgd),
    "sgdm": (linear.sgdm(0.9), functools.partial(rsgdm_optax.sgdm, decay=0.9)),
    "rsgdm": (linear.rsgdm(0.9), functools.partial(rsgdm_optax.rsgdm, decay=0.9)),
    "nesterov": (linear.nesterov(0.9), functools.partial(rsgdm_optax.nesterov, decay=0.9)),
    "c 0.45": (linear.rsgdm(0.9, 0.45), _optimistic(0.9, 0.45)),
    "c 2": (linear.rsgdm(0.9, 2.0), _optimistic(0.9, 2.0)),
    "c 4": (linear.rsgdm(0.9, 4.0), _optimistic(0.9, 4.0)),
    "c -0.3": (linear.rsgdm(0.9, -0.3), _optimistic(0.9, -0.3)),
    "heavy_ball": (linear.heavy_ball(0.8), functools.partial(optax.sgd, momentum=0.8)),
    "ogda": (linear.ogda(0.7), lambda rate: optax.optimistic_gradient_descent(rate, 1.0, 0.7)),
}

each_method = pytest.mark.parametrize("name", METHODS)


def simulate(optimizer, curvature, lanes, steps, start=0.0, noise=1.0):
    """θ of every step, shape (steps, lanes), with gradients λθ + noise."""

    @jax.jit
    def run():
        def step(carry, key):
            theta, state = carry
            gradient = curvature * theta + noise * jax.random.normal(key, (lanes,))
            update, state = optimizer.update(gradient, state, theta)
            return (theta + update, state), theta + update

        theta = jnp.full((lanes,), start)
        keys = jax.random.split(jax.random.key(0), steps)
        return jax.lax.scan(step, (theta, optimizer.init(theta)), keys)[1]

    return np.asarray(run())

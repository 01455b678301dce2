"""A training loop in plain JAX and optax.

python recipes/plain_jax.py
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsgdm_optax import rsgdm

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 4)).astype(np.float32)
y = x @ np.array([1.0, -2.0, 3.0, 0.5], np.float32)


def loss_of(params):
    return jnp.mean((x @ params["w"] - y) ** 2)


optimizer = rsgdm(learning_rate=0.2, decay=0.9, compact=True)
params = {"w": jnp.zeros(4)}
state = optimizer.init(params)


@jax.jit
def step(params, state):
    loss, gradients = jax.value_and_grad(loss_of)(params)
    updates, state = optimizer.update(gradients, state, params)
    return optax.apply_updates(params, updates), state, loss


for _ in range(50):
    params, state, loss = step(params, state)

print("weights:", *(f"{w:.6f}" for w in params["w"]))

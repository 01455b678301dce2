"""An Equinox module, which holds functions and numbers beside its arrays.

python recipes/equinox_module.py

A module is a pytree whose leaves need not be arrays. `eqx.filter` replaces the others by None,
which the optimizer leaves alone.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from rsgdm_optax import rsgdm

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 4)).astype(np.float32)
y = x @ np.array([1.0, -2.0, 3.0, 0.5], np.float32)


class Model(eqx.Module):
    linear: eqx.nn.Linear
    activation: object = jax.nn.identity  # a leaf that is no array

    def __call__(self, row):
        return self.activation(self.linear(row))[0]


linear = eqx.nn.Linear(4, 1, use_bias=False, key=jax.random.key(0))
model = Model(eqx.tree_at(lambda module: module.weight, linear, jnp.zeros((1, 4))))
optimizer = rsgdm(0.2, compact=True)
state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))


@eqx.filter_jit
def step(model, state):
    gradients = eqx.filter_grad(lambda model: jnp.mean((jax.vmap(model)(x) - y) ** 2))(model)
    updates, state = optimizer.update(gradients, state, eqx.filter(model, eqx.is_inexact_array))
    return eqx.apply_updates(model, updates), state


for _ in range(50):
    model, state = step(model, state)

print("weights:", *(f"{w:.6f}" for w in model.linear.weight[0]))

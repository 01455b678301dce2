"""A Flax Linen module with `TrainState`.

python recipes/flax_linen.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from flax.training.train_state import TrainState

from rsgdm_optax import rsgdm

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 4)).astype(np.float32)
y = x @ np.array([1.0, -2.0, 3.0, 0.5], np.float32)

model = linen.Dense(1, use_bias=False, kernel_init=linen.initializers.zeros_init())
params = model.init(jax.random.key(0), x)["params"]
train_state = TrainState.create(apply_fn=model.apply, params=params, tx=rsgdm(0.2, compact=True))


@jax.jit
def step(train_state):
    def loss_of(params):
        return jnp.mean((train_state.apply_fn({"params": params}, x)[:, 0] - y) ** 2)

    return train_state.apply_gradients(grads=jax.grad(loss_of)(train_state.params))


for _ in range(50):
    train_state = step(train_state)

print("weights:", *(f"{w:.6f}" for w in train_state.params["kernel"][:, 0]))

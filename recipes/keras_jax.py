"""A Keras 3 model on JAX, in a loop of your own.

python recipes/keras_jax.py

`model.compile(optimizer=...)` accepts only Keras optimizers. An optax transformation needs a loop
of its own, by `stateless_call`; the trained variables go back into the model at the end.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"  # read when keras is imported

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax

from rsgdm_optax import rsgdm

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 4)).astype(np.float32)
y = x @ np.array([1.0, -2.0, 3.0, 0.5], np.float32)

model = keras.Sequential(
    [keras.Input((4,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
)
try:
    model.compile(optimizer=rsgdm(0.2), loss="mse")
except ValueError:
    print("compile: refused")

optimizer = rsgdm(0.2, compact=True)
params = [variable.value for variable in model.trainable_variables]
others = [variable.value for variable in model.non_trainable_variables]
state = optimizer.init(params)


@jax.jit
def step(params, others, state):
    def loss_of(params):
        predictions, new = model.stateless_call(params, others, x, training=True)
        return jnp.mean((predictions[:, 0] - y) ** 2), new

    gradients, others = jax.grad(loss_of, has_aux=True)(params)
    updates, state = optimizer.update(gradients, state, params)
    return optax.apply_updates(params, updates), others, state


for _ in range(50):
    params, others, state = step(params, others, state)
for variable, value in zip(model.trainable_variables, params, strict=True):
    variable.assign(value)

print("weights:", *(f"{w:.6f}" for w in model.layers[0].kernel.value[:, 0]))

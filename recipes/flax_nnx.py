"""A Flax NNX module with `nnx.Optimizer`.

python recipes/flax_nnx.py
"""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from rsgdm_optax import rsgdm

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 4)).astype(np.float32)
y = x @ np.array([1.0, -2.0, 3.0, 0.5], np.float32)

zeros = nnx.initializers.zeros_init()
model = nnx.Linear(4, 1, use_bias=False, kernel_init=zeros, rngs=nnx.Rngs(0))
optimizer = nnx.Optimizer(model, rsgdm(0.2, compact=True), wrt=nnx.Param)


@nnx.jit
def step(model, optimizer):
    loss, gradients = nnx.value_and_grad(lambda m: jnp.mean((m(x)[:, 0] - y) ** 2))(model)
    optimizer.update(model, gradients)
    return loss


for _ in range(50):
    loss = step(model, optimizer)

print("weights:", *(f"{w:.6f}" for w in model.kernel[...][:, 0]))

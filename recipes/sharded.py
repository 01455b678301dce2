"""Parameters and optimizer state divided among devices, as FSDP does.

python recipes/sharded.py

Eight virtual CPU devices stand in for real ones: leave the first line of the program out there.
"""

import jax

jax.config.update("jax_num_cpu_devices", 8)

import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from rsgdm_optax import rsgdm

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 16)).astype(np.float32)
y = x @ rng.normal(size=(16, 8)).astype(np.float32)

optimizer = rsgdm(0.2, compact=True)


def run(devices):
    mesh = jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)
    split = NamedSharding(mesh, PartitionSpec("data"))  # along the first axis
    params = jax.device_put({"w": jnp.zeros((16, 8))}, split)
    batch = jax.device_put((x, y), split)
    state = optimizer.init(params)  # outside of jit: buffers go where the parameters are

    @jax.jit
    def step(params, state, x, y):
        gradients = jax.grad(lambda p: jnp.mean((x @ p["w"] - y) ** 2))(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(20):
        params, state = jax.block_until_ready(step(params, state, *batch))
    return params["w"], optax.tree.get(state, "c")["w"]


w, buffer = run(jax.devices())
print("devices:", len(w.sharding.device_set))
print("rows on one device, of parameters:", w.addressable_shards[0].data.shape[0])
print("rows on one device, of the buffer:", buffer.addressable_shards[0].data.shape[0])
alone, _ = run(jax.devices()[:1])
print("distance to one device:", float(np.max(np.abs(np.asarray(w) - np.asarray(alone)))))

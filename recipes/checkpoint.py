"""Saves parameters and optimizer state with orbax, and goes on with another number of devices.

python recipes/checkpoint.py FOLDER 8   # trains 10 steps on 8 devices and saves
python recipes/checkpoint.py FOLDER 2   # restores, and trains 10 more on 2
"""

import sys
from pathlib import Path

import jax

folder, devices = Path(sys.argv[1]).resolve(), int(sys.argv[2])
jax.config.update("jax_num_cpu_devices", devices)  # virtual ones; leave this out elsewhere

import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from rsgdm_optax import rsgdm

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 16)).astype(np.float32)
y = x @ rng.normal(size=16).astype(np.float32)

mesh = jax.make_mesh((devices,), ("data",), (AxisType.Auto,))
split, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
optimizer = rsgdm(0.2)
params = jax.device_put({"w": jnp.zeros(16)}, split)
train = {"params": params, "state": optimizer.init(params)}

with ocp.StandardCheckpointer() as checkpointer:
    steps = sorted(int(path.name) for path in folder.glob("[0-9]*"))
    if steps:
        # What to restore, and where it goes: shapes, dtypes and today's shardings.
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=split if leaf.ndim else whole
            ),
            train,
        )
        train = checkpointer.restore(folder / str(steps[-1]), target)
    print("steps already taken:", int(optax.tree.get(train["state"], "ScaleByRsgdmState").count))

    @jax.jit
    def step(params, state, x, y):
        gradients = jax.grad(lambda p: jnp.mean((x @ p["w"] - y) ** 2))(params)
        updates, state = optimizer.update(gradients, state, params)
        return {"params": optax.apply_updates(params, updates), "state": state}

    for _ in range(10):
        train = jax.block_until_ready(step(**train, x=x, y=y))

    taken = int(optax.tree.get(train["state"], "ScaleByRsgdmState").count)
    checkpointer.save(folder / str(taken), train)

print("devices:", len(train["params"]["w"].sharding.device_set))
print("steps:", taken)
print("weights:", *(f"{w:.6f}" for w in np.asarray(train["params"]["w"])))

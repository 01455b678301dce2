"""Optimizer state kept by name, so that it outlives a change of the optimizer around it.

python recipes/upgrade_state.py

A checkpoint of a whole state fits only the chain that made it. Names last longer than nesting: take
out the part by its name, make a new state, and put the part in. The second half changes from the
paper's three buffers to one, in the middle of a training.
"""

import jax
import jax.numpy as jnp
import optax

from rsgdm_optax import ScaleByRsgdmState, rsgdm

BETA = 0.9
params = {"w": jnp.array([1.0, -2.0, 3.0])}
curvature = jnp.array([0.5, 1.0, 2.0])


def run(optimizer, params, state, steps):
    for _ in range(steps):
        updates, state = optimizer.update({"w": curvature * params["w"]}, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def distance(one, other):
    return float(jnp.max(jnp.abs(one["w"] - other["w"])))


old = rsgdm(0.3, BETA)
straight, _ = run(old, params, old.init(params), 40)
params, state = run(old, params, old.init(params), 20)
kept = optax.tree.get(state, "ScaleByRsgdmState")._asdict()  # a dict of arrays: what to save

# Another chain: clipping before, and hyperparameters in the state.
new = optax.chain(
    optax.clip_by_global_norm(100.0), optax.inject_hyperparams(rsgdm)(0.3, decay=BETA)
)
new_state = new.init(params)
new_state = optax.tree.set(new_state, ScaleByRsgdmState=ScaleByRsgdmState(**kept))
print("another chain, distance:", distance(run(new, params, new_state, 20)[0], straight))

# From three buffers to one: n = m + β·z is (1−β)·g + β·c.
c = jax.tree.map(
    lambda m, z, g: (m + BETA * z - (1 - BETA) * g) / BETA,
    kept["m"],
    kept["z"],
    kept["previous_gradient"],
)
compact = rsgdm(0.3, BETA, compact=True)
compact_state = optax.tree.set(compact.init(params), count=kept["count"], c=c)
print("one buffer, distance:", distance(run(compact, params, compact_state, 20)[0], straight))

"""Accumulation, clipping, lookahead and schedule-free averaging around RSGDM.

python recipes/wrappers.py
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.contrib import schedule_free, schedule_free_eval_params

from rsgdm_optax import rsgdm

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 4)).astype(np.float32)
y = x @ np.array([1.0, -2.0, 3.0, 0.5], np.float32)


def loss_of(w, x, y):
    return jnp.mean((x @ w - y) ** 2)


def trained(optimizer, parts=1, steps=50, params=None):
    """Parameters and state after `steps` passes over the data, in `parts` batches a pass."""
    params = jnp.zeros(4) if params is None else params
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, x, y):
        gradients = jax.grad(loss_of)(getattr(params, "fast", params), x, y)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        for batch in zip(np.split(x, parts), np.split(y, parts), strict=True):
            params, state = step(params, state, *batch)
    return params, state


base = rsgdm(0.2, compact=True)
plain, _ = trained(base)

# Four gradients are averaged, then one step is taken: the steps of the whole batch.
accumulated, _ = trained(optax.MultiSteps(base, every_k_schedule=4), parts=4)
print("accumulation, distance to whole batches:", float(jnp.max(jnp.abs(accumulated - plain))))

# Clipping comes before the average, so that one outlier cannot stay in the buffer.
clipped, _ = trained(optax.chain(optax.clip_by_global_norm(1.0), base))
print("clipping, loss:", float(loss_of(clipped, x, y)))

# Lookahead has two sets of parameters; the slow one is the result.
pair = optax.LookaheadParams.init_synced(jnp.zeros(4))
ahead, _ = trained(optax.lookahead(base, sync_period=5, slow_step_size=0.5), params=pair)
print("lookahead, loss:", float(loss_of(ahead.slow, x, y)))

# schedule_free has an average (b1) in place of its base's momentum, and needs to be told the rate.
memoryless = rsgdm(0.2, decay=0.0, compact=True)
free, state = trained(schedule_free(memoryless, learning_rate=0.2, b1=0.9), steps=200)
print("schedule_free, loss:", float(loss_of(schedule_free_eval_params(state, free), x, y)))

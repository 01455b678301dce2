"""A schedule whose rate can be logged, and changed from outside.

python recipes/logged_rate.py

`optax.inject_hyperparams` keeps the hyperparameters in the state. It rounds them to the parameters'
dtype: with bfloat16 parameters 0.9 is 0.8984. `hyperparam_dtype=jnp.float32` prevents that.
"""

import jax
import jax.numpy as jnp
import optax

from rsgdm_optax import rsgdm

schedule = optax.linear_schedule(0.5, 0.0, transition_steps=10)
optimizer = optax.inject_hyperparams(
    rsgdm,
    static_args=("compact", "accumulator_dtype", "first_difference"),  # no numbers
    hyperparam_dtype=jnp.float32,
)(learning_rate=schedule, decay=0.9, compact=True, accumulator_dtype=jnp.float32)

params = jnp.ones(3, jnp.bfloat16)
state = optimizer.init(params)


@jax.jit
def step(params, state):
    updates, state = optimizer.update(jax.grad(lambda p: jnp.sum(p**2))(params), state, params)
    return optax.apply_updates(params, updates), state


for _ in range(5):
    params, state = step(params, state)
    print("rate:", state.hyperparams["learning_rate"])

# From outside: a smaller decay from here on.
print("decay:", state.hyperparams["decay"])
state = optax.tree.set(state, decay=jnp.asarray(0.5))
params, state = step(params, state)
print("decay after the change:", state.hyperparams["decay"])

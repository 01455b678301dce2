"""Parameter groups: rates of their own, frozen parameters, and weight decay for matrices alone.

python recipes/parameter_groups.py
"""

import jax
import jax.numpy as jnp
import optax

from rsgdm_optax import rsgdm, sgdm

params = {
    "encoder": {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)},
    "head": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)},
    "embedding": jnp.ones((5, 4)),
}


def is_matrix(tree):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, tree)


def group(path, _):
    name = path[0].key
    return {"embedding": "frozen"}.get(name, name)


# Coupled decay, PyTorch's: it is added to the gradient and so is averaged with it.
decay = optax.add_decayed_weights(0.1, mask=is_matrix)
optimizer = optax.partition(
    {
        "encoder": optax.chain(decay, rsgdm(0.1, compact=True)),
        "head": optax.chain(decay, sgdm(1.0)),
        "frozen": optax.set_to_zero(),
    },
    lambda params: jax.tree_util.tree_map_with_path(group, params),
)
state = optimizer.init(params)
gradients = jax.tree.map(jnp.zeros_like, params)  # so that only weight decay moves anything
updates, state = optimizer.update(gradients, state, params)
params = optax.apply_updates(params, updates)

for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    print(f"{jax.tree_util.keystr(path, simple=True, separator='/')}: {leaf.ravel()[0]:.6f}")
print("buffers:", sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim))

"""On which devices a state's arrays are, and how: they stay there from step to step."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import (
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)


def zero_count(params: optax.Params) -> jax.Array:
    """A step counter at zero, on the devices of the parameters if they were all put on the same.

    Left where it was made, it would come back from the first jitted update on
    the parameters' devices, and the second update would compile again. Put on
    some of the parameters' devices, it would drag the others' buffers there.
    """
    count = jnp.zeros([], jnp.int32)
    shardings = [_committed_sharding(leaf) for leaf in jax.tree.leaves(params)]
    if not shardings or any(
        sharding is None or sharding.device_set != shardings[0].device_set for sharding in shardings
    ):
        return count
    if isinstance(shardings[0], NamedSharding):
        return jnp.asarray(jax.device_put(count, NamedSharding(shardings[0].mesh, PartitionSpec())))
    return jnp.asarray(jax.device_put(count, shardings[0]))


def _committed_sharding(leaf: Any) -> Any:
    """Where the leaf was put, or None if it was not, or if that cannot be known."""
    if isinstance(leaf, jax.core.Tracer):
        return None
    sharding = getattr(leaf, "sharding", None)
    if isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh):
        return sharding
    if isinstance(sharding, SingleDeviceSharding) and getattr(leaf, "committed", True):
        return sharding
    return None


def align(arrays: Sequence[jax.Array]) -> list[jax.Array]:
    """The arrays in the first explicit sharding among theirs.

    With explicit mesh axes JAX refuses to combine arrays of different
    shardings. With automatic ones, and on one device, nothing is done.
    """
    for target in arrays:
        sharding = _explicit_sharding(target)
        if sharding is not None:
            return [
                x if jax.typeof(x).sharding == sharding else _reshard(x, target) for x in arrays
            ]
    return list(arrays)


def _explicit_sharding(x: jax.Array) -> Sharding | None:
    sharding = jax.typeof(x).sharding
    return sharding if AxisType.Explicit in sharding.mesh.axis_types else None


def _reshard(x: jax.Array, target: jax.Array) -> jax.Array:
    if isinstance(target, jax.core.Tracer):
        return jnp.asarray(jax.sharding.reshard(x, jax.typeof(target).sharding))
    # Without jit, reshard would ask for x on the mesh already.
    return jnp.asarray(jax.device_put(x, target.sharding))

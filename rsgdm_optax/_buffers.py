"""What every optimizer state here keeps constant from step to step: dtypes and shardings.

A state whose leaves change dtype, weak type or sharding after the first step
makes the second step compile again and breaks `lax.scan`, `lax.cond` (hence
`optax.MultiSteps`) and buffer donation.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding


def zero_buffer(params: optax.Params, dtype: np.dtype[Any] | None) -> optax.Updates:
    """Zeros with the shapes and shardings of `params`, in `dtype` or the parameters' own.

    Leaves may be arrays, Python scalars or `jax.ShapeDtypeStruct`s.

    Raises:
      ValueError: if the buffers' dtype could not hold averages of gradients.
    """
    check_dtypes(params, dtype)
    # The dtype is always passed on: without it a weakly typed parameter would
    # give a weakly typed buffer, which the first update makes strong.
    return jax.tree.map(lambda leaf: jnp.zeros_like(leaf, dtype=dtype or _dtype(leaf)), params)


def check_dtypes(params: optax.Params, dtype: np.dtype[Any] | None) -> None:
    """Raises if a buffer would lose an imaginary part, or everything behind the point."""
    is_complex = dtype is not None and jnp.issubdtype(dtype, jnp.complexfloating)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        of = _dtype(leaf)
        where = jax.tree_util.keystr(path)
        the_parameter = f"the parameter{where and ' at ' + where} of dtype {of}"
        if dtype is None and not jnp.issubdtype(of, jnp.inexact):
            raise ValueError(
                "accumulator_dtype must be given for parameters that are neither floating-point "
                f"nor complex: got None for {the_parameter}."
            )
        if dtype is not None and not is_complex and jnp.issubdtype(of, jnp.complexfloating):
            raise ValueError(
                "accumulator_dtype must be complex, or None, for complex parameters: got "
                f"{dtype} for {the_parameter}."
            )


def _dtype(leaf: Any) -> np.dtype[Any]:
    """The leaf's dtype as JAX would store it."""
    return jax.dtypes.canonicalize_dtype(
        leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
    )


def zero_count(params: optax.Params) -> jax.Array:
    """A step counter at zero, placed as `place_count` says."""
    return place_count(jnp.zeros([], jnp.int32), params)


def place_count(count: jax.Array, params: optax.Params) -> jax.Array:
    """A step counter on every device that the parameters were put on, if they were.

    Left where it was made, it would come back from the first jitted update
    on the parameters' devices, and the second update would compile again.
    """
    for leaf in jax.tree.leaves(params):
        if isinstance(leaf, jax.core.Tracer | np.ndarray):
            continue
        sharding = getattr(leaf, "sharding", None)
        if isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh):
            sharding = NamedSharding(sharding.mesh, PartitionSpec())
            return jnp.asarray(jax.device_put(count, sharding))
        if isinstance(sharding, SingleDeviceSharding) and getattr(leaf, "committed", True):
            return jnp.asarray(jax.device_put(count, sharding))
    return count


def as_arrays(updates: optax.Updates) -> optax.Updates:
    """Gradients as JAX arrays: NumPy's float64 and Python's floats in a dtype that JAX has."""
    return jax.tree.map(jnp.asarray, updates)


def cast(x: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """`x` in `dtype`; the real part where `dtype` is real."""
    if jnp.iscomplexobj(x) and not jnp.issubdtype(dtype, jnp.complexfloating):
        x = x.real
    return x.astype(dtype)


def keep_dtypes(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """`inner`, with updates in the gradients' dtypes and a state whose dtypes never change.

    Optax's own parts follow JAX's promotion instead: a float32 accumulator
    under bfloat16 gradients gives float32 updates, and float32 gradients turn
    a bfloat16 trace into a float32 one.
    """

    def like(tree: Any, reference: Any) -> Any:
        return jax.tree.map(lambda x, y: cast(x, y.dtype), tree, reference)

    def init_fn(params: optax.Params) -> optax.OptState:
        state = inner.init(params)
        state = like(state, state)  # strongly typed, even for weakly typed parameters
        return jax.tree.map(
            lambda x: place_count(x, params) if jnp.issubdtype(x.dtype, jnp.integer) else x, state
        )

    def update_fn(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        updates = as_arrays(updates)
        new_updates, new_state = inner.update(updates, state, params)
        return like(new_updates, updates), like(new_state, state)

    return optax.GradientTransformation(init_fn, update_fn)

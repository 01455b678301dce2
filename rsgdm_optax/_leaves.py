"""Which leaves a transformation takes, said in one line for those that it does not."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

# JAX promotes no floats of 8 bits or fewer, and stores none of more than 64.
AVERAGED = frozenset(
    np.dtype(name)
    for name in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64, jnp.complex64, jnp.complex128)
)
REMEDY = (
    "Only floating-point and complex arrays of 16 bits or more can be averaged. Leave this one out "
    "by optax.masked or optax.partition, or by your neural network library's filter of parameters."
)


def check_parameters(params: optax.Params, accumulator_dtype: np.dtype[Any] | None) -> None:
    """Raises ValueError, naming the path, at a leaf that no buffer could follow."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        check_leaf("parameter", path, leaf)
        if accumulator_dtype is not None:
            _check_complex("parameter", path, dtype_of(leaf), accumulator_dtype)


def check_leaf(kind: str, path: Any, leaf: Any) -> None:
    """Raises unless the leaf's dtype can be averaged. `kind` is what messages call it."""
    dtype = dtype_of(leaf)
    if dtype not in AVERAGED:
        what = f"type {type(leaf).__name__}" if dtype is None else f"dtype {_name(dtype)}"
        native = dtype.newbyteorder("=") if isinstance(dtype, np.dtype) else None
        is_swapped = native in AVERAGED
        remedy = f"JAX has no such byte order: astype({str(native)!r})." if is_swapped else REMEDY
        raise ValueError(f"{_describe(kind, path)} is of {what}. {remedy}")


def check_buffers(path: Any, gradient: jax.Array, buffers: Sequence[Any]) -> None:
    """Raises unless each buffer can take up this gradient."""
    for buffer in buffers:
        dtype = dtype_of(buffer)
        if dtype not in AVERAGED or jnp.shape(buffer) != gradient.shape:
            if dtype in AVERAGED:
                found = f"shape {jnp.shape(buffer)}"
            else:
                found = f"{buffer!r:.100}" if dtype is None else f"dtype {_name(dtype)}"
            raise ValueError(
                f"{_describe('gradient', path)} is of shape {gradient.shape}, its buffer {found}: "
                "gradients must have the shapes of the parameters that init was given."
            )
        _check_complex("gradient", path, gradient.dtype, buffer.dtype)


def check_parameter(path: Any, gradient: jax.Array, parameter: Any) -> jax.Array:
    """The parameter that decays, as an array; raises unless it is like its gradient."""
    check_leaf("parameter", path, parameter)
    if jnp.shape(parameter) != gradient.shape:
        raise ValueError(
            f"{_describe('parameter', path)} is of shape {jnp.shape(parameter)}, its gradient of "
            f"shape {gradient.shape}: update wants the parameters that the gradients belong to."
        )
    _check_complex("gradient", path, gradient.dtype, jnp.asarray(parameter).dtype)
    return jnp.asarray(parameter)


def _check_complex(kind: str, path: Any, dtype: Any, buffer_dtype: Any) -> None:
    if _is_complex(dtype) and not _is_complex(buffer_dtype):
        raise ValueError(
            f"{_describe(kind, path)} is of dtype {dtype}, its buffer would be of {buffer_dtype}: "
            "accumulator_dtype must be complex, or None, for complex parameters."
        )


def _describe(kind: str, path: Any) -> str:
    """'the gradient at [...]', without a place if it is the whole tree."""
    place = jax.tree_util.keystr(path)
    return f"the {kind}{place and ' at ' + place}"


def dtype_of(leaf: Any) -> Any:
    """The leaf's dtype as JAX would store it; None if it is nothing like an array or a number."""
    if isinstance(leaf, bool | int | float | complex):
        return jnp.result_type(leaf)
    if isinstance(leaf, type) or not (hasattr(leaf, "dtype") and hasattr(leaf, "shape")):
        return None
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):  # typed PRNG keys
        return leaf.dtype
    try:
        return jax.dtypes.canonicalize_dtype(leaf.dtype)
    except TypeError:  # another framework's dtype
        return None


def _is_complex(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.complexfloating))


def _name(dtype: Any) -> str:
    return "float0" if dtype == jax.dtypes.float0 else str(dtype)

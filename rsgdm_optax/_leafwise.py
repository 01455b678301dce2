"""What all transformations here have in common: each takes a gradient tree leaf by leaf.

A state whose leaves change dtype, weak type, shape or sharding after the first
step makes the second step compile again and breaks `lax.scan`, `lax.cond`
(hence `optax.MultiSteps`) and buffer donation. So all of that is settled here,
once, and a transformation is a rule for one leaf.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import DTypeLike

from rsgdm_optax._arguments import shown
from rsgdm_optax._leaves import (
    check_buffers,
    check_leaf,
    check_parameter,
    check_parameters,
    dtype_of,
)
from rsgdm_optax._placement import align, zero_count

# One leaf's gradient and buffers, all of one dtype, to its update and its next buffers.
Rule = Callable[..., tuple[jax.Array, ...]]


def leafwise(
    state_type: Any,
    rule_at: Callable[[Any], Rule],
    accumulator_dtype: np.dtype[Any] | None = None,
    *,
    reads_parameters: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """The transformation that applies a rule to each leaf.

    Args:
      state_type: a NamedTuple. A field `count` counts steps from 0, as int32; every
        other field is a tree of buffers, which start at zero.
      rule_at: the rule at a count, which is None if the state has none. It
        computes in the common dtype of gradient and buffers, at least in float32.
      accumulator_dtype: dtype of the buffers; None for each parameter's own.
      reads_parameters: whether the rule is given the parameter too, after the buffers.

    Returns:
      A transformation whose updates have the gradients' dtypes, whose buffers have
      the parameters' shapes and shardings, and which takes any extra arguments. Only
      if it `reads_parameters` does `update` look at them. Where the gradient is None, so is
      the update, and the buffers stay as they are.
    """
    has_count = "count" in state_type._fields
    buffer_names = [name for name in state_type._fields if name != "count"]

    def zeros(leaf: Any) -> jax.Array:
        # With a dtype of its own, for a weakly typed leaf would give a weakly typed buffer.
        return jnp.zeros_like(leaf, dtype=accumulator_dtype or dtype_of(leaf))

    def init_fn(params: optax.Params) -> Any:
        check_parameters(params, accumulator_dtype)
        fields = {name: jax.tree.map(zeros, params) for name in buffer_names}
        return state_type(**({"count": zero_count(params)} if has_count else {}), **fields)

    def update_fn(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, Any]:
        del extra_args
        if reads_parameters and params is None:
            raise ValueError(
                "Weight decay needs the parameters: update(gradients, state, params), got None."
            )
        # A state that was restored from JSON has a Python number here.
        count = jnp.asarray(state.count, jnp.int32) if has_count else None
        rule = rule_at(count)
        tree: Any
        leaves, tree = jax.tree_util.tree_flatten_with_path(updates, is_leaf=lambda g: g is None)
        buffers = [_like(tree, getattr(state, name), f"state's {name}") for name in buffer_names]
        read = [_like(tree, params, "parameters")] if reads_parameters else []
        k = len(buffers)
        rows = [
            _step(rule, path, g, mine[:k], mine[k:], accumulator_dtype)
            for (path, g), *mine in zip(leaves, *buffers, *read, strict=True)
        ]
        new_updates, *new_buffers = (
            tree.unflatten([row[field] for row in rows]) for field in range(1 + len(buffers))
        )
        fields = dict(zip(buffer_names, new_buffers, strict=True))
        if has_count:
            fields["count"] = optax.safe_increment(count)
        return new_updates, state_type(**fields)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _like(tree: Any, other: Any, name: str) -> list[Any]:
    """The leaves of another tree where the gradients have theirs."""
    try:
        leaves: list[Any] = tree.flatten_up_to(other)
    except ValueError:
        structure = jax.tree.structure(other)
        raise ValueError(
            f"the gradients' tree is not that of the {name}: {shown(tree)} is not "
            f"{shown(structure)}."
        ) from None
    return leaves


def _step(
    rule: Rule,
    path: Any,
    gradient: Any,
    buffers: list[Any],
    parameters: list[Any],
    accumulator_dtype: DTypeLike | None,
) -> tuple[Any, ...]:
    """The update and the next buffers of one leaf, whose parameter is there if it is read."""
    if gradient is None:
        return None, *buffers
    check_leaf("gradient", path, gradient)
    g = jnp.asarray(gradient)
    buffers = [_restored(buffer, accumulator_dtype or g.dtype) for buffer in buffers]
    check_buffers(path, g, buffers)
    buffers = [jnp.asarray(buffer) for buffer in buffers]
    read = [check_parameter(path, g, parameter) for parameter in parameters]
    # Said explicitly, because implicit promotion may be forbidden.
    with jax.numpy_dtype_promotion("standard"):
        common = jnp.result_type(g.dtype, *(x.dtype for x in (*buffers, *read)), jnp.float32)
    *old, g_like_buffers = align([*buffers, *read, g])
    results = rule(g_like_buffers.astype(common), *(x.astype(common) for x in old))
    dtypes = [g.dtype, *(buffer.dtype for buffer in buffers)]
    return tuple(_cast(x, d) for x, d in zip(results, dtypes[: len(results)], strict=True))


def _restored(buffer: Any, dtype: DTypeLike) -> Any:
    """The buffer; as an array of `dtype` if it is a number, for which JSON keeps none."""
    return jnp.asarray(buffer, dtype) if isinstance(buffer, int | float | complex) else buffer


def _cast(x: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """`x` in `dtype`; the real part where `dtype` is real."""
    if jnp.iscomplexobj(x) and not jnp.issubdtype(dtype, jnp.complexfloating):
        x = x.real
    return x.astype(dtype)

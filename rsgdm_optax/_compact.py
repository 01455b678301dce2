"""RSGDM's updates from one buffer."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike, DTypeLike

from rsgdm_optax._arguments import (
    FIRST_DIFFERENCES,
    check_accumulator_dtype,
    check_choice,
    check_decay,
)
from rsgdm_optax._average import average, promote
from rsgdm_optax._buffers import as_arrays, cast, zero_buffer, zero_count


class ScaleByRsgdmCompactState(NamedTuple):
    """State of `scale_by_rsgdm_compact`."""

    count: jax.Array  # type: ignore[assignment]  # steps taken so far (t), shape (), int32
    m: optax.Updates  # average of the gradients from the second one on, c_t


def scale_by_rsgdm_compact(
    decay: ArrayLike = 0.9,
    *,
    first_difference: str = "zero",
    accumulator_dtype: DTypeLike | None = None,
) -> optax.GradientTransformation:
    r"""The updates of `scale_by_rsgdm` from one buffer in place of three.

    Written out as weights on past gradients, RSGDM needs no differences:

    .. math::

      c_1 &= 0, \qquad c_t = \beta c_{t-1} + (1-\beta) g_t \quad (t \ge 2) \\
      n_t &= \beta c_t + (1-\beta) g_t

    This is EMA-form Nesterov momentum whose average never sees the first
    gradient. With ``first_difference="gradient"`` the average starts at
    :math:`c_1 = (1-\beta) g_1`, and it is Nesterov momentum.

    =====================  ===================================================
    symbol                 name
    =====================  ===================================================
    :math:`\beta`          ``decay``
    :math:`g_t`            the incoming updates (gradients)
    :math:`c_t`            ``state.m``
    :math:`t`              ``state.count``
    :math:`n_t`            the outgoing updates
    =====================  ===================================================

    The two forms agree, up to rounding, for a constant ``decay`` and gradients
    whose differences are finite in the buffers' dtype. With a decay that changes
    from step to step only `scale_by_rsgdm` is Algorithm 1. A first gradient that is
    not finite stays in the paper's averages for good, but with
    ``first_difference="zero"`` it leaves this one after a single update.

    Args:
      decay: β, a real number in [0, 1). A JAX array (from
        ``optax.inject_hyperparams``) is used without being checked.
      first_difference: ``"zero"`` is the paper; ``"gradient"`` takes g₀ = 0.
      accumulator_dtype: dtype of the buffer; None keeps each parameter's own.

    Returns:
      An ``optax.GradientTransformation`` with state ``ScaleByRsgdmCompactState``.
      Updates have the gradients' shapes and dtypes, the buffer the parameters'
      shapes and shardings; none of them changes from step to step, if gradients
      are sharded as the parameters are.

    Raises:
      ValueError: as `scale_by_rsgdm`.

    Memory:
      One buffer the size of the parameters, and one int32.

    Example:
      >>> import jax.numpy as jnp
      >>> from rsgdm_optax import scale_by_rsgdm_compact
      >>> transformation = scale_by_rsgdm_compact(decay=0.5)
      >>> state = transformation.init(jnp.array(0.0))
      >>> for gradient in (1.0, 2.0, 3.0):
      ...     n, state = transformation.update(jnp.array(gradient), state)
      ...     print(f"c = {state.m:.3f}  n = {n:.3f}")
      c = 0.000  n = 0.500
      c = 1.000  n = 1.500
      c = 2.000  n = 2.500

    References:
      Algorithm 1 of the paper (see `scale_by_rsgdm`) with its three recursions
      written as weights on past gradients.
    """
    decay = check_decay(decay)
    check_choice("first_difference", first_difference, FIRST_DIFFERENCES)
    buffer_dtype = check_accumulator_dtype(accumulator_dtype)

    def init_fn(params: optax.Params) -> ScaleByRsgdmCompactState:
        return ScaleByRsgdmCompactState(
            count=zero_count(params), m=zero_buffer(params, buffer_dtype)
        )

    def update_fn(
        updates: optax.Updates, state: ScaleByRsgdmCompactState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, ScaleByRsgdmCompactState]:
        del params
        updates = as_arrays(updates)

        def average_but_first(g: jax.Array, c: jax.Array) -> jax.Array:
            if first_difference == "zero":
                # An average that meets its own value stays where it is: c₁ = 0.
                c, g = promote(c, g)
                g = jnp.where(state.count == 0, c, g)
            return average(c, g, decay)

        c = jax.tree.map(average_but_first, updates, state.m)
        n = jax.tree.map(lambda g, c: cast(average(c, g, decay), g.dtype), updates, c)
        return n, ScaleByRsgdmCompactState(
            count=optax.safe_increment(state.count),
            m=jax.tree.map(lambda new, buffer: cast(new, buffer.dtype), c, state.m),
        )

    return optax.GradientTransformation(init_fn, update_fn)

"""RSGDM's updates from one buffer."""

from typing import NamedTuple

import jax
import optax
from jax.typing import ArrayLike, DTypeLike

from rsgdm_optax._arguments import (
    FIRST_DIFFERENCES,
    FirstDifference,
    check_accumulator_dtype,
    check_choice,
    check_correction,
    check_decay,
)
from rsgdm_optax._leafwise import leafwise
from rsgdm_optax._one_buffer import corrected_average


class ScaleByRsgdmCompactState(NamedTuple):
    """State of `scale_by_rsgdm_compact`."""

    count: jax.Array  # type: ignore[assignment]  # steps taken so far (t), shape (), int32
    c: optax.Updates  # average of the gradients, b_t, at the paper's correction without the first


def scale_by_rsgdm_compact(
    decay: ArrayLike = 0.9,
    *,
    correction: ArrayLike | None = None,
    first_difference: FirstDifference = "zero",
    accumulator_dtype: DTypeLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""The updates of `scale_by_rsgdm` from one buffer in place of three.

    Written out as weights on past gradients, RSGDM needs no differences. With the
    paper's correction, :math:`c = \beta`,

    .. math::

      b_1 &= 0, \qquad b_t = \beta b_{t-1} + (1-\beta) g_t \quad (t \ge 2) \\
      n_t &= \beta b_t + (1-\beta) g_t

    This is EMA-form Nesterov momentum whose average never sees the first
    gradient. With ``first_difference="gradient"`` the average starts at
    :math:`b_1 = (1-\beta) g_1`, and it is Nesterov momentum.

    Any other correction, with :math:`r = c/\beta` and :math:`\nu = 1 - r (1-\beta)`,
    is quasi-hyperbolic momentum (QHM) with a start of its own:

    .. math::

      b_1 &= (1-\beta) \frac{1 - r}{\nu} g_1, \qquad
        b_t = \beta b_{t-1} + (1-\beta) g_t \\
      n_t &= \nu b_t + (1-\nu) g_t = \text{QHM}_t - c (1-\beta) \beta^{t-1} g_1

    and QHM itself with ``first_difference="gradient"``. Where c exceeds β, the buffer
    is kept as :math:`(\nu/\beta) b_t`, which has a limit at c = β/(1−β), where ν is 0.

    =====================  ===================================================
    symbol                 name
    =====================  ===================================================
    :math:`\beta`          ``decay``
    :math:`c`              ``correction``
    :math:`g_t`            the incoming updates (gradients)
    :math:`b_t`            ``state.c``
    :math:`t`              ``state.count``
    :math:`n_t`            the outgoing updates
    =====================  ===================================================

    The two forms agree, up to rounding, for a constant ``decay`` and ``correction`` and
    gradients whose differences are finite in the buffers' dtype. (This form needs them to
    be finite in float32 only, so float16's largest gradients may change their sign.)
    Where one of the two changes from step to step, only `scale_by_rsgdm` is Algorithm 1.
    A first gradient that is not finite stays in the paper's averages for good, but
    with c = β and ``first_difference="zero"`` it leaves this one after a single update.

    Args:
      decay: β, a real number in [0, 1); 0 is plain SGD. The value of a JAX array
        (from ``optax.inject_hyperparams``) is not checked.
      correction: c, as `scale_by_rsgdm` says. Two JAX arrays are exact as well, but
        for derivatives where β is 0.
      first_difference: ``"zero"`` is the paper; ``"gradient"`` takes g₀ = 0.
      accumulator_dtype: dtype of the buffer; None keeps each parameter's own.

    Returns:
      An ``optax.GradientTransformationExtraArgs`` with state
      ``ScaleByRsgdmCompactState``; all else is as `scale_by_rsgdm` says.

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
      ...     print(f"b = {state.c:.3f}  n = {n:.3f}")
      b = 0.000  n = 0.500
      b = 1.000  n = 1.500
      b = 2.000  n = 2.500

    References:
      Algorithm 1 of the paper (see `scale_by_rsgdm`) with its three recursions
      written as weights on past gradients. QHM: Ma and Yarats, "Quasi-hyperbolic
      momentum and Adam for deep learning", ICLR 2019.
    """
    beta = check_decay(decay)
    c = check_correction(correction, beta)
    check_choice("first_difference", first_difference, FIRST_DIFFERENCES)
    buffer_dtype = check_accumulator_dtype(accumulator_dtype)

    average = corrected_average(beta, c, first_difference)
    return leafwise(ScaleByRsgdmCompactState, average.rule_at, buffer_dtype)

"""What RSGDM is measured against, in its own convention, from optax's own parts."""

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike, DTypeLike

from rsgdm_optax._arguments import check_accumulator_dtype, check_decay, check_learning_rate
from rsgdm_optax._buffers import check_dtypes, keep_dtypes


def sgdm(
    learning_rate: optax.ScalarOrSchedule,
    decay: ArrayLike = 0.9,
    *,
    accumulator_dtype: DTypeLike | None = None,
) -> optax.GradientTransformation:
    r"""SGD with momentum in EMA form, the paper's baseline.

    .. math::

      m_t &= \beta m_{t-1} + (1-\beta) g_t, \qquad m_0 = 0 \\
      \theta_t &= \theta_{t-1} - \alpha_t m_t

    The average is not debiased. PyTorch's and ``optax.sgd``'s momentum is the
    heavy-ball form, without the factor 1−β: their learning rate is α·(1−β).

    =====================  ===================================================
    symbol                 name
    =====================  ===================================================
    :math:`\alpha_t`       ``learning_rate``
    :math:`\beta`          ``decay``
    :math:`g_t`            the incoming updates (gradients)
    :math:`m_t`            ``optax.tree.get(state, "trace")``
    =====================  ===================================================

    Args:
      learning_rate: α, a finite number or a schedule of the step count.
      decay: β, a real number in [0, 1).
      accumulator_dtype: dtype of the buffer; None keeps each parameter's own.

    Returns:
      An ``optax.GradientTransformation``. Updates have the gradients' shapes
      and dtypes, the buffer the parameters' shapes and shardings; none of them
      changes from step to step, if gradients are sharded as the parameters are.

    Raises:
      ValueError: when built, if an argument is not as described; in ``init``, if
        ``accumulator_dtype`` is real and a parameter is complex, or None and a
        parameter is of an integer dtype.

    Memory:
      One buffer the size of the parameters.

    Example:
      >>> import jax.numpy as jnp
      >>> from rsgdm_optax import sgdm
      >>> optimizer = sgdm(learning_rate=1.0, decay=0.5)
      >>> state = optimizer.init(jnp.array(0.0))
      >>> for gradient in (1.0, 2.0, 3.0):
      ...     update, state = optimizer.update(jnp.array(gradient), state)
      ...     print(f"{update:.3f}")
      -0.500
      -1.250
      -2.125

    References:
      Equation (1) of the paper (see `scale_by_rsgdm`).
    """
    return _momentum(learning_rate, decay, accumulator_dtype, nesterov=False)


def nesterov(
    learning_rate: optax.ScalarOrSchedule,
    decay: ArrayLike = 0.9,
    *,
    accumulator_dtype: DTypeLike | None = None,
) -> optax.GradientTransformation:
    r"""Nesterov momentum in EMA form, the control that the paper leaves out.

    .. math::

      m_t &= \beta m_{t-1} + (1-\beta) g_t, \qquad m_0 = 0 \\
      N_t &= \beta m_t + (1-\beta) g_t \\
      \theta_t &= \theta_{t-1} - \alpha_t N_t

    For one gradient sequence RSGDM's :math:`n_t` differs from :math:`N_t` by
    :math:`(1-\beta) \beta^t g_1` and nothing else.

    =====================  ===================================================
    symbol                 name
    =====================  ===================================================
    :math:`\alpha_t`       ``learning_rate``
    :math:`\beta`          ``decay``
    :math:`g_t`            the incoming updates (gradients)
    :math:`m_t`            ``optax.tree.get(state, "trace")``
    =====================  ===================================================

    Args:
      learning_rate: α, a finite number or a schedule of the step count.
      decay: β, a real number in [0, 1).
      accumulator_dtype: dtype of the buffer; None keeps each parameter's own.

    Returns:
      An ``optax.GradientTransformation``. Updates have the gradients' shapes
      and dtypes, the buffer the parameters' shapes and shardings; none of them
      changes from step to step, if gradients are sharded as the parameters are.

    Raises:
      ValueError: when built, if an argument is not as described; in ``init``, if
        ``accumulator_dtype`` is real and a parameter is complex, or None and a
        parameter is of an integer dtype.

    Memory:
      One buffer the size of the parameters.

    Example:
      >>> import jax.numpy as jnp
      >>> from rsgdm_optax import nesterov
      >>> optimizer = nesterov(learning_rate=1.0, decay=0.5)
      >>> state = optimizer.init(jnp.array(0.0))
      >>> for gradient in (1.0, 2.0, 3.0):
      ...     update, state = optimizer.update(jnp.array(gradient), state)
      ...     print(f"{update:.4f}")
      -0.7500
      -1.6250
      -2.5625

    References:
      Sutskever et al., "On the importance of initialization and momentum in deep
      learning", ICML 2013, with the velocity written as an average.
    """
    return _momentum(learning_rate, decay, accumulator_dtype, nesterov=True)


def _momentum(
    learning_rate: optax.ScalarOrSchedule,
    decay: ArrayLike,
    accumulator_dtype: DTypeLike | None,
    *,
    nesterov: bool,
) -> optax.GradientTransformation:
    # optax.trace rather than optax.ema: it also has the Nesterov form, and no step counter. Scaling
    # comes first, so that the trace is m_t and no (1−β)⁻¹ times as large, which overflows float16.
    decay = check_decay(decay)
    buffer_dtype = check_accumulator_dtype(accumulator_dtype)

    def widen(g: jax.Array, _param: object) -> jax.Array:
        return g if buffer_dtype is None else g.astype(jnp.promote_types(g.dtype, buffer_dtype))

    momentum = keep_dtypes(
        optax.chain(
            optax.stateless_with_tree_map(widen),
            optax.scale(1 - decay),
            optax.trace(decay, nesterov=nesterov, accumulator_dtype=buffer_dtype),
            optax.scale_by_learning_rate(check_learning_rate(learning_rate)),
        )
    )

    def init_fn(params: optax.Params) -> optax.OptState:
        check_dtypes(params, buffer_dtype)
        return momentum.init(params)

    return optax.GradientTransformation(init_fn, momentum.update)

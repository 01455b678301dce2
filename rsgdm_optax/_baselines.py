"""What RSGDM is measured against, in its own convention."""

import optax
from jax.typing import ArrayLike, DTypeLike

from rsgdm_optax._arguments import check_accumulator_dtype, check_decay, check_learning_rate
from rsgdm_optax._learning_rate import scale_by_learning_rate
from rsgdm_optax._one_buffer import one_buffer


def sgdm(
    learning_rate: optax.ScalarOrSchedule,
    decay: ArrayLike = 0.9,
    *,
    accumulator_dtype: DTypeLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""SGD with momentum in EMA form, the paper's baseline.

    .. math::

      m_t &= \beta m_{t-1} + (1-\beta) g_t, \qquad m_0 = 0 \\
      \theta_t &= \theta_{t-1} - \alpha_t m_t

    The average is not debiased: ``optax.ema(decay, debias=False)`` before
    ``optax.scale_by_learning_rate`` gives the same updates up to rounding.
    PyTorch's and ``optax.sgd``'s momentum is the heavy-ball form, without the
    factor 1−β: their learning rate is α·(1−β).

    =====================  ===================================================
    symbol                 name
    =====================  ===================================================
    :math:`\alpha_t`       ``learning_rate``
    :math:`\beta`          ``decay``
    :math:`g_t`            the incoming updates (gradients)
    :math:`m_t`            ``optax.tree.get(state, "MomentumState").m``
    =====================  ===================================================

    Args:
      learning_rate: α, a finite number or a schedule of the step count.
      decay: β, a real number in [0, 1).
      accumulator_dtype: dtype of the buffer; None keeps each parameter's own.

    Returns:
      An ``optax.GradientTransformationExtraArgs``; shapes, dtypes and shardings
      are as `scale_by_rsgdm` says.

    Raises:
      ValueError: as `rsgdm`.

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
    buffer_dtype = check_accumulator_dtype(accumulator_dtype)
    return optax.chain(
        one_buffer(check_decay(decay), 1.0, buffer_dtype),
        scale_by_learning_rate(check_learning_rate(learning_rate)),
    )


def nesterov(
    learning_rate: optax.ScalarOrSchedule,
    decay: ArrayLike = 0.9,
    *,
    accumulator_dtype: DTypeLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Nesterov momentum in EMA form, the control that the paper leaves out.

    .. math::

      m_t &= \beta m_{t-1} + (1-\beta) g_t, \qquad m_0 = 0 \\
      N_t &= \beta m_t + (1-\beta) g_t \\
      \theta_t &= \theta_{t-1} - \alpha_t N_t

    ``optax.sgd`` with ``nesterov=True`` and the learning rate α·(1−β) gives the same
    updates up to rounding. For one gradient sequence RSGDM's :math:`n_t` differs
    from :math:`N_t` by :math:`(1-\beta) \beta^t g_1` and nothing else.

    =====================  ===================================================
    symbol                 name
    =====================  ===================================================
    :math:`\alpha_t`       ``learning_rate``
    :math:`\beta`          ``decay``
    :math:`g_t`            the incoming updates (gradients)
    :math:`m_t`            ``optax.tree.get(state, "MomentumState").m``
    =====================  ===================================================

    Args:
      learning_rate: α, a finite number or a schedule of the step count.
      decay: β, a real number in [0, 1).
      accumulator_dtype: dtype of the buffer; None keeps each parameter's own.

    Returns:
      An ``optax.GradientTransformationExtraArgs``; shapes, dtypes and shardings
      are as `scale_by_rsgdm` says.

    Raises:
      ValueError: as `rsgdm`.

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
    beta = check_decay(decay)
    buffer_dtype = check_accumulator_dtype(accumulator_dtype)
    return optax.chain(
        one_buffer(beta, beta, buffer_dtype),
        scale_by_learning_rate(check_learning_rate(learning_rate)),
    )

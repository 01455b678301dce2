"""RSGDM: momentum corrected by the running average of the gradient's change."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike, DTypeLike

from rsgdm_optax._arguments import (
    FIRST_DIFFERENCES,
    FirstDifference,
    check_accumulator_dtype,
    check_choice,
    check_correction,
    check_decay,
    check_flag,
    check_learning_rate,
)
from rsgdm_optax._average import average, times
from rsgdm_optax._compact import scale_by_rsgdm_compact
from rsgdm_optax._leafwise import Rule, leafwise
from rsgdm_optax._learning_rate import scale_by_learning_rate


class ScaleByRsgdmState(NamedTuple):
    """State of `scale_by_rsgdm`. The last three mirror the parameters' tree."""

    count: jax.Array  # type: ignore[assignment]  # steps taken so far (t), shape (), int32
    m: optax.Updates  # average of the gradients, m_t
    z: optax.Updates  # average of the gradient's changes, z_t
    previous_gradient: optax.Updates  # g_t of the last step, the next one's g_{t−1}


def scale_by_rsgdm(
    decay: ArrayLike = 0.9,
    *,
    correction: ArrayLike | None = None,
    first_difference: FirstDifference = "zero",
    accumulator_dtype: DTypeLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Replaces gradients by RSGDM's corrected average, Algorithm 1 of the paper.

    It *is* ``optax.chain(optax.scale_by_optimistic_gradient(1.0, β), optax.ema(β, debias=False))``
    while β is constant: the average of :math:`g_t + \beta \Delta g_t`. This form adds a β
    that changes from step to step, the choice of ``correction`` and ``first_difference``,
    buffers of a chosen dtype that stay where the parameters are, and an equal of one
    buffer, `scale_by_rsgdm_compact`.

    .. math::

      \Delta g_t &= g_t - g_{t-1}, \qquad \Delta g_1 = 0 \\
      m_t &= \beta m_{t-1} + (1-\beta) g_t \\
      z_t &= \beta z_{t-1} + (1-\beta) \Delta g_t \\
      n_t &= m_t + c z_t

    with :math:`m_0 = z_0 = 0`, and :math:`c = \beta` in the paper. The updates are
    :math:`n_t`, neither negated nor scaled by a learning rate.

    ============================  ============================================
    symbol                        name
    ============================  ============================================
    :math:`\beta`                 ``decay``
    :math:`c`                     ``correction``
    :math:`g_t`                   the incoming updates (gradients)
    :math:`m_t, z_t`              ``state.m``, ``state.z``
    :math:`g_{t-1}`               ``state.previous_gradient``
    :math:`t`                     ``state.count``
    :math:`\Delta g_1`            0, or :math:`g_1`: ``first_difference``
    :math:`n_t`                   the outgoing updates
    ============================  ============================================

    Args:
      decay: β, a real number in [0, 1), the same for both averages; 0 is plain
        SGD. The value of a JAX array (from ``optax.inject_hyperparams``) is not
        checked, and has its array's precision: there 0.9 is 0.8984 if the
        parameters are bfloat16, unless ``hyperparam_dtype=jnp.float32`` is given.
      correction: c, the weight of :math:`z_t`; None is β, the paper's, also where β is a
        JAX array. A real number in [0, β/(1−β)]: 0 is `sgdm`, and the other end plain
        SGD, its first gradient aside, as there :math:`n_t = g_t - \beta^t g_1`. (With
        ``first_difference="gradient"`` nothing is aside.) The value of a JAX scalar is
        not checked; if β is one, a number need only be finite and 0 or more.
      first_difference: ``"zero"`` is the paper, which has no g₀. ``"gradient"``
        takes g₀ = 0, so Δg₁ = g₁; with a constant ``decay`` and the paper's
        correction RSGDM is then exactly EMA-form Nesterov momentum.
      accumulator_dtype: dtype of the three buffers; None keeps each parameter's
        own. Under ``optax.inject_hyperparams`` a string, or named in its
        ``static_args``; float64 needs ``jax_enable_x64``.

    Returns:
      An ``optax.GradientTransformationExtraArgs`` with state ``ScaleByRsgdmState``.
      Updates have the gradients' shapes and dtypes, buffers the parameters'
      shapes. Arithmetic is in float32 at least, and takes differences of
      gradients, which must be finite in the buffers' dtype. A gradient that is
      None stays None, and its buffers stay as they are. ``update`` looks neither
      at parameters nor at extra arguments.

    Raises:
      ValueError: when built, if an argument is not as described; in ``init`` and
        ``update``, naming the leaf, if one is not a floating-point or complex
        number or array of at least 16 bits, if its buffers would be real and it is
        complex, or if a gradient has another shape than its parameter.

    Sharding:
      ``init`` puts buffers where the parameters are. They stay there, with
      explicit mesh axes whatever the gradients' sharding, with automatic ones if
      gradients are sharded as the parameters are. Inside of ``jax.jit`` zeros do
      not depend on the parameters, and JAX leaves them on one device or refuses
      explicit axes: there, ``out_shardings`` must say where they go (last example).

    Memory:
      Three buffers the size of the parameters, and one int32.
      ``scale_by_rsgdm_compact`` gives the same updates from one buffer.

    Example:
      >>> import jax.numpy as jnp
      >>> from rsgdm_optax import scale_by_rsgdm
      >>> transformation = scale_by_rsgdm(decay=0.5)
      >>> state = transformation.init(jnp.array(0.0))
      >>> for gradient in (1.0, 2.0, 3.0):  # a ramp
      ...     n, state = transformation.update(jnp.array(gradient), state)
      ...     print(f"m = {state.m:.3f}  z = {state.z:.3f}  n = {n:.3f}")
      m = 0.500  z = 0.000  n = 0.500
      m = 1.250  z = 0.500  n = 1.500
      m = 2.125  z = 0.750  n = 2.500

      A state made under ``jax.jit``, sharded as its parameters:

      >>> import jax
      >>> import optax
      >>> from jax.sharding import AxisType, NamedSharding, PartitionSpec
      >>> mesh = jax.make_mesh((jax.device_count(),), ("x",), axis_types=(AxisType.Auto,))
      >>> shardings = {"w": NamedSharding(mesh, PartitionSpec("x"))}
      >>> params = jax.device_put({"w": jnp.ones((16, 3))}, shardings)
      >>> state_shardings = optax.tree.map_params(
      ...     transformation,
      ...     lambda _, sharding: sharding,
      ...     jax.eval_shape(transformation.init, params),
      ...     shardings,
      ...     transform_non_params=lambda _: NamedSharding(mesh, PartitionSpec()),
      ... )
      >>> state = jax.jit(transformation.init, out_shardings=state_shardings)(params)
      >>> state.m["w"].sharding == params["w"].sharding
      True

    References:
      Yuan Wei and Hu Fei, "Rectified SGDM Algorithm Based on Difference",
      Computer Systems & Applications 30(7), 2021, pp. 220-224: Algorithm 1,
      equations (1) to (3).
      In English: Qin, Zheng, Wang, Wu, Liu and Yang, "Reducing Bias in Deep Learning
      Optimization: The RSGDM Approach", arXiv:2409.15314, 2024.
    """
    beta = check_decay(decay)
    weight = check_correction(correction, beta)
    check_choice("first_difference", first_difference, FIRST_DIFFERENCES)
    buffer_dtype = check_accumulator_dtype(accumulator_dtype)

    def rule_at(count: jax.Array) -> Rule:
        def rule(
            g: jax.Array, m: jax.Array, z: jax.Array, previous: jax.Array
        ) -> tuple[jax.Array, ...]:
            if first_difference == "zero":
                previous = jnp.where(count == 0, g, previous)
            m = average(m, g, beta)  # (1)
            z = average(z, g - previous, beta)  # (2)
            c = beta if weight is None else weight
            is_zero = isinstance(c, float) and c == 0  # then z counts for nothing, finite or not
            n = m if is_zero else m + times(c, z)  # (3)
            # Always g, as the count is never negative. XLA cannot know that, and so writes this
            # buffer after z, which reads it; else it would copy the buffer, then g.
            return n, m, z, jnp.where(count < 0, z, g)

        return rule

    return leafwise(ScaleByRsgdmState, rule_at, buffer_dtype)


def rsgdm(
    learning_rate: optax.ScalarOrSchedule,
    decay: ArrayLike = 0.9,
    *,
    correction: ArrayLike | None = None,
    first_difference: FirstDifference = "zero",
    accumulator_dtype: DTypeLike | None = None,
    compact: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""RSGDM as an optimizer: SGD along the corrected average of the gradients.

    While β is constant it *is* ``optax.chain(optax.scale_by_optimistic_gradient(1.0, β),
    optax.ema(β, debias=False), optax.scale_by_learning_rate(α))``. This form adds a β that
    changes from step to step, the choice of ``correction`` and ``first_difference``, buffers
    of a chosen dtype that stay where the parameters are, and one buffer: ``compact``.

    .. math::

      \theta_t = \theta_{t-1} - \alpha_t \left( m_t + c z_t \right)

    with :math:`m_t` and :math:`z_t` as in `scale_by_rsgdm`, and :math:`c = \beta` in the paper.

    =====================  ===================================================
    symbol                 name
    =====================  ===================================================
    :math:`\alpha_t`       ``learning_rate``
    :math:`\beta`          ``decay``
    :math:`c`              ``correction``
    :math:`\theta_t`       the parameters, by ``optax.apply_updates``
    =====================  ===================================================

    :math:`\alpha` belongs to the EMA form, whose average carries 1−β. The same
    step in the heavy-ball form of PyTorch and ``optax.sgd`` has the learning
    rate α·(1−β): 0.01 there is 0.1 here, at β = 0.9.

    Args:
      learning_rate: α, a finite number or a schedule of the step count.
      decay: β, a real number in [0, 1).
      correction: c, a real number in [0, β/(1−β)]; None is β, the paper's.
      first_difference: ``"zero"`` is the paper; ``"gradient"``, with the paper's
        correction, is Nesterov momentum.
      accumulator_dtype: dtype of the buffers; None keeps each parameter's own.
      compact: keep one buffer instead of three. The updates are the same, up to
        rounding, while ``decay`` and ``correction`` are constant.

    Returns:
      An ``optax.GradientTransformationExtraArgs``, a chain of `scale_by_rsgdm` (or
      `scale_by_rsgdm_compact`) and what ``optax.scale_by_learning_rate`` does.
      Shapes, dtypes and shardings are as `scale_by_rsgdm` says.

    Raises:
      ValueError: as `scale_by_rsgdm`; in ``update``, if a schedule gives no scalar.

    Memory:
      Three buffers the size of the parameters; one if ``compact``.

    Example:
      Weight decay coupled to the gradient, as in PyTorch, and a step schedule:

      >>> import jax.numpy as jnp
      >>> import optax
      >>> from rsgdm_optax import rsgdm
      >>> schedule = optax.piecewise_constant_schedule(0.5, {20: 0.5, 40: 0.5})
      >>> optimizer = optax.chain(optax.add_decayed_weights(5e-4), rsgdm(schedule))
      >>> params = jnp.array([1.0, -2.0])
      >>> state = optimizer.init(params)
      >>> for _ in range(60):
      ...     updates, state = optimizer.update(2 * params, state, params)
      ...     params = optax.apply_updates(params, updates)
      >>> bool(jnp.linalg.norm(params) < 0.01)
      True

    References:
      Yuan Wei and Hu Fei, "Rectified SGDM Algorithm Based on Difference",
      Computer Systems & Applications 30(7), 2021, pp. 220-224: Algorithm 1.
      In English: Qin, Zheng, Wang, Wu, Liu and Yang, "Reducing Bias in Deep Learning
      Optimization: The RSGDM Approach", arXiv:2409.15314, 2024.
    """
    check_flag("compact", compact)
    scale_by = scale_by_rsgdm_compact if compact else scale_by_rsgdm
    return optax.chain(
        scale_by(
            decay,
            correction=correction,
            first_difference=first_difference,
            accumulator_dtype=accumulator_dtype,
        ),
        scale_by_learning_rate(check_learning_rate(learning_rate)),
    )

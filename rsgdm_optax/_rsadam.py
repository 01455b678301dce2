"""RSAdam: Adam whose first moment is corrected as RSGDM's average is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike, DTypeLike

from rsgdm_optax._arguments import (
    FIRST_DIFFERENCES,
    FirstDifference,
    Number,
    check_accumulator_dtype,
    check_choice,
    check_correction,
    check_decay,
    check_epsilon,
    check_learning_rate,
)
from rsgdm_optax._average import average, total_weight
from rsgdm_optax._leafwise import Rule, leafwise
from rsgdm_optax._learning_rate import add_decayed_weights, scale_by_learning_rate
from rsgdm_optax._one_buffer import corrected_average


class ScaleByRsadamState(NamedTuple):
    """State of `scale_by_rsadam`."""

    count: jax.Array  # type: ignore[assignment]  # steps taken so far (t), shape (), int32
    c: optax.Updates  # the first moment's one buffer, as in `ScaleByRsgdmCompactState`
    nu: optax.Updates  # second moment, the average of the squared gradients, v_t


def scale_by_rsadam(
    b1: ArrayLike = 0.9,
    b2: ArrayLike = 0.999,
    eps: ArrayLike = 1e-8,
    eps_root: ArrayLike = 0.0,
    *,
    correction: ArrayLike | None = None,
    first_difference: FirstDifference = "zero",
    accumulator_dtype: DTypeLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Rescales gradients as Adam, with RSGDM's corrected average as first moment.

    .. math::

      n_t &= m_t + c z_t \qquad \text{as in } \texttt{scale\_by\_rsgdm} \text{ with }
        \beta = \beta_1 \\
      v_t &= \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \qquad v_0 = 0 \\
      u_t &= \frac{n_t / W_t}{\sqrt{v_t / (1-\beta_2^t) + \bar\varepsilon} + \varepsilon}

    :math:`W_t` is what the weights on :math:`g_1, \dots, g_t` in :math:`n_t` add up
    to, so that a steady gradient comes back as its sign:

    .. math::

      W_t = 1 - \beta_1^t \quad (\Delta g_1 = 0), \qquad
      W_t = 1 - \nu \beta_1^t, \; \nu = 1 - c (1-\beta_1)/\beta_1 \quad (\Delta g_1 = g_1)

    For the paper's :math:`c = \beta_1` the latter is :math:`1 - \beta_1^{t+1}`. The
    updates are :math:`u_t`, neither negated nor scaled by a learning rate.

    =======================  =================================================
    symbol                   name
    =======================  =================================================
    :math:`\beta_1`          ``b1``
    :math:`\beta_2`          ``b2``
    :math:`c`                ``correction``
    :math:`\varepsilon`      ``eps``
    :math:`\bar\varepsilon`  ``eps_root``
    :math:`g_t`              the incoming updates (gradients)
    :math:`v_t`              ``state.nu``
    :math:`t`                ``state.count``
    :math:`u_t`              the outgoing updates
    =======================  =================================================

    What it is next to its relatives, exactly, for one sequence of gradients:

    - c = 0 is ``optax.scale_by_adam``. With Δg₁ = g₁, c = β₁/(1−β₁) is Adam with b1 = 0.
    - c = β₁ and Δg₁ = g₁ has NAdam's numerator :math:`\beta_1 m_t + (1-\beta_1) g_t`.
      ``optax.nadam`` divides its first part by :math:`1-\beta_1^{t+1}`, as is done here,
      but its second by :math:`1-\beta_1^t`: it is ahead by
      :math:`(1-\beta_1)^2 \beta_1^t / [(1-\beta_1^t)(1-\beta_1^{t+1})] \cdot g_t`
      over the same denominator. A steady gradient thus comes back too large, 1.47 times
      at t = 1 and β₁ = 0.9.
    - c = β₁ and Δg₁ = 0 lacks :math:`(1-\beta_1) \beta_1^t g_1` of that numerator.
    - c = β₁ and Δg₁ = 0 has Adan's numerator where Adan's decays of gradients and of
      differences are equal. But Adan's second moment is that of
      :math:`g_t + c \Delta g_t`: with equal decays Adan is
      ``optax.chain(optax.scale_by_optimistic_gradient(1.0, c), optax.scale_by_adam(...))``.
      (``optax.adan`` weighs differences by 1−b2, where its paper, with optax's meaning
      of b2, has b2: there c is 1−b2.)

    Args:
      b1: β₁, a real number in [0, 1). The value of a JAX array, here and below, is not checked.
      b2: β₂, a real number in [0, 1). With parameters of bfloat16 ``optax.inject_hyperparams``
        makes 1 of 0.999, which gives NaN, unless ``hyperparam_dtype=jnp.float32`` is given.
      eps: ε, a finite real number of 0 or more.
      eps_root: a finite real number of 0 or more, under the root; more than 0 where
        derivatives go through the update.
      correction: c, a real number in [0, β₁/(1−β₁)]; None is β₁, the paper's weight.
      first_difference: ``"zero"`` is Δg₁ = 0, ``"gradient"`` takes g₀ = 0, so Δg₁ = g₁.
      accumulator_dtype: dtype of both buffers; None keeps each parameter's own.
        (``mu_dtype`` of `optax.scale_by_adam` is the first's alone. Here the second,
        which in 16 bits suffers more, is not left behind: bfloat16 cannot follow
        β₂ = 0.999, and in float16 the square of 0.0001 is 0. Give float32 there.)

    Returns:
      An ``optax.GradientTransformationExtraArgs`` with state ``ScaleByRsadamState``; all
      else is as `scale_by_rsgdm` says. Complex gradients are divided by a real number,
      from :math:`|g_t|^2`, as in ``optax.scale_by_adam``.

    Raises:
      ValueError: as `scale_by_rsgdm`.

    Memory:
      Two buffers the size of the parameters, as Adam, and one int32: the first moment is
      kept as in `scale_by_rsgdm_compact`. Where ``b1`` or ``correction`` change from step to
      step, it is that form's, no more m + c·z to the letter, and
      :math:`W_t` that of the current values, as in ``optax.adam``.

    Example:
      >>> import jax.numpy as jnp
      >>> from rsgdm_optax import scale_by_rsadam
      >>> transformation = scale_by_rsadam(b1=0.5)
      >>> state = transformation.init(jnp.array(0.0))
      >>> for gradient in (2.0, 2.0, -2.0):  # the change of sign shows at once
      ...     u, state = transformation.update(jnp.array(gradient), state)
      ...     print(f"{u:.3f}")
      1.000
      1.000
      -0.714

    References:
      The paper's section 4 proposes it (see `scale_by_rsgdm`). Kingma and Ba, "Adam: A
      Method for Stochastic Optimization", 2015. Dozat, "Incorporating Nesterov Momentum
      into Adam", 2016. Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster
      Optimizing Deep Models", arXiv:2208.06677, 2022.
    """
    beta1, beta2 = check_decay(b1, "b1"), check_decay(b2, "b2")
    c = check_correction(correction, beta1, "b1")
    eps, eps_root = check_epsilon("eps", eps), check_epsilon("eps_root", eps_root)
    check_choice("first_difference", first_difference, FIRST_DIFFERENCES)
    buffer_dtype = check_accumulator_dtype(accumulator_dtype)
    first_moment = corrected_average(beta1, c, first_difference)

    def rule_at(count: jax.Array) -> Rule:
        corrected = first_moment.rule_at(count)
        total1 = first_moment.total_weight_at(count)
        total2 = total_weight(beta2, optax.safe_increment(count))

        def rule(g: jax.Array, buffer: jax.Array, nu: jax.Array) -> tuple[jax.Array, ...]:
            n, buffer = corrected(g, buffer)
            old = nu.real
            # Once it has overflowed it stays infinite, and updates are 0, as in optax.adam: a step
            # towards a finite square would be NaN.
            v = jnp.where(old == jnp.inf, old, average(old, (g * g.conj()).real, beta2))

            def real(number: Number) -> jax.Array:
                return jnp.asarray(number).astype(v.dtype)

            scale = jnp.sqrt(v / real(total2) + real(eps_root)) + real(eps)
            return n / (real(total1) * scale).astype(n.dtype), buffer, v

        return rule

    return leafwise(ScaleByRsadamState, rule_at, buffer_dtype)


def rsadam(
    learning_rate: optax.ScalarOrSchedule,
    b1: ArrayLike = 0.9,
    b2: ArrayLike = 0.999,
    eps: ArrayLike = 1e-8,
    eps_root: ArrayLike = 0.0,
    *,
    correction: ArrayLike | None = None,
    first_difference: FirstDifference = "zero",
    accumulator_dtype: DTypeLike | None = None,
    weight_decay: optax.ScalarOrSchedule | None = None,
    mask: Any | Callable[[optax.Params], Any] | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Adam with RSGDM's correction, and decoupled weight decay as in AdamW.

    .. math::

      \theta_t = \theta_{t-1} - \alpha_t \left( u_t + \lambda \theta_{t-1} \right)

    with :math:`u_t` as in `scale_by_rsadam`, which also says how it differs from Adam,
    NAdam and Adan.

    =====================  ===================================================
    symbol                 name
    =====================  ===================================================
    :math:`\alpha_t`       ``learning_rate``
    :math:`\lambda`        ``weight_decay``
    :math:`\theta_t`       the parameters, by ``optax.apply_updates``
    =====================  ===================================================

    Args:
      learning_rate: α, a finite number or a schedule of the step count.
      b1: β₁, a real number in [0, 1).
      b2: β₂, a real number in [0, 1).
      eps: ε, a finite real number of 0 or more.
      eps_root: a finite real number of 0 or more, under the root.
      correction: c, a real number in [0, β₁/(1−β₁)]; None is β₁, the paper's weight.
      first_difference: ``"zero"`` is Δg₁ = 0, ``"gradient"`` is Δg₁ = g₁.
      accumulator_dtype: dtype of both buffers; None keeps each parameter's own.
      weight_decay: λ, a finite number or a schedule of the step count; None is 0. It is
        multiplied by the learning rate, as in ``optax.adamw``, whose default is 0.0001.
      mask: a tree of booleans, the parameters' or a prefix of it, or a function from the
        parameters to one: True where weights decay. None is everywhere. One boolean alone is
        refused: it is what ``optax.inject_hyperparams`` makes of a function, unless ``mask`` is
        named in its ``static_args``.

    Returns:
      An ``optax.GradientTransformationExtraArgs``, a chain of `scale_by_rsadam`, what
      ``optax.add_decayed_weights`` does, unless ``weight_decay`` is None or 0, and what
      ``optax.scale_by_learning_rate`` does.

    Raises:
      ValueError: as `scale_by_rsadam`; in ``update``, if a schedule gives no scalar, or
        weights decay and no parameters are given.

    Memory:
      Two buffers the size of the parameters.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> import optax
      >>> from rsgdm_optax import rsadam
      >>> rosenbrock = lambda p: 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2
      >>> optimizer = rsadam(optax.cosine_decay_schedule(0.05, 1500))
      >>> params = jnp.array([-1.0, 1.0])
      >>> state = optimizer.init(params)
      >>> @jax.jit
      ... def step(params, state):
      ...     updates, state = optimizer.update(jax.grad(rosenbrock)(params), state, params)
      ...     return optax.apply_updates(params, updates), state
      >>> for _ in range(1500):
      ...     params, state = step(params, state)
      >>> bool(jnp.linalg.norm(params - 1) < 0.01)
      True

    References:
      See `scale_by_rsadam`. Loshchilov and Hutter, "Decoupled Weight Decay
      Regularization", 2019.
    """
    links = [
        scale_by_rsadam(
            b1,
            b2,
            eps,
            eps_root,
            correction=correction,
            first_difference=first_difference,
            accumulator_dtype=accumulator_dtype,
        ),
        scale_by_learning_rate(check_learning_rate(learning_rate)),
    ]
    decay = 0.0 if weight_decay is None else check_learning_rate(weight_decay, "weight_decay")
    if not isinstance(decay, float) or decay != 0:
        links.insert(1, add_decayed_weights(decay, mask))
    return optax.chain(*links)

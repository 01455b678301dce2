r"""What SGD, SGDM, Nesterov momentum and RSGDM do to a sequence of gradients.

Each method is a linear filter: its update after :math:`t` steps is a weighted
sum of the gradients so far. This module gives the filters in closed form, in
NumPy float64, for the EMA forms

=============  ==========================================================
``method``     update (neither negated nor scaled by a learning rate)
=============  ==========================================================
``"sgd"``      :math:`g_t`
``"sgdm"``     :math:`m_t = \beta m_{t-1} + (1-\beta) g_t`
``"nesterov"`` :math:`N_t = \beta m_t + (1-\beta) g_t`
``"rsgdm"``    :math:`n_t = m_t + \beta z_t`, with :math:`\Delta g_1 = 0`
=============  ==========================================================

RSGDM is Nesterov momentum without its first gradient, so the two differ in
`gradient_weights` and `bias_terms`, which look at a finite number of steps, and agree
wherever the start is forgotten: lag, noise, frequencies, stability.

Reference: section 2 of the paper (see `rsgdm_optax.scale_by_rsgdm`); the
derivations are in docs/theory.md.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

from rsgdm_optax._family import METHODS, place

__all__ = [
    "METHODS",
    "BiasTerms",
    "bias_terms",
    "frequency_response",
    "gradient_weights",
    "lag",
    "noise_gain",
    "stability_limit",
]

Array = npt.NDArray[Any]


def gradient_weights(method: str, decay: ArrayLike, steps: int) -> Array:
    r"""The weight of each past gradient in the update after `steps` steps.

    .. math::

      h_i = \nu (1-\beta) \beta^{t-i} + (1-\nu) [i = t],

    with ν = 0 for SGD, 1 for SGDM and β for Nesterov and RSGDM; but for RSGDM
    :math:`h_1 = 0` if :math:`t \ge 2`, and :math:`h_1 = 1-\beta` if :math:`t = 1`.

    Args:
      method: one of `METHODS`.
      decay: β, a real number in [0, 1).
      steps: t, a whole number of 1 or more.

    Returns:
      Float64 of shape (steps,): the weight of g₁ first, of g_t last.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      Twice the result.

    Example:
      >>> from rsgdm_optax import analysis
      >>> print(analysis.gradient_weights("sgdm", 0.5, steps=4))
      [0.0625 0.125  0.25   0.5   ]
      >>> print(analysis.gradient_weights("rsgdm", 0.5, steps=4))
      [0.     0.0625 0.125  0.75  ]

    References:
      Equation (4) of the paper for SGDM; theory.md, section 1, for RSGDM.
    """
    beta, nu = place(method, decay)
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"steps must be a whole number of 1 or more, got {steps!r}.")
    weights = nu * (1 - beta) * beta ** np.arange(steps - 1, -1, -1.0)
    weights[-1] += 1 - nu
    if method == "rsgdm":
        weights[0] = 1 - beta if steps == 1 else 0.0
    return np.asarray(weights)


def lag(method: str, decay: ArrayLike) -> float:
    r"""How many steps the update trails behind a gradient that grows linearly.

    .. math::

      \sum_k k h_k = \frac{\beta}{1-\beta} \text{ for SGDM}, \qquad
      \frac{\beta^2}{1-\beta} \text{ for Nesterov and RSGDM},

    once the start is forgotten; :math:`h_k` is the weight of the gradient of
    :math:`k` steps ago.

    Args:
      method: one of `METHODS`.
      decay: β, a real number in [0, 1).

    Returns:
      The lag in steps.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      None.

    Example:
      >>> from rsgdm_optax import analysis
      >>> print(f"{analysis.lag('sgdm', 0.9):.1f} {analysis.lag('rsgdm', 0.9):.1f}")
      9.0 8.1

    References:
      Section 2 of the paper names the lag; theory.md, section 4, derives it.
    """
    beta, nu = place(method, decay)
    return nu * beta / (1 - beta)


def noise_gain(method: str, decay: ArrayLike) -> float:
    r"""The variance of the update, where the gradient is white noise of variance 1.

    .. math::

      \sum_k h_k^2 = \frac{1-\beta}{1+\beta} \text{ for SGDM}, \qquad
      (1-\beta^2)^2 + \frac{(1-\beta) \beta^4}{1+\beta} \text{ for Nesterov and RSGDM},

    once the start is forgotten.

    Args:
      method: one of `METHODS`.
      decay: β, a real number in [0, 1).

    Returns:
      The variance, between 0 and 1.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      None.

    Example:
      >>> from rsgdm_optax import analysis
      >>> print(f"{analysis.noise_gain('sgdm', 0.9):.4f}")
      0.0526
      >>> print(f"{analysis.noise_gain('rsgdm', 0.9):.4f}")
      0.0706

    References:
      theory.md, section 4.
    """
    beta, nu = place(method, decay)
    return (1 - nu * beta) ** 2 + nu**2 * (1 - beta) * beta**2 / (1 + beta)


def frequency_response(method: str, decay: ArrayLike, frequencies: npt.ArrayLike) -> Array:
    r"""What becomes of a gradient that oscillates.

    .. math::

      H(f) = \sum_k h_k e^{-2\pi i f k} = 1 - \nu + \nu \frac{1-\beta}{1 - \beta e^{-2\pi i f}},

    with :math:`\nu` = 0 for SGD, 1 for SGDM and :math:`\beta` for Nesterov and
    RSGDM, once the start is forgotten. Gradients :math:`e^{2\pi i f t}` give
    updates :math:`H(f) e^{2\pi i f t}`.

    Args:
      method: one of `METHODS`.
      decay: β, a real number in [0, 1).
      frequencies: real numbers of any shape, in cycles a step; 0.5 flips the sign
        every step.

    Returns:
      Complex128 of the frequencies' shape: the modulus is the gain, the
      argument (radians) the lead of the phase, negative if the update is late.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      The result and temporaries of its size.

    Example:
      >>> import numpy as np
      >>> from rsgdm_optax import analysis
      >>> print(np.abs(analysis.frequency_response("sgdm", 0.9, [0.0, 0.5])).round(4))
      [1.     0.0526]
      >>> print(np.abs(analysis.frequency_response("rsgdm", 0.9, [0.0, 0.5])).round(4))
      [1.     0.1474]

    References:
      theory.md, section 4.
    """
    beta, nu = place(method, decay)
    f = np.asarray(frequencies)
    if not (jnp.issubdtype(f.dtype, jnp.floating) or jnp.issubdtype(f.dtype, jnp.integer)):
        raise ValueError(f"frequencies must be real numbers, got dtype {f.dtype}.")
    turn = np.exp(-2j * np.pi * f.astype(np.float64))
    return np.asarray(1 - nu + nu * (1 - beta) / (1 - beta * turn))


def stability_limit(method: str, decay: ArrayLike) -> float:
    r"""The learning rate times curvature below which a quadratic is descended.

    On :math:`\tfrac12 \lambda \theta^2` with learning rate :math:`\alpha`, the
    parameters stay bounded for :math:`\alpha\lambda` below

    .. math::

      2 \text{ (SGD)}, \qquad \frac{2(1+\beta)}{1-\beta} \text{ (SGDM)}, \qquad
      \frac{2(1+\beta)}{(1-\beta)(1+2\beta)} \text{ (Nesterov, RSGDM)}.

    Args:
      method: one of `METHODS`.
      decay: β, a real number in [0, 1).

    Returns:
      The limit of αλ; α is the learning rate of the EMA form.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      None.

    Example:
      >>> from rsgdm_optax import analysis
      >>> print(f"{analysis.stability_limit('sgdm', 0.9):.2f}")
      38.00
      >>> print(f"{analysis.stability_limit('rsgdm', 0.9):.2f}")
      13.57

    References:
      theory.md, section 8.
    """
    beta, nu = place(method, decay)
    # 1 + β(1−2ν), without the cancellation near β = 1.
    return 2 * (1 + beta) / ((1 - beta) + 2 * beta * (1 - nu))


class BiasTerms(NamedTuple):
    r"""The terms of the paper's section 2, one value a step, shaped as the gradients.

    The identities hold to rounding: (5) ``m = gradient + (1 − β)·xi``;
    (8) ``n = gradient + (1 − β)·xi + correction``, which by the definition of sigma is
    ``gradient + (1 − β)·sigma``; (9) ``sigma = sigma_sum``.
    """

    m: Array  # E m_t, left side of (5)
    n: Array  # E n_t, left side of (8)
    gradient: Array  # (1 − β^t)·E g_t
    xi: Array  # ξ, (6): SGDM's bias but for the factor 1 − β
    correction: Array  # β·(1−β)·Σ_{i=2..t} β^{t−i}·Δg_i, last term of (8)
    sigma: Array  # ς = ξ + β·Σ_{i=2..t} β^{t−i}·Δg_i: RSGDM's bias but for the factor 1 − β
    sigma_sum: Array  # Σ_{i=1..t−2} β^{t−i}·(g_{i+1} − E g_t), right side of (9)


def bias_terms(gradients: npt.ArrayLike, decay: ArrayLike) -> BiasTerms:
    r"""Every term of equations (5), (6), (8) and (9), for gradients taken as the expectations.

    .. math::

      \mathrm{E}\, m_t &= (1-\beta^t)\, \mathrm{E}\, g_t + (1-\beta)\, \xi_t \\
      \xi_t &= \sum_{i=1}^{t} \beta^{t-i} [\mathrm{E}\, g_i - \mathrm{E}\, g_t] \\
      \mathrm{E}\, n_t &= (1-\beta^t)\, \mathrm{E}\, g_t + (1-\beta)\, \xi_t
          + \beta (1-\beta) \sum_{i=2}^{t} \beta^{t-i} \Delta g_i \\
      \varsigma_t &= \xi_t + \beta \sum_{i=2}^{t} \beta^{t-i} \Delta g_i
          = \sum_{i=1}^{t-2} \beta^{t-i} [g_{i+1} - \mathrm{E}\, g_t]

    The last equality takes the given sequence as its own expectation; with
    noise it holds in expectation only. The paper concludes
    :math:`|\varsigma| \le |\xi|` for large :math:`t`. Exactly,
    :math:`\varsigma_t = \beta (\xi_t - \beta^{t-1} [g_1 - \mathrm{E}\, g_t])`, so that where
    :math:`\beta > 0` it can fail at any :math:`t \ge 3`, but for bounded gradients only by an
    excess that fades like :math:`\beta^t`.

    Args:
      gradients: g₁ … g_T, shape (T, …) with T ≥ 1, numbers of any dtype.
      decay: β, a real number in [0, 1).

    Returns:
      `BiasTerms`, each of the gradients' shape, in float64, or complex128 if the
      gradients are complex. :math:`m_t`, :math:`z_t`, :math:`\xi_t` and the right side of (9) are
      summed as (4), (7), (6) and (9) say; the rest is put together from them.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      Ten times the gradients in float64, the result included; the work grows with T².

    Example:
      >>> import numpy as np
      >>> from rsgdm_optax import analysis
      >>> ramp = np.arange(1.0, 201.0)
      >>> terms = analysis.bias_terms(ramp, 0.9)
      >>> print(f"{0.1 * terms.xi[-1]:.4f} {0.1 * terms.sigma[-1]:.4f}")  # the lags, 9 and 8.1
      -9.0000 -8.1000

    References:
      Section 2 of the paper; theory.md, section 5.
    """
    beta, _ = place("rsgdm", decay)
    g = np.asarray(gradients)
    if g.ndim == 0 or len(g) == 0 or not jnp.issubdtype(g.dtype, jnp.number):
        raise ValueError(
            "gradients must be numbers of shape (T, ...) with T of 1 or more, "
            f"got shape {g.shape} and dtype {g.dtype}."
        )
    g = g.astype(np.complex128 if np.iscomplexobj(g) else np.float64)
    difference = np.diff(g, axis=0, prepend=g[:1])  # Δg₁ = 0
    m, z, xi, sigma_sum = (np.zeros_like(g) for _ in range(4))
    for t in range(1, len(g) + 1):
        powers = beta ** np.arange(t - 1, -1, -1.0)  # β^{t−i} for i = 1 … t
        m[t - 1] = (1 - beta) * np.tensordot(powers, g[:t], 1)
        z[t - 1] = (1 - beta) * np.tensordot(powers, difference[:t], 1)
        xi[t - 1] = np.tensordot(powers, g[:t] - g[t - 1], 1)
        if t > 2:
            sigma_sum[t - 1] = np.tensordot(powers[: t - 2], g[1 : t - 1] - g[t - 1], 1)
    steps = np.arange(1.0, len(g) + 1).reshape((-1,) + (1,) * (g.ndim - 1))
    return BiasTerms(
        m=m,
        n=m + beta * z,
        gradient=(1 - beta**steps) * g,
        xi=xi,
        correction=beta * z,
        sigma=xi + beta * z / (1 - beta),
        sigma_sum=sigma_sum,
    )

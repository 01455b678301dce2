r"""The terms of section 2 of the paper: the bias of the average, and of the corrected one.

Weights of past gradients, lag, noise and stability, of these methods and others, are in
`rsgdm_optax.linear`.

Reference: section 2 of the paper (see `rsgdm_optax.scale_by_rsgdm`); the
derivations are in docs/theory.md.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

from rsgdm_optax._arguments import as_array, read_decay

__all__ = ["BiasTerms", "bias_terms"]

Array = npt.NDArray[Any]


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
    beta = read_decay(decay)
    g = as_array("gradients", gradients)
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

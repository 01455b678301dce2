r"""What a linear method does on a quadratic, where its steps change its own gradients.

On :math:`\tfrac12 \lambda \theta^2` the gradients are :math:`g_t = \lambda \theta_{t-1} + \xi_t`,
with independent noise :math:`\xi_t` of variance σ². The parameter and the method's buffer then
follow a linear recursion. Its stationary variance and its rate have closed forms; the expected
loss after a number of steps is a power of the recursion for the second moments. A quadratic of
several dimensions is one of independent modes, in its eigenbasis.
"""

import math

import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

from rsgdm_optax._arguments import as_real, read_reals, shown, unfit
from rsgdm_optax.linear._description import (
    Array,
    LinearMomentum,
    check_steps,
    first_weights,
    known,
    newest_weights,
)


def stationary_variance(
    method: LinearMomentum,
    learning_rate: ArrayLike,
    curvature: npt.ArrayLike,
    noise_variance: npt.ArrayLike = 1.0,
) -> Array:
    r"""The variance of a parameter around the minimum of a noisy quadratic, in the end.

    With :math:`a = \gamma \alpha \lambda`,

    .. math::

      V = \frac{\gamma \alpha \sigma^2}{\lambda} \cdot
        \frac{1 + \beta + a c (1-\beta)(1+2c)}
             {(1 + a c) \, [2 (1+\beta) - a (1-\beta)(1+2c)]} .

    SGDM has :math:`V \ge \alpha \sigma^2 / (2\lambda)` for every β: its averaging takes no noise
    away. At equal α and β > ½, RSGDM and Nesterov momentum are below it for
    :math:`a < (1+\beta)^2 (2\beta-1) / [\beta (1-\beta) (1+2\beta)]`, 11.46 at β = 0.9.

    Args:
      method: a linear method; its start is forgotten.
      learning_rate: α, a positive number.
      curvature: λ, positive numbers of any shape.
      noise_variance: σ² of the gradients, of a shape that goes with the curvature's; 0 or more.

    Returns:
      Float64 of the common shape; infinite where the method does not converge.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      The result and temporaries of its size.

    Example:
      >>> from rsgdm_optax import linear
      >>> for method in (linear.sgdm(0.9), linear.rsgdm(0.9)):
      ...     print(f"{linear.stationary_variance(method, 1.0, 1.0):.4f}")
      0.5135
      0.3218

    References:
      docs/linear-momentum.md derives it; Mandt, Hoffman and Blei, JMLR 18, 2017, for SGD; Gitman et
      al., "Understanding the role of momentum in stochastic gradient methods", NeurIPS 2019,
      arXiv 1910.13962, for QHM's stationary distribution.
    """
    gain, beta, c = known(method)
    rate = read_rate(learning_rate)
    curvature = read_positive("curvature", curvature)
    noise_variance = read_variance("noise_variance", noise_variance, curvature.shape)
    a = gain * rate * curvature
    d = (1 - beta) * (1 + 2 * c)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = (1 + beta + a * c * d) / ((1 + a * c) * (2 * (1 + beta) - a * d))
    relative = np.where(rate * curvature < method.stability_limit, relative, np.inf)
    # Without noise nothing moves, stable or not.
    relative = np.where(noise_variance == 0, 0.0, relative)
    return np.asarray(gain * rate / curvature * relative * noise_variance)


def convergence_rate(
    method: LinearMomentum, learning_rate: ArrayLike, curvature: npt.ArrayLike
) -> Array:
    r"""By which factor the distance to the minimum of a quadratic shrinks a step, in the end.

    The spectral radius of the recursion, the larger root's modulus of

    .. math::

      x^2 - [1 + \beta - a (1-\beta)(1+c)] x + \beta - a c (1-\beta), \qquad
      a = \gamma \alpha \lambda,

    unless pole and zero cancel, c = β/(1−β): the root β is then not excited, and :math:`|1 - a|` is
    left. (A `first` that differs excites it.)

    Args:
      method: a linear method.
      learning_rate: α, a positive number.
      curvature: λ, positive numbers of any shape.

    Returns:
      Float64 of the curvature's shape; above 1 where it does not converge.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      The result and temporaries of its size.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(f"{linear.convergence_rate(linear.sgdm(0.9), 1.0, 1.0):.4f}")  # √β
      0.9487
      >>> print(f"{linear.convergence_rate(linear.rsgdm(0.9), 1.0, 1.0):.4f}")
      0.9000

    References:
      docs/linear-momentum.md; Lessard, Recht and Packard, "Analysis and design of optimization
      algorithms via integral quadratic constraints", SIAM Journal on Optimization 26, 2016.
    """
    gain, beta, c = known(method)
    a = gain * read_rate(learning_rate) * read_positive("curvature", curvature)
    now, then = first_weights(method)
    # Pole and zero cancel but for rounding, and the first gradient leaves nothing in the buffer.
    if math.isclose(c * (1 - beta), beta, rel_tol=1e-14) and abs(then) <= 1e-14 * abs(now):
        return np.abs(1 - a)
    half = (1 + beta - a * (1 - beta) * (1 + c)) / 2
    product = beta - a * c * (1 - beta)
    scale = np.maximum(np.abs(half), 1)  # whose square may overflow
    square = (half / scale) ** 2 - product / scale / scale
    root = scale * np.sqrt(np.maximum(square, 0))
    return np.where(square < 0, np.sqrt(np.abs(product)), np.abs(half) + root)


def expected_loss(
    method: LinearMomentum,
    learning_rate: ArrayLike,
    curvatures: npt.ArrayLike,
    noise_variances: npt.ArrayLike,
    steps: int,
    start: npt.ArrayLike = 1.0,
) -> float:
    r"""The expected loss of a noisy quadratic after some steps, exactly.

    .. math::

      \tfrac12 \sum_i \lambda_i \, \mathrm{E}\, \theta_{T,i}^2

    Args:
      method: a linear method; what it does with its first gradient counts.
      learning_rate: α, a positive number.
      curvatures: λ_i, positive numbers of shape (modes,).
      noise_variances: σ_i² of the gradients, of the same shape or a number; 0 or more.
      steps: T, a whole number of 1 or more.
      start: E θ_i² at the start, of the same shape or a number; 0 or more.

    Returns:
      The loss; infinite if it overflows.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      About 400 bytes a mode.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(f"{linear.expected_loss(linear.sgd(), 0.5, [1.0], 0.0, steps=2):.5f}")
      0.03125

    References:
      docs/linear-momentum.md.
    """
    curvatures = read_modes(curvatures)
    noise_variances = read_modal("noise_variances", noise_variances, curvatures.shape)
    start = read_modal("start", start, curvatures.shape)
    check_steps(steps)
    return loss_after(method, read_rate(learning_rate), curvatures, noise_variances, steps, start)


def loss_after(
    method: LinearMomentum,
    rate: float,
    curvatures: Array,
    noise_variances: Array,
    steps: int,
    start: npt.ArrayLike = 1.0,
) -> float:
    """`expected_loss` of checked arguments."""
    gain, beta, c = known(method)
    rests = np.broadcast_to((noise_variances == 0) & (np.asarray(start) == 0), curvatures.shape)
    if rests.any():  # at the minimum, however unstable
        moves = ~rests
        noise_variances = np.broadcast_to(noise_variances, curvatures.shape)[moves]
        start = np.broadcast_to(start, curvatures.shape)[moves]
        curvatures = curvatures[moves]
    newest = newest_weights(gain, beta, c)
    moments = np.zeros((*curvatures.shape, 4))  # of (θ, buffer): E θ², E θs, E s², and 1
    moments[:, 0], moments[:, 3] = start, 1
    with np.errstate(over="ignore", invalid="ignore"):
        begin = _moments_step(first_weights(method), 0.0, rate, curvatures, noise_variances)
        go_on = _moments_step(newest, beta, rate, curvatures, noise_variances)
        moments = np.einsum("mij,mj->mi", begin, moments)
        moments = np.einsum("mij,mj->mi", np.linalg.matrix_power(go_on, steps - 1), moments)
        loss = float(curvatures @ moments[:, 0] / 2)
    return max(loss, 0.0) if math.isfinite(loss) else math.inf  # rounding may leave −10⁻²⁰


def _moments_step(
    weights: tuple[float, float],
    pole: float,
    rate: float,
    curvatures: Array,
    noise_variances: Array,
) -> Array:
    """One step of (E θ², E θs, E s², 1), where n = w₀·g + s and s' = pole·s + w₁·g."""
    now, then = weights
    # θ' = p·θ + q·s − rate·w₀·ξ and s' = r·θ + pole·s + w₁·ξ
    p, q, r = 1 - rate * now * curvatures, -rate, then * curvatures
    zero = np.zeros_like(curvatures)
    rows: list[list[Array]] = [
        [p * p, 2 * p * q, q * q + zero, (rate * now) ** 2 * noise_variances],
        [p * r, p * pole + q * r, q * pole + zero, -rate * now * then * noise_variances],
        [r * r, 2 * r * pole, pole * pole + zero, then**2 * noise_variances],
        [zero, zero, zero, zero + 1],
    ]
    return np.moveaxis(np.array([[x + zero for x in row] for row in rows]), -1, 0)


def read_rate(learning_rate: ArrayLike) -> float:
    """A learning rate, whose value must be known, and is positive."""
    rate = as_real(learning_rate)
    if not 0 < rate < math.inf:
        raise unfit("learning_rate", "a positive number", learning_rate)
    return rate


def read_positive(name: str, values: npt.ArrayLike) -> Array:
    """Positive, finite numbers as float64."""
    what = "positive numbers"
    array = read_reals(name, values, what)
    if not np.all((array > 0) & (array < np.inf)):
        raise ValueError(f"{name} must be {what}, got {shown(values)}.")
    return array


def read_modes(curvatures: npt.ArrayLike) -> Array:
    """Curvatures of shape (modes,); a number is one of them."""
    array = np.atleast_1d(read_positive("curvatures", curvatures))
    if array.ndim != 1 or not array.size:
        raise ValueError(f"curvatures must be of shape (modes,), got shape {array.shape}.")
    return array


def read_variance(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    """Finite numbers of 0 or more as float64, which broadcast with `shape`."""
    what = "numbers of 0 or more"
    array = read_reals(name, values, what)
    if not np.all((array >= 0) & (array < np.inf)):
        raise ValueError(f"{name} must be {what}, got {shown(values)}.")
    try:
        np.broadcast_shapes(array.shape, shape)
    except ValueError:
        raise ValueError(
            f"{name} must go with curvatures of shape {shape}, got shape {array.shape}."
        ) from None
    return array


def read_modal(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    """As `read_variance`, but one number or one for each mode."""
    array = read_variance(name, values, shape)
    if array.shape not in ((), shape):
        raise ValueError(f"{name} must be a number or of shape {shape}, got shape {array.shape}.")
    return array

"""The weights of past gradients, read off any optax transformation."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from rsgdm_optax._arguments import read_reals, shown
from rsgdm_optax.linear._description import Array, LinearMomentum, check_steps


class ImpulseResponse(NamedTuple):
    """What `impulse_response` finds.

    Row t−1 of the weights holds, in column i−1, the weight of g_i in the update of step t: a
    linear transformation has update_t = Σ_i weights[t−1, i−1]·g_i. The nonlinearity is 0 for such
    a one, up to rounding, and about 1 for one that does not follow its derivative at all.
    """

    weights: Array  # float64 (steps, steps), lower triangular
    nonlinearity: float


def impulse_response(
    transformation: optax.GradientTransformation,
    steps: int,
    *,
    at: npt.ArrayLike | None = None,
) -> ImpulseResponse:
    r"""The weight of every past gradient in every update of a transformation.

    .. math::

      w_{t,i} = \frac{\partial u_t}{\partial g_i} (x), \qquad
      u = F(g_1, \dots, g_T)

    Where the updates F are linear, this is the same at every x. How far F is from linear is
    measured by :math:`F(x) - F'(x) x` and by :math:`F(x+y) - F(x) - F'(x) y`, with other random
    gradients y, relative to the largest of :math:`F(x)` and :math:`F(x+y)`.

    Args:
      transformation: any one whose `update` asks for gradients, state and parameters only; the
        parameters given to it are zero.
      steps: T, a whole number of 1 or more.
      at: x, the gradients around which to look, of shape (T, …); behind the first dimension is
        the shape of the one parameter, whose entries are all disturbed alike. None: T standard
        normal numbers of a fixed seed, for a scalar parameter.

    Returns:
      An `ImpulseResponse`, computed in float32, or in float64 if ``jax_enable_x64`` is set. For a
      parameter of several entries a weight is the mean change of the update's entries.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      T states of the transformation at a time, and T² gradients.

    Example:
      >>> import optax
      >>> from rsgdm_optax import linear
      >>> found = linear.impulse_response(optax.ema(0.5, debias=False), steps=3)
      >>> print(found.weights)
      [[0.5   0.    0.   ]
       [0.25  0.5   0.   ]
       [0.125 0.25  0.5  ]]
      >>> linear.impulse_response(optax.scale_by_sign(), steps=3).nonlinearity > 0.5
      True

    References:
      docs/linear-momentum.md has the table of what it says of optax's transformations.
    """
    check_steps(steps)
    if not all(callable(getattr(transformation, name, None)) for name in ("init", "update")):
        raise ValueError(
            "transformation must have init and update, as what the method `transformation` of a "
            f"LinearMomentum makes, got {shown(transformation)}."
        )
    x = np.random.default_rng(0).standard_normal(steps) if at is None else read_reals("at", at)
    if x.ndim == 0 or len(x) != steps:
        raise ValueError(f"at must be of shape ({steps}, ...), got shape {x.shape}.")
    gradients = jnp.asarray(x, float)
    # Of a seed that nobody takes for `at`: with y = x, what is homogeneous would pass for linear.
    other = jnp.asarray(np.random.default_rng((0, 1, 2)).standard_normal(x.shape), float)

    def updates(gradients: jax.Array) -> jax.Array:
        params = jnp.zeros_like(gradients[0])

        def step(state: optax.OptState, gradient: jax.Array) -> tuple[optax.OptState, jax.Array]:
            update, state = transformation.update(gradient, state, params)
            return state, update

        # The first step may still change the types of the state.
        state, first = step(transformation.init(params), gradients[0])
        _, rest = jax.lax.scan(step, state, gradients[1:])
        return jnp.concatenate([first[None], rest])

    @jax.jit
    def everything() -> tuple[jax.Array, ...]:
        def disturbed(sizes: jax.Array) -> jax.Array:
            shape = (steps,) + (1,) * (gradients.ndim - 1)
            return updates(gradients + sizes.reshape(shape)).reshape(steps, -1).mean(axis=1)

        weights = jax.jacfwd(disturbed)(jnp.zeros(steps))
        value, along_x = jax.jvp(updates, (gradients,), (gradients,))
        _, along_y = jax.jvp(updates, (gradients,), (other,))
        return weights, value, along_x, along_y, updates(gradients + other)

    weights, value, along_x, along_y, sum_of_both = everything()
    tiny = float(np.finfo(np.float32).tiny)
    scale = max(_largest(value, sum_of_both), tiny)
    nonlinearity = _largest(value - along_x, sum_of_both - value - along_y) / scale
    return ImpulseResponse(np.asarray(weights, np.float64), nonlinearity)


def _largest(*arrays: jax.Array) -> float:
    """NaN if there is one."""
    return float(np.max([jnp.abs(x).max() for x in arrays]))


class Identified(NamedTuple):
    """The linear method whose weights are nearest, and how near they are."""

    method: LinearMomentum
    sign: int  # of the weights: −1 for an optimizer, which steps against the gradients
    error: float  # the largest difference of weights, relative to the largest weight


def identify(weights: npt.ArrayLike | ImpulseResponse) -> Identified:
    r"""The method of the family that has given weights, as `impulse_response` finds them.

    .. math::

      \beta = \frac{\sum_k h_k h_{k+1}}{\sum_k h_k^2}, \qquad
      \gamma = h_0 + \frac{h_1}{1-\beta}, \qquad
      c = \frac{h_0}{\gamma (1-\beta)} - 1,

    where :math:`h_k`, k ≥ 1, are the weights in the last update, without the first gradient's. If
    :math:`h_1` is 0, the pole shows in the first gradient alone, and β is how its weight fades. Its
    weights in the first two updates are `first`, if they are not those of any other gradient.

    Args:
      weights: real numbers of shape (T, T) with T ≥ 4; row t the weights in update t. Or the
        whole `ImpulseResponse` that has them.

    Returns:
      An `Identified`. A large error says that the method is not of this family: that it
      has two poles, say, or weights that change from step to step, as debiased ones do.

    Raises:
      ValueError: if an argument is not as described, or no method of the family is near, because
        the weights add up to nothing.

    Memory:
      The weights, twice.

    Example:
      >>> import optax
      >>> from rsgdm_optax import linear
      >>> found = linear.impulse_response(optax.sgd(1.0, momentum=0.5, nesterov=True), steps=6)
      >>> linear.identify(found.weights)[:2]
      (LinearMomentum(gain=2.0, pole=0.5, correction=0.5, first=None), -1)

    References:
      docs/linear-momentum.md.
    """
    if isinstance(weights, ImpulseResponse):
        weights = weights.weights
    w = read_reals("weights", weights)
    if w.ndim != 2 or w.shape[0] != w.shape[1] or len(w) < 4:
        raise ValueError(
            f"weights must be of shape (T, T) with T of 4 or more, got shape {w.shape}."
        )
    if not np.isfinite(w).all():
        raise ValueError(f"weights must be finite, got {shown(w)}.")
    largest = float(np.abs(w).max())
    tiny = 2e-6 * largest  # float32's rounding errors
    h = w[-1, :0:-1]
    h1 = float(h[1])
    fading = h[1:] if abs(h1) > tiny else w[1:, 0]
    is_seen = abs(fading[0]) > tiny
    pole = float(fading[:-1] @ fading[1:] / (fading[:-1] @ fading[:-1])) if is_seen else 0.0
    if not tiny < pole * largest < largest:
        pole = 0.0
    gain = float(h[0]) + h1 / (1 - pole)
    if not abs(gain) > tiny:
        raise ValueError(f"weights must add up to something else than 0, got {gain}.")
    sign = 1 if gain > 0 else -1
    correction = float(h[0]) / (gain * (1 - pole)) - 1
    method = LinearMomentum(gain=abs(gain), pole=pole, correction=correction)
    first = (sign * float(w[0, 0]), sign * float(w[1, 0]))
    if np.abs(np.subtract(first, method.impulse(2))).max() > tiny:
        method = dataclasses.replace(method, first=first)
    error = max(np.abs(sign * method.weights(t) - w[t - 1, :t]).max() for t in range(1, len(w) + 1))
    return Identified(method, sign, float(error) / largest)

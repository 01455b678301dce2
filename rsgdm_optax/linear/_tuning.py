"""The decay and the learning rate that do best on a quadratic."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsgdm_optax._arguments import shown
from rsgdm_optax.linear import _methods
from rsgdm_optax.linear._description import Array, LinearMomentum, check_method, check_steps
from rsgdm_optax.linear._feedback import convergence_rate, loss_after, read_modal, read_modes

Family = Callable[..., LinearMomentum]


MOST_DIPS = 3  # of a grid, that are refined
LARGEST_RATIO = 1e10  # beyond, 1 − rate has few digits in float64


class Tuning(NamedTuple):
    """A method, its learning rate, and what they reach."""

    method: LinearMomentum
    learning_rate: float
    value: float  # the rate without noise, the expected loss with it


def best_tuning(
    family: Family,
    curvatures: npt.ArrayLike,
    *,
    noise_variances: npt.ArrayLike | None = None,
    steps: int | None = None,
) -> Tuning:
    r"""The decay and the learning rate of a family that do best on a quadratic.

    Without noise: those whose worst `convergence_rate` between the smallest and the largest
    curvature is least. With κ ≥ 1 the ratio of these two, and

    .. math::

      r = \sqrt{\kappa}, \qquad s = \sqrt{3 \kappa + 1},

    and α for a largest curvature of 1, they are

    ====================  ================  ==========================  =============
    family                β                 α                           rate
    ====================  ================  ==========================  =============
    `sgd`                 0                 2κ/(κ+1)                    (κ−1)/(κ+1)
    `sgdm`                [(r−1)/(r+1)]²    4r²/(r+1)²/(1−β)            (r−1)/(r+1)
    `nesterov`, `rsgdm`   (s−2)/(s+2)       4κ/(3κ+1)/(1−β)             1 − 2/s
    ====================  ================  ==========================  =============

    Any other family is tuned numerically. With noise: those whose `expected_loss` after `steps`
    steps is least, numerically.

    Args:
      family: `sgd`, `sgdm`, `nesterov` or `rsgdm`, the function itself, or any other
        function from a decay to a method.
      curvatures: λ_i, positive numbers of shape (modes,).
      noise_variances: σ_i² of the gradients, of the same shape or a number; 0 or more.
      steps: T, with noise; a whole number of 1 or more.

    Returns:
      The method, its learning rate, and the rate or the loss that they reach. The numeric search
      looks at α from 10⁻⁴ of its stable limit on and at decays up to 0.9999, and finds the value
      to about 10⁻⁶ of itself.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      About 2000 bytes a mode.

    Example:
      >>> from rsgdm_optax import linear
      >>> for family in (linear.sgd, linear.sgdm, linear.rsgdm):
      ...     print(f"{linear.best_tuning(family, [0.01, 1.0]).value:.4f}")
      0.9802
      0.8182
      0.8847

    References:
      Lessard, Recht and Packard, "Analysis and design of optimization algorithms via integral
      quadratic constraints", SIAM Journal on Optimization 26, 2016, table 1, in heavy-ball form.
    """
    if not callable(family):
        raise ValueError(
            f"family must be a function from a decay to a method, got {shown(family)}."
        )
    curvatures = read_modes(curvatures)
    smallest, largest = float(curvatures.min()), float(curvatures.max())
    if largest > LARGEST_RATIO * smallest:
        raise ValueError(
            f"curvatures must be within a ratio of {LARGEST_RATIO:.0e} of each other, "
            f"got {smallest:.6g} and {largest:.6g}."
        )
    if (noise_variances is None) != (steps is None):
        raise ValueError(
            "noise_variances and steps must be given together or not at all, "
            f"got noise_variances {shown(noise_variances)} and steps {shown(steps)}."
        )
    if noise_variances is not None and steps is not None:
        noise, count = read_modal("noise_variances", noise_variances, curvatures.shape), steps
        check_steps(count)

        def loss(method: LinearMomentum, rate: float) -> float:
            return loss_after(method, rate, curvatures, noise, count)

        return _search(family, loss, largest)

    ends = np.array([smallest, largest])

    def worst(method: LinearMomentum, rate: float) -> float:
        return float(convergence_rate(method, rate, ends).max())

    fastest = _fastest(family, ends / largest)
    if fastest is None:
        return _search(family, worst, largest)
    method, rate = fastest
    return Tuning(method, rate / largest, worst(method, rate / largest))


def _fastest(family: Family, ends: Array) -> tuple[LinearMomentum, float] | None:
    """The closed forms, for curvatures up to 1."""
    smallest = float(ends[0])
    if family is _methods.sgd:
        return _methods.sgd(), 2 / (1 + smallest)
    if family is _methods.sgdm:
        root = smallest**0.5
        beta = ((1 - root) / (1 + root)) ** 2
        return _methods.sgdm(beta), 4 / (1 + root) ** 2 / (1 - beta)
    if family in (_methods.nesterov, _methods.rsgdm):
        s = (3 / smallest + 1) ** 0.5
        beta = (s - 2) / (s + 2)
        return family(beta), 4 / (3 + smallest) / (1 - beta)
    return None


def _search(
    family: Family, value: Callable[[LinearMomentum, float], float], curvature: float
) -> Tuning:
    """The best log(1−β), where for each the best logarithm of α's share of its limit is found."""

    def method_at(memory: float) -> LinearMomentum:
        # Not quite 0, which some families do not allow.
        decay = max(-math.expm1(memory), 1e-12)
        method = _methods.sgd() if family is _methods.sgd else family(decay)
        check_method(method)
        return method

    def rate_at(method: LinearMomentum, share: float) -> float:
        return math.exp(share) * method.stability_limit / curvature

    def best_share(memory: float) -> tuple[float, float]:
        method = method_at(memory)
        return _minimum(lambda share: value(method, rate_at(method, share)))

    memory = 0.0 if family is _methods.sgd else _minimum(lambda memory: best_share(memory)[1])[0]
    share, best = best_share(memory)
    return Tuning(method_at(memory), rate_at(method_at(memory), share), best)


def _minimum(function: Callable[[float], float]) -> tuple[float, float]:
    """Where a function is least between log 10⁻⁴ and 0, and its value.

    With few steps the expected loss has several minima. Golden section refines the lowest ones of
    a grid, whose points lie closer at the upper end, where these are.
    """
    grid = sorted({*np.linspace(math.log(1e-4), 0.0, 25), *np.log(np.linspace(0.1, 1.0, 19))})
    values = [math.inf, *(function(x) for x in grid), math.inf]
    dips = [
        (values[k + 1], k)
        for k in range(len(grid))
        if values[k] >= values[k + 1] <= values[k + 2] and values[k + 1] < math.inf
    ]
    found = []
    for value, k in sorted(dips)[:MOST_DIPS]:
        ends = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
        found.append(min((value, grid[k]), _golden_section(function, *ends)))
    best, place = min(found, default=(math.inf, grid[0]))
    return place, best


def _golden_section(
    function: Callable[[float], float], left: float, right: float
) -> tuple[float, float]:
    """The least value met between two ends, and its place."""
    golden = (5**0.5 - 1) / 2
    low, high = right - golden * (right - left), left + golden * (right - left)
    at_low, at_high = function(low), function(high)
    best = min((at_low, low), (at_high, high))
    for _ in range(30):
        if at_low < at_high:
            right, high, at_high = high, low, at_low
            low = right - golden * (right - left)
            at_low = function(low)
            best = min(best, (at_low, low))
        else:
            left, low, at_low = low, high, at_high
            high = left + golden * (right - left)
            at_high = function(high)
            best = min(best, (at_high, high))
    return best

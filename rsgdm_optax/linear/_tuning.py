"""The decay and the learning rate that do best on a quadratic."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsgdm_optax._arguments import shown
from rsgdm_optax.linear import _methods
from rsgdm_optax.linear._description import Array, LinearMomentum, check_steps
from rsgdm_optax.linear._feedback import convergence_rate, loss_after, read_modal, read_modes

Family = Callable[..., LinearMomentum]
Value = Callable[[LinearMomentum, float], float]


_RANGE = (math.log(1e-4), 0.0)  # of the logarithms of 1−β and of α's share of its limit
_GRID = 25  # points
_STARTS = 12  # of local searches a grid
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
      to about 10⁻⁶ of itself, or to 10⁻⁶ if that is more. Without noise a loss has many narrow
      dips, of which it may miss the lowest.

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

        return _least_loss(_Plane(family, largest), loss)

    ends = np.array([smallest, largest])

    def worst(method: LinearMomentum, rate: float) -> float:
        return float(convergence_rate(method, rate, ends).max())

    fastest = _fastest(family, ends / largest)
    if fastest is None:
        return _least_rate(_Plane(family, largest), worst)
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


class _Plane(NamedTuple):
    """A family's methods and rates by two logarithms: of 1−β, and of α's share of its limit."""

    family: Family
    curvature: float  # the largest

    def method(self, memory: float) -> LinearMomentum:
        # Not quite 0, which some families do not allow.
        decay = max(-math.expm1(memory), 1e-12)
        is_sgd = self.family is _methods.sgd
        method = self.family() if is_sgd else self.family(decay)
        if not isinstance(method, LinearMomentum):
            raise ValueError(
                "family must be a function from a decay to a LinearMomentum, as "
                f"rsgdm_optax.linear.rsgdm is, got one to {shown(method)}."
            )
        return method

    def tuning(self, memory: float, share: float, value: Value) -> Tuning:
        method = self.method(memory)
        rate = math.exp(share) * method.stability_limit / self.curvature
        return Tuning(method, rate, value(method, rate))


def _least_rate(plane: _Plane, value: Value) -> Tuning:
    """Of a function with one minimum, by golden section over shares within one over memories."""

    def best_share(memory: float) -> tuple[float, float]:
        return _golden_section(lambda share: plane.tuning(memory, share, value).value)

    memory, _ = _golden_section(lambda memory: best_share(memory)[1])
    return plane.tuning(memory, best_share(memory)[0], value)


def _golden_section(function: Callable[[float], float]) -> tuple[float, float]:
    """Where a function is least in `_RANGE`, and its value."""
    grid = np.linspace(*_RANGE, _GRID).tolist()
    values = [function(x) for x in grid]
    k = int(np.argmin(values))
    left, right = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
    best = (values[k], grid[k])
    golden = (5**0.5 - 1) / 2
    low, high = right - golden * (right - left), left + golden * (right - left)
    at_low, at_high = function(low), function(high)
    for _ in range(30):
        best = min(best, (at_low, low), (at_high, high))
        if at_low < at_high:
            right, high, at_high = high, low, at_low
            low = right - golden * (right - left)
            at_low = function(low)
        else:
            left, low, at_low = low, high, at_high
            high = left + golden * (right - left)
            at_high = function(high)
    return best[1], best[0]


def _least_loss(plane: _Plane, value: Value) -> Tuning:
    """Of a function with many minima: the lowest that Nelder and Mead's method finds from a grid.

    Without noise the modes of a run oscillate, and the loss at its end has a dip wherever many of
    them pass through zero at once.
    """
    from scipy.optimize import minimize  # jax depends on SciPy

    def height(place: Array) -> float:
        memory, share = np.clip(place, *_RANGE).tolist()
        loss = plane.tuning(memory, share, value).value
        return math.log(loss) if 0 < loss < math.inf else math.copysign(1e3, loss - 1)

    def descents(memories: Array, shares: Array) -> list[tuple[float, float, float]]:
        """The lowest dips of a grid, each followed to its ground."""
        heights = np.array([[height(np.array([m, s])) for s in shares] for m in memories])
        around = np.pad(heights, 1, constant_values=np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3))
        rows, columns = np.nonzero(heights <= windows.min(axis=(2, 3)))
        cell = -np.array([memories[1] - memories[0], shares[-1] - shares[-2]]) / 2
        found = []
        for k in np.argsort(heights[rows, columns])[:_STARTS]:
            start = np.array([memories[rows[k]], shares[columns[k]]])
            simplex = start + np.array([[0.0, 0.0], [cell[0], 0.0], [0.0, cell[1]]])
            options = {"initial_simplex": simplex, "xatol": 1e-8, "fatol": 1e-10, "maxiter": 500}
            result = minimize(height, start, method="Nelder-Mead", options=options)
            found.append((float(result.fun), *np.clip(result.x, *_RANGE).tolist()))
        return found

    line = np.linspace(*_RANGE, _GRID)
    # Closer where the dips are.
    found = descents(line, np.union1d(line, np.log(np.linspace(0.1, 1.0, 19))))
    _, memory, share = min(found)
    fine = np.linspace(-0.4, 0.4, 41)
    found += descents(*(np.unique(np.clip(x + fine, *_RANGE)) for x in (memory, share)))
    _, memory, share = min(found)
    return plane.tuning(memory, share, value)

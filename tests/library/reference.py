"""The momentum methods in NumPy float64, line by line and as slow as they read.

Each function takes one array's gradients, g₁ … g_T, and yields what the method
steps along: n_t, m_t or N_t.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np


def rsgdm(
    gradients: Iterable[np.ndarray],
    decay: float | list[float],
    first_difference: str = "zero",
    correction: Callable[[float], float] = lambda decay: decay,
) -> Iterator[np.ndarray]:
    """Algorithm 1, with one decay or one for each step, and a weight on z that follows from it."""
    m = z = 0.0
    previous = None
    decays = decay if isinstance(decay, list) else itertools.repeat(decay)
    for g, decay in zip(gradients, decays, strict=False):
        if previous is not None:
            difference = g - previous
        else:
            difference = g if first_difference == "gradient" else np.zeros_like(g)
        m = decay * m + (1 - decay) * g
        z = decay * z + (1 - decay) * difference
        yield m + correction(decay) * z
        previous = g


def sgdm(gradients: Iterable[np.ndarray], decay: float) -> Iterator[np.ndarray]:
    """Equation (1)."""
    m = 0.0
    for g in gradients:
        m = decay * m + (1 - decay) * g
        yield m


def nesterov(gradients: Iterable[np.ndarray], decay: float) -> Iterator[np.ndarray]:
    """EMA-form Nesterov: one step further along the average of equation (1)."""
    m = 0.0
    for g in gradients:
        m = decay * m + (1 - decay) * g
        yield decay * m + (1 - decay) * g


def qhm(gradients: Iterable[np.ndarray], decay: float, nu: float) -> Iterator[np.ndarray]:
    """Ma and Yarats, equations (3) and (4): between the gradient and its average."""
    m = 0.0
    for g in gradients:
        m = decay * m + (1 - decay) * g
        yield (1 - nu) * g + nu * m


def rsadam(
    gradients: Iterable[np.ndarray],
    b1: float,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    first_difference: str = "zero",
    correction: Callable[[float], float] = lambda decay: decay,
) -> Iterator[np.ndarray]:
    """Adam with RSGDM's average, both moments divided by what they make of a gradient of ones."""
    gradients = np.asarray(gradients)
    ones = np.ones_like(gradients)
    columns = zip(
        rsgdm(gradients, b1, first_difference, correction),
        rsgdm(ones, b1, first_difference, correction),
        sgdm(np.abs(gradients) ** 2, b2),
        sgdm(ones, b2),
        strict=True,
    )
    for n, steady_n, v, steady_v in columns:
        yield n / steady_n / (np.sqrt(v / steady_v + eps_root) + eps)

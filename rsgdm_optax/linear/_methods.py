"""The methods of the family, each by its own hyperparameters.

A constructor says what the method's own recursion does to the gradients, its first step included,
its learning rate aside. tests/library/test_linear_methods.py runs that recursion beside it.
"""

import dataclasses
from typing import Any

from jax.typing import ArrayLike

from rsgdm_optax._arguments import (
    FIRST_DIFFERENCES,
    FirstDifference,
    at_least_float32,
    check_choice,
    check_decay,
    check_flag,
    check_number,
    shown,
)
from rsgdm_optax.linear._description import LinearMomentum


def sgd() -> LinearMomentum:
    """Plain SGD: the gradient itself.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.sgd().weights(3))
      [0. 0. 1.]
    """
    return LinearMomentum()


def sgdm(decay: ArrayLike = 0.9) -> LinearMomentum:
    """`rsgdm_optax.sgdm`: m_t = β·m_{t−1} + (1−β)·g_t.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.sgdm(0.5).weights(3))
      [0.125 0.25  0.5  ]
    """
    return LinearMomentum(pole=_decay(decay))


def nesterov(decay: ArrayLike = 0.9) -> LinearMomentum:
    """`rsgdm_optax.nesterov`: β·m_t + (1−β)·g_t.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.nesterov(0.5).weights(3))
      [0.0625 0.125  0.75  ]
    """
    beta = _decay(decay)
    return LinearMomentum(pole=beta, correction=beta)


def rsgdm(
    decay: ArrayLike = 0.9,
    correction: ArrayLike | None = None,
    first_difference: FirstDifference = "zero",
) -> LinearMomentum:
    """`rsgdm_optax.rsgdm`: m_t + c·z_t, where c is β unless given, and Δg₁ is 0, or g₁.

    Yuan and Hu, Computer Systems & Applications 30(7), 2021; Qin et al., arXiv 2409.15314.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.rsgdm(0.5).weights(3))
      [0.    0.125 0.75 ]
    """
    beta = _decay(decay)
    c = beta if correction is None else _number("correction", correction)
    check_choice("first_difference", first_difference, FIRST_DIFFERENCES)
    first = None if first_difference == "gradient" else (1 - beta, (1 - beta) * (beta - c))
    return LinearMomentum(pole=beta, correction=c, first=first)


def qhm(decay: ArrayLike, nu: ArrayLike) -> LinearMomentum:
    """Quasi-hyperbolic momentum: (1−ν)·g_t + ν·m_t. Without memory every mixture is the gradient.

    Ma and Yarats, "Quasi-hyperbolic momentum and Adam for deep learning", arXiv 1810.06801.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.qhm(0.5, nu=0.75).weights(3))
      [0.09375 0.1875  0.625  ]
    """
    beta, share = _decay(decay), _number("nu", nu)
    return LinearMomentum(pole=beta, correction=beta * (1 - share) / (1 - beta))


def heavy_ball(
    momentum: ArrayLike = 0.9, dampening: ArrayLike = 0.0, *, nesterov: bool = False
) -> LinearMomentum:
    """``torch.optim.SGD``; with dampening 0 also ``optax.sgd``.

    b₁ = g₁, b_t = μ·b_{t−1} + (1−τ)·g_t, and the update is b_t, or g_t + μ·b_t with Nesterov. The
    first gradient is not dampened, and without momentum none is.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.heavy_ball(0.5, nesterov=True).weights(3))
      [0.125 0.25  1.5  ]
    """
    mu, tau = _decay(momentum, "momentum"), _decay(dampening, "dampening")
    check_flag("nesterov", nesterov)
    if nesterov and (_is_zero(mu) or not _is_zero(tau)):
        raise ValueError(
            "nesterov must be False unless momentum is positive and dampening is 0, "
            f"got momentum {shown(momentum)} and dampening {shown(dampening)}."
        )
    if _is_zero(mu):
        return sgd()
    return LinearMomentum(
        gain=(1 - tau) / (1 - mu),
        pole=mu,
        correction=mu if nesterov else 0.0,
        first=None if _is_zero(tau) else (1.0, mu),
    )


def pid(
    momentum: ArrayLike = 0.9,
    integral: ArrayLike = 5.0,
    derivative: ArrayLike = 10.0,
    dampening: ArrayLike = 0.0,
) -> LinearMomentum:
    """PID control as its authors' program computes it: g_t + K_i·I_t + K_d·D_t.

    I₁ = g₁, I_t = μ·I_{t−1} + (1−τ)·g_t and D₁ = 0, D_t = μ·D_{t−1} + (1−μ)·(g_t − p_t). The
    program first stores the previous gradient p_t in step two: p₂ = 0, p_t = g_{t−1} from t = 3
    on. Without momentum it has neither I nor D. An et al., "A PID controller approach for
    stochastic optimization of deep networks", CVPR 2018.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.pid(0.5, integral=1.0, derivative=1.0).weights(3))
      [0.25 0.25 2.5 ]
    """
    mu, tau = _decay(momentum, "momentum"), _decay(dampening, "dampening")
    k_i, k_d = _number("integral", integral), _number("derivative", derivative)
    if _is_zero(mu):
        return sgd()
    b0 = 1 + k_i * (1 - tau) + k_d * (1 - mu)
    method = _filter(b0, -mu - k_d * (1 - mu), mu)
    return dataclasses.replace(method, first=(1 + k_i, k_i * mu))


def pid_paper(momentum: ArrayLike = 0.9, derivative: ArrayLike = 10.0) -> LinearMomentum:
    """PID control as its paper prints it, in units of the learning rate: V_t + K_d·D_t.

    V_t = μ·V_{t−1} + g_t and D_t = μ·D_{t−1} + (1−μ)·(g_t − g_{t−1}), with g₀ = 0. Compared with
    the program (`pid`) the gradient itself is missing. An et al., CVPR 2018.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.pid_paper(0.5, derivative=1.0).weights(3))
      [0.125 0.25  1.5  ]
    """
    mu, k_d = _decay(momentum, "momentum"), _number("derivative", derivative)
    return _filter(1 + k_d * (1 - mu), -k_d * (1 - mu), mu)


def mars(b1: ArrayLike = 0.95, gamma: ArrayLike = 0.025) -> LinearMomentum:
    """The first moment of MARS-approx without its clipping and its debiasing.

    EMA of g_t + γ·b1/(1−b1)·(g_t − g_{t−1}) with g₀ = 0. Yuan et al., "MARS: unleashing the power
    of variance reduction for training large models", arXiv 2411.10438.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.mars(b1=0.5, gamma=0.25).weights(3))
      [0.09375 0.1875  0.625  ]
    """
    beta = _decay(b1, "b1")
    return LinearMomentum(pole=beta, correction=_number("gamma", gamma) * beta / (1 - beta))


def lion(b1: ArrayLike = 0.9, b2: ArrayLike = 0.99) -> LinearMomentum:
    """What Lion takes the sign of: b1·m_{t−1} + (1−b1)·g_t, where m is the average with b2.

    Chen et al., "Symbolic discovery of optimization algorithms", arXiv 2302.06675.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.lion(b1=0.25, b2=0.5).weights(3))
      [0.0625 0.125  0.75  ]
    """
    now, beta = _decay(b1, "b1"), _decay(b2, "b2")
    return LinearMomentum(pole=beta, correction=(beta - now) / (1 - beta))


def adan(decay: ArrayLike, weight: ArrayLike | None = None) -> LinearMomentum:
    """Adan's numerator before debiasing, with b1 = b2 = β: m_t + b2·v_t.

    v is the average of g_t − g_{t−1}, whose first is 0: this is RSGDM. optax 0.2.8 weighs v with
    1 − b2 in place of b2; give that as `weight`. With b1 ≠ b2 there are two poles, and no place in
    this family. Xie et al., "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep
    models", arXiv 2208.06677; its β₁ and β₂ are 1 − b1 and 1 − b2.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.adan(0.5).weights(3))
      [0.    0.125 0.75 ]
    """
    return rsgdm(decay, None if weight is None else _number("weight", weight))


def grokfast(decay: ArrayLike = 0.98, weight: ArrayLike = 2.0) -> LinearMomentum:
    """Grokfast-EMA before SGD: g_t + λ·h_t, where h, the average of the gradients, starts at g₁.

    Lee et al., "Grokfast: accelerated grokking by amplifying slow gradients", arXiv 2405.20233,
    whose α is `decay`.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.grokfast(0.5, weight=1.0).weights(3))
      [0.25 0.25 1.5 ]
    """
    beta, share = _decay(decay), _number("weight", weight)
    method = _filter(1 + share * (1 - beta), -beta, beta)
    return dataclasses.replace(method, first=(1 + share, share * beta))


def gpa(mu_x: ArrayLike, mu_y: ArrayLike) -> LinearMomentum:
    """Generalized primal averaging over SGD, as steps of y, where gradients are taken.

    y_t = μ_y·x_t + (1−μ_y)·z_t, z_{t+1} = z_t − α·g_t, x_{t+1} = μ_x·x_t + (1−μ_x)·z_{t+1}: QHM
    with β = μ_x and ν = μ_y. Defazio et al., arXiv 2512.17131.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.gpa(mu_x=0.5, mu_y=0.75).weights(3))
      [0.09375 0.1875  0.625  ]
    """
    return qhm(_decay(mu_x, "mu_x"), _number("mu_y", mu_y))


def aggmo(momentum: ArrayLike = 0.9) -> LinearMomentum:
    """Aggregated momentum of two velocities, one of them without memory: (g_t + v_t)/2.

    v_t = μ·v_{t−1} + g_t. Lucas et al., "Aggregated momentum: stability through passive damping",
    ICLR 2019, arXiv 1804.00325.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.aggmo(0.5).weights(3))
      [0.125 0.25  1.   ]
    """
    mu = _decay(momentum, "momentum")
    return _filter(1.0, -mu / 2, mu)


def ogda(weight: ArrayLike = 1.0) -> LinearMomentum:
    """Optimistic gradient descent: g_t + w·(g_t − g_{t−1}), whose first difference is 0.

    ``optax.scale_by_optimistic_gradient(1.0, w)``. Daskalakis et al., "Training GANs with
    optimism", ICLR 2018, arXiv 1711.00141.

    Example:
      >>> from rsgdm_optax import linear
      >>> print(linear.ogda().weights(3))
      [-0. -1.  2.]
    """
    w = _number("weight", weight)
    return LinearMomentum(correction=w, first=(1.0, -w))


def _filter(b0: Any, b1: Any, pole: Any) -> LinearMomentum:
    """The method (b0 + b1·q)/(1 − pole·q), where q delays by a step."""
    gain = (b0 + b1) / (1 - pole)
    if isinstance(gain, float) and not gain > 0:
        raise ValueError(f"gain must be a positive number, got {shown(gain)} from these arguments.")
    return LinearMomentum(gain=gain, pole=pole, correction=-b1 / (b0 + b1))


def _decay(decay: ArrayLike, name: str = "decay") -> Any:
    return at_least_float32(check_decay(decay, name))


def _number(name: str, value: ArrayLike) -> Any:
    return at_least_float32(check_number(name, value))


def _is_zero(value: Any) -> bool:
    """Whether it is known to be 0."""
    return isinstance(value, float) and value == 0

"""The methods by name, and where each stands in the quasi-hyperbolic (QHM) family."""

from jax.typing import ArrayLike

from rsgdm_optax._arguments import check_choice, read_decay

METHODS = ("sgd", "sgdm", "nesterov", "rsgdm")


def place(method: str, decay: ArrayLike) -> tuple[float, float]:
    """β and ν: each method's update is (1−ν)·g_t + ν·m_t, RSGDM's but for its first gradient."""
    check_choice("method", method, METHODS)
    beta = read_decay(decay)
    return beta, {"sgd": 0.0, "sgdm": 1.0}.get(method, beta)

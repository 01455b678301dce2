"""From one method's hyperparameters to another's, and what is lost on the way."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax.typing import ArrayLike

from rsgdm_optax._arguments import FirstDifference, check_choice, read_number
from rsgdm_optax.linear import _methods
from rsgdm_optax.linear._description import LinearMomentum, first_weights, known, newest_weights

Arguments = dict[str, Any]


class Conversion(NamedTuple):
    """The arguments of a method, and what it does differently from the one that was asked for."""

    learning_rate: float  # makes the sums of the weights equal
    arguments: Arguments  # all but the learning rate
    method: LinearMomentum  # what the arguments make
    lost: tuple[str, ...]  # in words; empty if nothing is


def convert(method: LinearMomentum, to: str, learning_rate: ArrayLike = 1.0) -> Conversion:
    r"""The arguments with which another method takes the same steps, or the nearest ones.

    .. math::

      \alpha' \gamma' = \alpha \gamma, \qquad \beta' = \beta, \qquad c' = c,

    as far as the other method can have them; it may fix β or c, or bound c.

    Args:
      method: what to convert, made by a function of `rsgdm_optax.linear`.
      to: the name of one of these functions, or ``"optax.sgd"`` or ``"torch.optim.SGD"``.
        `lion` is what comes before its sign, `pid` has the integral weight 1.
      learning_rate: α, which goes with `method`, a finite number.

    Returns:
      A `Conversion`. Its `lost` names a pole or a correction that the other method cannot have
      and, where these agree, a first gradient that it treats otherwise.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      None.

    Example:
      From the paper's settings to PyTorch's: ``torch.optim.SGD(params, 0.25, **arguments)``.

      >>> from rsgdm_optax import linear
      >>> there = linear.convert(linear.rsgdm(0.75), "torch.optim.SGD", learning_rate=1.0)
      >>> there.learning_rate, there.arguments
      (0.25, {'momentum': 0.75, 'nesterov': True, 'dampening': 0.0})
      >>> there.lost
      ('first gradient: its weights 0.25, 0 in the first two updates become 0.4375, 0.140625',)

      And back:

      >>> back = linear.convert(there.method, "rsgdm", there.learning_rate)
      >>> back.learning_rate, back.arguments
      (1.0, {'decay': 0.75, 'correction': 0.75, 'first_difference': 'gradient'})

    References:
      docs/linear-momentum.md has the table of the family.
    """
    check_choice("to", to, tuple(_TARGETS))
    gain, _, _ = known(method)
    rate = read_number("learning_rate", learning_rate)
    arguments_for, constructor = _TARGETS[to]
    arguments = arguments_for(method)
    made = constructor(**arguments)
    return Conversion(rate * gain / known(made)[0], arguments, made, _lost(method, made))


def _lost(method: LinearMomentum, made: LinearMomentum) -> tuple[str, ...]:
    words = [
        f"{name}: {old:.6g} becomes {new:.6g}"
        for name, old, new in zip(("pole", "correction"), _shape(method), _shape(made), strict=True)
        if not _is_close(old, new)
    ]
    (now, then), (new_now, new_then) = _start(method), _start(made)
    if not words and not (_is_close(now, new_now) and _is_close(then, new_then)):
        words.append(
            f"first gradient: its weights {now:.6g}, {then:.6g} in the first two updates "
            f"become {new_now:.6g}, {new_then:.6g}"
        )
    return tuple(words)


def _is_close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-14)


def _start(method: LinearMomentum) -> tuple[float, float]:
    """The first gradient's weights in the first two updates, at a gain of 1."""
    gain, _, _ = known(method)
    now, then = first_weights(method)
    return now / gain, then / gain


def _shape(method: LinearMomentum) -> tuple[float, float]:
    """The pole and the correction; (0, 0) where pole and zero cancel, as the gradient is left."""
    _, beta, c = known(method)
    return (0.0, 0.0) if _is_close(c * (1 - beta), beta) else (beta, c)


def _nu(method: LinearMomentum) -> float:
    """ν, 0 where there is none: a pole of 0 mixes nothing."""
    beta, c = _shape(method)
    return 1 - c * (1 - beta) / beta if beta else 0.0


def _pole(method: LinearMomentum) -> float:
    return known(method)[1]


def _optax(method: LinearMomentum) -> Arguments:
    beta, c = _shape(method)
    # Without Nesterov c is 0, with it β: the nearer one.
    return {"momentum": beta, "nesterov": beta > 0 and c > beta / 2}


def _torch(method: LinearMomentum) -> Arguments:
    gain, beta, c = known(method)
    now, then = first_weights(method)
    dampening = 0.0
    if c == 0 and now > 0 and _is_close(then, beta * now):
        # Dampening shows in the first gradient alone, which is not dampened.
        dampening = max(0.0, 1 - newest_weights(gain, beta, c)[0] / now)
    return _optax(method) | {"dampening": dampening}


def _rsgdm(method: LinearMomentum) -> Arguments:
    _, beta, c = known(method)
    bounded = min(max(c, 0.0), beta / (1 - beta))  # what `rsgdm_optax.rsgdm` takes
    wanted = _start(method)
    options: tuple[FirstDifference, ...] = ("zero", "gradient")
    option = min(  # of equals the paper's
        options,
        key=lambda option: math.dist(_start(_methods.rsgdm(beta, bounded, option)), wanted),
    )
    return {"decay": beta, "correction": bounded, "first_difference": option}


def _pid(method: LinearMomentum) -> Arguments:
    _, mu, c = known(method)
    return {"momentum": mu, "integral": 1.0, "derivative": (c * (2 - mu) - mu) / (1 - mu)}


def _grokfast(method: LinearMomentum) -> Arguments:
    nu = _nu(method)
    # λ is ν/(1−ν): an average alone, ν = 1, would need an infinite one.
    weight = min(nu / (1 - nu), 1e6) if nu < 1 else 1e6
    return {"decay": _shape(method)[0], "weight": weight}


def _lion(method: LinearMomentum) -> Arguments:
    beta, _ = _shape(method)
    return {"b1": min(max(_nu(method) * beta, 0.0), math.nextafter(1, 0)), "b2": beta}


def _mixture(decay: str, share: str) -> Callable[[LinearMomentum], Arguments]:
    """The arguments of a method that is QHM with other names for β and ν."""
    return lambda method: {decay: _shape(method)[0], share: _nu(method)}


_TARGETS: Mapping[str, tuple[Callable[[LinearMomentum], Arguments], Any]] = {
    "optax.sgd": (_optax, _methods.heavy_ball),
    "torch.optim.SGD": (_torch, _methods.heavy_ball),
    "heavy_ball": (_torch, _methods.heavy_ball),
    "sgd": (lambda _: {}, _methods.sgd),
    "sgdm": (lambda method: {"decay": _pole(method)}, _methods.sgdm),
    "nesterov": (lambda method: {"decay": _pole(method)}, _methods.nesterov),
    "rsgdm": (_rsgdm, _methods.rsgdm),
    "qhm": (_mixture("decay", "nu"), _methods.qhm),
    "pid": (_pid, _methods.pid),
    "pid_paper": (
        lambda method: {
            "momentum": _pole(method),
            "derivative": known(method)[2] / (1 - _pole(method)),
        },
        _methods.pid_paper,
    ),
    "mars": (
        lambda method: {"b1": _shape(method)[0], "gamma": 1 - _nu(method)},
        _methods.mars,
    ),
    "lion": (_lion, _methods.lion),
    "adan": (
        lambda method: {"decay": _pole(method), "weight": known(method)[2]},
        _methods.adan,
    ),
    "grokfast": (_grokfast, _methods.grokfast),
    "gpa": (_mixture("mu_x", "mu_y"), _methods.gpa),
    "aggmo": (lambda method: {"momentum": _pole(method)}, _methods.aggmo),
    "ogda": (lambda method: {"weight": known(method)[2]}, _methods.ogda),
}

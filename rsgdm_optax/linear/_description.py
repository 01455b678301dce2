"""One description of every linear momentum method that keeps one buffer."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import optax
from jax.typing import DTypeLike

from rsgdm_optax._arguments import (
    Number,
    at_least_float32,
    check_accumulator_dtype,
    check_decay,
    check_learning_rate,
    check_number,
    read_decay,
    read_number,
    read_reals,
    shown,
)
from rsgdm_optax._learning_rate import scale_by_learning_rate
from rsgdm_optax.linear._transformation import scale_by_weights

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearMomentum:
    r"""A linear momentum method with one buffer, its learning rate aside.

    .. math::

      n_t = \gamma \, \mathrm{EMA}_\beta (g + c \, \Delta g)_t = \sum_{i \le t} w_{t,i} g_i

    The gradient of k steps ago has the weight

    .. math::

      h_0 = \gamma (1-\beta) (1+c), \qquad
      h_k = \gamma (1-\beta) \beta^{k-1} [\beta - c (1-\beta)] \quad (k \ge 1),

    except the first gradient, if `first` gives it other weights.

    ================  =========================================================
    symbol            name
    ================  =========================================================
    :math:`\gamma`    ``gain``
    :math:`\beta`     ``pole``
    :math:`c`         ``correction``
    :math:`\nu`       ``nu``
    ================  =========================================================

    Attributes:
      gain: γ, a positive number: the sum of the weights.
      pole: β, a real number in [0, 1).
      correction: c, a finite number: how many steps of lag it takes away.
      first: the first gradient's weights in the first and in the second update;
        from there on it fades by β a step. None: those of any other gradient, as if
        all gradients before had been zero.

    All of them may be JAX arrays, traced ones too, whose values are not checked; those
    serve `transformation` alone. Everything else asks for numbers, and gives float64. Where the
    pole changes from step to step, the buffer has been multiplied by the one of its step, and so
    the updates are no longer those of the method's own recursion: use its own optimizer there.

    Raises:
      ValueError: when built, if a number is not as described; by a property or a
        function, if it is traced.

    Example:
      >>> from rsgdm_optax import linear
      >>> nesterov = linear.nesterov(decay=0.5)
      >>> nesterov
      LinearMomentum(gain=1.0, pole=0.5, correction=0.5, first=None)
      >>> print(nesterov.weights(4))
      [0.03125 0.0625  0.125   0.75   ]
      >>> print(f"{nesterov.lag} {nesterov.noise_gain:.4f} {nesterov.stability_limit}")
      0.5 0.5833 3.0

    References:
      Ma and Yarats, "Quasi-hyperbolic momentum and Adam for deep learning", ICLR 2019
      (arXiv 1810.06801), with ν = 1 − c(1−β)/β; docs/linear-momentum.md.
    """

    gain: Number = 1.0
    pole: Number = 0.0
    correction: Number = 0.0
    first: tuple[Number, Number] | None = None

    def __post_init__(self) -> None:
        numbers: dict[str, Any] = {
            "gain": check_number("gain", self.gain),
            "pole": check_decay(self.pole, "pole"),
            "correction": check_number("correction", self.correction),
        }
        if isinstance(numbers["gain"], float) and not numbers["gain"] > 0:
            raise ValueError(f"gain must be a positive number, got {shown(self.gain)}.")
        if self.first is not None:
            if not (isinstance(self.first, tuple | list) and len(self.first) == 2):  # JSON's list
                raise ValueError(f"first must be None or two numbers, got {shown(self.first)}.")
            numbers["first"] = tuple(check_number("first", weight) for weight in self.first)
        for name, number in numbers.items():
            wide = jax.tree.map(at_least_float32, number)  # of `first`, each
            object.__setattr__(self, name, wide)

    @property
    def zero(self) -> float:
        """Where the filter has its zero, c/(1+c); infinite for c = −1."""
        _, _, c = known(self)
        return c / (1 + c) if c != -1 else math.inf

    @property
    def nu(self) -> float:
        """ν of the quasi-hyperbolic form (1−ν)·g_t + ν·m_t: 1 − c(1−β)/β. 0 for plain SGD.

        Raises:
          ValueError: for β = 0 and c ≠ 0: without memory, no mixture is this method.
        """
        _, beta, c = known(self)
        if c == 0:
            return 1.0 if beta else 0.0
        if beta == 0:
            raise ValueError(
                f"nu: a method of pole 0 has none unless correction is 0, got {shown(c)}."
            )
        return 1 - c * (1 - beta) / beta

    @property
    def lag(self) -> float:
        """By how many steps the update, divided by γ, trails a gradient that grows linearly.

        β/(1−β) − c.
        """
        _, beta, c = known(self)
        return beta / (1 - beta) - c

    @property
    def noise_gain(self) -> float:
        """The variance of the update where gradients are white noise of variance 1.

        γ²·(1−β)/(1+β)·[1 + 2c(1+c)(1−β)]. These gradients come from outside. In training the
        noise comes back through the parameters, and this is not what it does to them: see
        `rsgdm_optax.linear.stationary_variance`.
        """
        gain, beta, c = known(self)
        return gain * gain * (1 - beta) / (1 + beta) * (1 + 2 * c * (1 + c) * (1 - beta))

    @property
    def stability_limit(self) -> float:
        r"""The learning rate times curvature below which a quadratic is descended.

        On :math:`\tfrac12 \lambda \theta^2` with learning rate α the parameters converge for αλ
        below 2(1+β)/[γ(1−β)(1+2c)], if 1 + 2c is positive, and, with a negative c, below 1/(γ|c|).
        """
        gain, beta, c = known(self)
        limits = []
        if 1 + 2 * c > 0:
            limits.append(2 * (1 + beta) / ((1 - beta) * (1 + 2 * c)) / gain)
        if c < 0:
            limits.append(1 / -c / gain)
        return min(limits)

    def impulse(self, steps: int) -> Array:
        """h_0 … h_{steps−1}, the weights of a gradient in the update of its step and later ones.

        Args:
          steps: a whole number of 1 or more.

        Returns:
          Float64 of shape (steps,).

        Raises:
          ValueError: if `steps` is not as described.
        """
        check_steps(steps)
        gain, beta, c = known(self)
        now, then = newest_weights(gain, beta, c)
        later = beta ** np.arange(steps - 1.0)
        later *= then
        return np.concatenate([[now], later])

    def weights(self, steps: int) -> Array:
        """The weight of each past gradient in the update after `steps` steps.

        Args:
          steps: t, a whole number of 1 or more.

        Returns:
          Float64 of shape (steps,): the weight of g₁ first, of g_t last.

        Raises:
          ValueError: if `steps` is not as described.
        """
        weights = self.impulse(steps)[::-1].copy()
        now, then = first_weights(self)
        weights[0] = now if steps == 1 else then * read_decay(self.pole) ** (steps - 2)
        return weights

    def frequency_response(self, frequencies: npt.ArrayLike) -> Array:
        r"""What becomes of gradients :math:`e^{2\pi i f t}`: they are multiplied by H(f).

        .. math::

          H(f) = \gamma (1-\beta) \frac{1 + c (1-q)}{1 - \beta q}, \qquad q = e^{-2\pi i f}

        Args:
          frequencies: real numbers of any shape, in cycles a step; 0.5 flips the
            sign every step.

        Returns:
          Complex128 of the frequencies' shape: the modulus is the gain, the
          argument (radians) the lead of the phase, negative if the update is late.

        Raises:
          ValueError: if the frequencies are not real numbers.
        """
        gain, beta, c = known(self)
        turn = np.exp(-2j * np.pi * read_reals("frequencies", frequencies))
        return np.asarray(gain * (1 - beta) * (1 + c * (1 - turn)) / (1 - beta * turn))

    def transformation(
        self,
        learning_rate: optax.ScalarOrSchedule = 1.0,
        accumulator_dtype: DTypeLike | None = None,
    ) -> optax.GradientTransformationExtraArgs:
        r"""The optimizer: steps :math:`\theta_t = \theta_{t-1} - \alpha n_t`, from one buffer.

        .. math::

          n_t = h_0 g_t + s_{t-1}, \qquad s_t = \beta s_{t-1} + h_1 g_t, \qquad s_0 = 0;

        with `first`, the first step has its two weights in place of :math:`h_0, h_1`.

        Args:
          learning_rate: α, a finite number or a schedule of the step count.
          accumulator_dtype: dtype of the buffer; None keeps each parameter's own.

        Returns:
          An ``optax.GradientTransformationExtraArgs`` with the state `LinearMomentumState` and
          the learning rate's. Its updates are negated, as those of ``optax.sgd``. Shapes, dtypes
          and shardings are as `rsgdm_optax.scale_by_rsgdm` says.

        Raises:
          ValueError: as `rsgdm_optax.rsgdm`.

        Memory:
          One buffer the size of the parameters, and one int32.
        """
        return optax.chain(
            scale_by_weights(
                self.pole,
                newest_weights(self.gain, self.pole, self.correction),
                self.first,
                check_accumulator_dtype(accumulator_dtype),
            ),
            scale_by_learning_rate(check_learning_rate(learning_rate)),
        )


def newest_weights(gain: Any, pole: Any, correction: Any) -> tuple[Any, Any]:
    """h_0 and h_1."""
    scale = gain * (1 - pole)
    return scale * (1 + correction), scale * (pole - correction * (1 - pole))


def known(method: LinearMomentum) -> tuple[float, float, float]:
    """γ, β and c of a method, whose values must be known."""
    check_method(method)
    return (
        read_number("gain", method.gain),
        read_decay(method.pole, "pole"),
        read_number("correction", method.correction),
    )


def first_weights(method: LinearMomentum) -> tuple[float, float]:
    """The first gradient's weights in the first two updates."""
    if method.first is None:
        return newest_weights(*known(method))
    now, then = method.first
    return read_number("first", now), read_number("first", then)


def check_method(method: object) -> None:
    """Raises unless it is a `LinearMomentum`."""
    if not isinstance(method, LinearMomentum):
        raise ValueError(f"method must be a LinearMomentum, got {shown(method)}.")


def check_steps(steps: Any) -> None:
    """Raises unless `steps` is a whole number of 1 or more."""
    is_whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool)
    if not (is_whole and steps >= 1):
        raise ValueError(f"steps must be a whole number of 1 or more, got {shown(steps)}.")

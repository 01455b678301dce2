r"""Learning rates and momenta, between the forms that momentum is written in.

Three forms cover the field. With :math:`m_t = \beta m_{t-1} + (1-\beta) g_t`, :math:`m_0 = 0`,

- **QHM**: :math:`\theta_t = \theta_{t-1} - \alpha [(1-\nu) g_t + \nu m_t]`. The
  EMA forms of this package are members: SGD is ν = 0, SGDM ν = 1, Nesterov
  momentum ν = β, and RSGDM is Nesterov momentum without its first gradient.
- **PyTorch**, ``torch.optim.SGD``: :math:`b_1 = g_1`,
  :math:`b_t = \mu b_{t-1} + (1-\tau) g_t`, and a step along :math:`b_t`, or along
  :math:`g_t + \mu b_t` with ``nesterov=True``. The first gradient is
  not dampened, and without momentum none is.
- **heavy ball**, ``optax.sgd``: PyTorch's form with τ = 0, where
  :math:`b_t = m_t / (1-\beta)`. So its learning rate is α·(1−β): 0.1 in PyTorch is
  α = 1 here, at β = 0.9.

`Qhm` and `TorchSgd` hold the numbers of the first two; they turn into each other, and
`Qhm` into an optax transformation.
"""

from typing import NamedTuple

import optax
from jax.typing import ArrayLike, DTypeLike

from rsgdm_optax._arguments import (
    as_real,
    check_accumulator_dtype,
    check_decay,
    check_flag,
    check_learning_rate,
    check_number,
    read_decay,
    read_number,
)
from rsgdm_optax._family import place
from rsgdm_optax._learning_rate import scale_by_learning_rate
from rsgdm_optax._one_buffer import one_buffer

__all__ = ["Qhm", "TorchSgd", "qhm"]


class Qhm(NamedTuple):
    r"""A momentum method by its place in the quasi-hyperbolic family.

    .. math::

      \theta_t = \theta_{t-1} - \alpha [(1-\nu) g_t + \nu m_t]

    ================  ===================
    symbol            name
    ================  ===================
    :math:`\alpha`    ``learning_rate``
    :math:`\beta`     ``decay``
    :math:`\nu`       ``nu``
    ================  ===================

    All three are numbers; in `transformation` the learning rate may be a schedule, and a
    JAX array is used without being checked.

    Example:
      From RSGDM's settings to PyTorch's:

      >>> from rsgdm_optax import convert
      >>> convert.qhm("rsgdm", learning_rate=1.0, decay=0.75).to_torch()
      TorchSgd(learning_rate=0.25, momentum=0.75, dampening=0.0, nesterov=True)

    References:
      Ma and Yarats, "Quasi-hyperbolic momentum and Adam for deep learning", ICLR 2019.
    """

    learning_rate: optax.ScalarOrSchedule
    decay: float
    nu: float

    def to_torch(self) -> "TorchSgd":
        """The arguments of ``torch.optim.SGD`` that take the same steps, exactly.

        Raises:
          ValueError: unless α is a finite number, β a real number in [0, 1), and ν
            0, 1 or β, or any number if β is 0; PyTorch has no other members.
        """
        rate = read_number("learning_rate", self.learning_rate)
        decay, nu = read_decay(self.decay), read_number("nu", self.nu)
        if nu == 0 or decay == 0:
            return TorchSgd(rate, 0.0)
        if nu not in (1, decay):
            raise ValueError(f"nu must be 0, 1 or decay ({decay}) for PyTorch's form, got {nu!r}.")
        return TorchSgd(rate * (1 - decay), decay, nesterov=nu == decay)

    def transformation(
        self, *, accumulator_dtype: DTypeLike | None = None
    ) -> optax.GradientTransformationExtraArgs:
        """The optimizer, with one buffer; all else is as `rsgdm_optax.sgdm` says.

        Raises:
          ValueError: when built, unless α is a finite number or a schedule, β a real
            number in [0, 1), and ν a finite number; then as `rsgdm_optax.sgdm`.
        """
        return optax.chain(
            one_buffer(
                check_decay(self.decay),
                check_number("nu", self.nu),
                check_accumulator_dtype(accumulator_dtype),
            ),
            scale_by_learning_rate(check_learning_rate(self.learning_rate)),
        )


class TorchSgd(NamedTuple):
    r"""The arguments of ``torch.optim.SGD``, and of ``optax.sgd`` where dampening is 0.

    .. math::

      b_1 &= g_1, \qquad b_t = \mu b_{t-1} + (1-\tau) g_t \\
      \theta_t &= \theta_{t-1} - \gamma b_t, \qquad \text{or} \quad
      \theta_{t-1} - \gamma (g_t + \mu b_t) \quad \text{with Nesterov}

    ================  ===================
    symbol            name
    ================  ===================
    :math:`\gamma`    ``learning_rate``
    :math:`\mu`       ``momentum``
    :math:`\tau`      ``dampening``
    ================  ===================

    Without momentum PyTorch dampens nothing, whatever :math:`\tau` is. All but
    ``nesterov`` are numbers. ``to_qhm().transformation()`` is the optimizer, but for what
    `to_qhm` says of dampening.

    Example:
      What a PyTorch user passes to ``rsgdm`` or ``nesterov``:

      >>> from rsgdm_optax import convert
      >>> convert.TorchSgd(learning_rate=0.25, momentum=0.75, nesterov=True).to_qhm()
      Qhm(learning_rate=1.0, decay=0.75, nu=0.75)

    References:
      The documentation of ``torch.optim.SGD``.
    """

    learning_rate: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def to_qhm(self) -> Qhm:
        r"""The same method in the QHM family; its learning rate is α of the EMA form.

        Exact if ``momentum`` or ``dampening`` is 0. Otherwise PyTorch's undamped first step adds
        :math:`\gamma \tau \mu^{t-1} g_1` to step :math:`t`, which no member of the family has.

        Raises:
          ValueError: unless γ is a finite number, μ a real number in [0, 1), and τ one
            in [0, 1]; with Nesterov, unless μ is positive and τ is 0, as in PyTorch.
        """
        rate = read_number("learning_rate", self.learning_rate)
        momentum, dampening, nesterov = self._checked()
        if momentum == 0:
            return Qhm(rate, 0.0, 0.0)
        alpha = rate * (1 - dampening) / (1 - momentum)
        return Qhm(alpha, momentum, momentum if nesterov else 1.0)

    def _checked(self) -> tuple[float, float, bool]:
        momentum = read_decay(self.momentum, "momentum")
        check_flag("nesterov", self.nesterov)
        dampening = as_real(self.dampening)
        if not 0 <= dampening <= 1:
            raise ValueError(f"dampening must be a real number in [0, 1], got {self.dampening!r}.")
        if self.nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                "nesterov must be False unless momentum is positive and dampening is 0, "
                f"got momentum {momentum!r} and dampening {dampening!r}."
            )
        # PyTorch dampens what it adds to its buffer, and without momentum it has none.
        return momentum, dampening if momentum else 0.0, self.nesterov


def qhm(method: str, learning_rate: float, decay: ArrayLike) -> Qhm:
    r"""A method of this package, in its EMA form, by its place in the QHM family.

    .. math::

      \nu = 0 \text{ (SGD)}, \quad 1 \text{ (SGDM)}, \quad \beta \text{ (Nesterov, RSGDM)}

    ================  ===================
    symbol            name
    ================  ===================
    :math:`\alpha`    ``learning_rate``
    :math:`\beta`     ``decay``
    :math:`\nu`       ``nu`` of the result
    ================  ===================

    For RSGDM it is the same method from the second gradient on: RSGDM's update lacks
    :math:`(1-\beta) \beta^t g_1`.

    Args:
      method: ``"sgd"``, ``"sgdm"``, ``"nesterov"`` or ``"rsgdm"``.
      learning_rate: α, a finite number.
      decay: β, a real number in [0, 1).

    Returns:
      The numbers; ``.to_torch()`` gives PyTorch's, ``.transformation()`` the optimizer.

    Raises:
      ValueError: if an argument is not as described.

    Memory:
      None; its transformation keeps one buffer the size of the parameters.

    Example:
      >>> from rsgdm_optax import convert
      >>> convert.qhm("sgdm", learning_rate=0.4, decay=0.75).to_torch()
      TorchSgd(learning_rate=0.1, momentum=0.75, dampening=0.0, nesterov=False)

    References:
      theory.md, section 6.
    """
    beta, nu = place(method, decay)
    return Qhm(read_number("learning_rate", learning_rate), beta, nu)

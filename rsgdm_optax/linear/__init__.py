r"""Linear momentum: every method that keeps one buffer, in one description.

A momentum method turns gradients :math:`g_1, g_2, \dots` into a direction :math:`n_t` and steps
:math:`\theta_t = \theta_{t-1} - \alpha n_t`. The linear ones with one buffer are all of one kind,
the average of the gradients corrected by the average of their changes, times a constant:

.. math::

  n_t = \gamma \, \mathrm{EMA}_\beta (g + c \, \Delta g)_t, \qquad
  \mathrm{EMA}_\beta(x)_t = \beta \, \mathrm{EMA}_\beta(x)_{t-1} + (1-\beta) x_t .

In the words of signal processing it is a filter with one pole, β, and one zero, c/(1+c). SGDM is
c = 0, RSGDM and Nesterov momentum are c = β, plain SGD is c = β/(1−β).

- `LinearMomentum` holds the three numbers and what a method does with its first gradient, and
  says what follows from them; its `transformation` is the optimizer.
- The functions named after methods make it: `sgd`, `sgdm`, `nesterov`, `rsgdm`, `qhm`,
  `heavy_ball`, `pid`, `pid_paper`, `mars`, `lion`, `adan`, `grokfast`, `gpa`, `aggmo`, `ogda`.
- `convert` goes from one method's hyperparameters to another's, and names what is lost.
- `impulse_response` reads the weights of past gradients off any optax transformation, and
  `identify` finds their place in the family.
- `stationary_variance`, `convergence_rate`, `expected_loss` and `best_tuning` say what a method
  does on a quadratic, where its steps change its own gradients.

Derivations, and what is known and what is new: docs/linear-momentum.md.
"""

from rsgdm_optax.linear._conversion import Conversion, convert
from rsgdm_optax.linear._description import LinearMomentum
from rsgdm_optax.linear._feedback import convergence_rate, expected_loss, stationary_variance
from rsgdm_optax.linear._methods import (
    adan,
    aggmo,
    gpa,
    grokfast,
    heavy_ball,
    lion,
    mars,
    nesterov,
    ogda,
    pid,
    pid_paper,
    qhm,
    rsgdm,
    sgd,
    sgdm,
)
from rsgdm_optax.linear._probe import Identified, ImpulseResponse, identify, impulse_response
from rsgdm_optax.linear._transformation import LinearMomentumState
from rsgdm_optax.linear._tuning import Tuning, best_tuning

__all__ = [
    "Conversion",
    "Identified",
    "ImpulseResponse",
    "LinearMomentum",
    "LinearMomentumState",
    "Tuning",
    "adan",
    "aggmo",
    "best_tuning",
    "convergence_rate",
    "convert",
    "expected_loss",
    "gpa",
    "grokfast",
    "heavy_ball",
    "identify",
    "impulse_response",
    "lion",
    "mars",
    "nesterov",
    "ogda",
    "pid",
    "pid_paper",
    "qhm",
    "rsgdm",
    "sgd",
    "sgdm",
    "stationary_variance",
]

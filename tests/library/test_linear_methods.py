"""Each method of the family beside its own recursion, first steps included."""

import functools

import numpy as np
import pytest

from rsgdm_optax import linear
from tests.library import reference
from tests.library.optimizers import updates_of, weight_rows

STEPS = 14


def ema(gradients, decay):
    return list(reference.sgdm(gradients, decay))


def corrected(gradients, decay, c, previous):
    """Algorithm 1 with the weight c on z; `previous` is g₀, or None for Δg₁ = 0."""
    m = z = 0.0
    for g in gradients:
        m = decay * m + (1 - decay) * g
        z = decay * z + (1 - decay) * (0.0 if previous is None else g - previous)
        previous = g
        yield m + c * z


def torch_sgd(gradients, momentum, dampening, nesterov):
    buffer = None
    for g in gradients:
        buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
        yield g + momentum * buffer if nesterov else buffer


def pid(gradients, momentum, integral, derivative, dampening):
    """The authors' loop: the buffer of the previous gradient is zero until step two fills it."""
    i_buffer = d_buffer = stored = None
    for g in gradients:
        if i_buffer is None:
            i_buffer, d_buffer, stored = g, 0.0, 0.0
        else:
            i_buffer = momentum * i_buffer + (1 - dampening) * g
            d_buffer = momentum * d_buffer + (1 - momentum) * (g - stored)
            stored = g
        yield g + integral * i_buffer + derivative * d_buffer


def pid_paper(gradients, momentum, derivative):
    v = d = previous = 0.0
    for g in gradients:
        v = momentum * v + g
        d = momentum * d + (1 - momentum) * (g - previous)
        previous = g
        yield v + derivative * d


def mars(gradients, b1, gamma):
    m = previous = 0.0
    for g in gradients:
        m = b1 * m + (1 - b1) * (g + gamma * b1 / (1 - b1) * (g - previous))
        previous = g
        yield m


def lion(gradients, b1, b2):
    m = 0.0
    for g in gradients:
        yield b1 * m + (1 - b1) * g
        m = b2 * m + (1 - b2) * g


def grokfast(gradients, decay, weight):
    h = gradients[0]
    for g in gradients:
        h = decay * h + (1 - decay) * g
        yield g + weight * h


def gpa(gradients, mu_x, mu_y):
    """Steps of y at learning rate 1, which `gradients` are taken to be evaluated at."""
    x = z = y = 0.0
    for g in gradients:
        z = z - g
        x = mu_x * x + (1 - mu_x) * z
        before, y = y, mu_y * x + (1 - mu_y) * z
        yield before - y


def aggmo(gradients, momentum):
    v = 0.0
    for g in gradients:
        v = momentum * v + g
        yield (g + v) / 2


def ogda(gradients, weight):
    previous = gradients[0]
    for g in gradients:
        yield g + weight * (g - previous)
        previous = g


# name: (the method, its recursion over a list of gradients)
METHODS = {
    "sgd": (linear.sgd(), list),
    "sgdm": (linear.sgdm(0.8), functools.partial(ema, decay=0.8)),
    "nesterov": (linear.nesterov(0.8), functools.partial(reference.nesterov, decay=0.8)),
    "qhm": (linear.qhm(0.8, 0.3), functools.partial(reference.qhm, decay=0.8, nu=0.3)),
    "qhm, no memory": (linear.qhm(0.0, 0.3), functools.partial(reference.qhm, decay=0.0, nu=0.3)),
    "qhm, nu above 1": (linear.qhm(0.5, 1.7), functools.partial(reference.qhm, decay=0.5, nu=1.7)),
    "pid": (linear.pid(0.9, 5, 10, 0.1), lambda g: pid(g, 0.9, 5, 10, 0.1)),
    "pid, no dampening": (linear.pid(0.5, 2, 3), lambda g: pid(g, 0.5, 2, 3, 0.0)),
    "pid, no momentum": (linear.pid(0.0), list),
    "pid_paper": (linear.pid_paper(0.9, 3), lambda g: pid_paper(g, 0.9, 3)),
    "mars": (linear.mars(0.95, 0.025), lambda g: mars(g, 0.95, 0.025)),
    "lion": (linear.lion(0.9, 0.99), lambda g: lion(g, 0.9, 0.99)),
    "lion, c below 0": (linear.lion(0.9, 0.5), lambda g: lion(g, 0.9, 0.5)),
    "adan": (linear.adan(0.9), lambda g: corrected(g, 0.9, 0.9, None)),
    "adan, weight 1 - b2": (linear.adan(0.9, 0.1), lambda g: corrected(g, 0.9, 0.1, None)),
    "grokfast": (linear.grokfast(0.98, 2), lambda g: grokfast(g, 0.98, 2)),
    "gpa": (linear.gpa(0.9, 0.8), lambda g: gpa(g, 0.9, 0.8)),
    "aggmo": (linear.aggmo(0.9), lambda g: aggmo(g, 0.9)),
    "ogda": (linear.ogda(), lambda g: ogda(g, 1.0)),
    "ogda, half": (linear.ogda(0.5), lambda g: ogda(g, 0.5)),
}
for _c in (None, 0.0, 2.0, 4.0, 9.0, -0.3):
    for _option, _g0 in (("zero", None), ("gradient", 0.0)):
        METHODS[f"rsgdm, c {_c}, {_option}"] = (
            linear.rsgdm(0.9, _c, _option),
            functools.partial(corrected, decay=0.9, c=0.9 if _c is None else _c, previous=_g0),
        )
for _arguments in ((0.9, 0.0, False), (0.9, 0.5, False), (0.9, 0.9, False), (0.9, 0.0, True)):
    _mu, _tau, _nesterov = _arguments
    METHODS[f"heavy_ball {_arguments}"] = (
        linear.heavy_ball(_mu, _tau, nesterov=_nesterov),
        functools.partial(torch_sgd, momentum=_mu, dampening=_tau, nesterov=_nesterov),
    )


def _responses(recursion):
    """Column i−1: the updates if g_i is 1 and the others are 0."""
    return np.stack([list(recursion(list(column))) for column in np.eye(STEPS)], axis=1)


@pytest.mark.parametrize("name", METHODS)
def test_weights_are_the_recursions(name):
    method, recursion = METHODS[name]
    error = np.abs(weight_rows(method, STEPS) - _responses(recursion)).max()
    assert error <= 2e-15 * method.gain * (1 + abs(method.correction))


@pytest.mark.parametrize("name", METHODS)
def test_transformation_takes_the_recursions_steps(name, x64):
    method, recursion = METHODS[name]
    gradients = np.random.default_rng(0).standard_normal((60, 3))
    wanted = -0.3 * np.stack(list(recursion(list(gradients))))
    updates = updates_of(method.transformation(0.3), gradients)
    np.testing.assert_allclose(updates, wanted, rtol=0, atol=1e-14 * np.abs(wanted).max())


def test_the_numbers_of_the_family_table():
    # The formulas of docs/linear-momentum.md: gain, c, ν and zero, where the table has them.
    b, mu, tau, k_i, k_d, nu, w = 0.9, 0.8, 0.3, 5.0, 10.0, 0.7, 2.0
    c_pid = (mu + k_d * (1 - mu)) / (1 - mu + k_i * (1 - tau))
    table = [
        (linear.sgdm(b), 1, 0, 1, 0),
        (linear.heavy_ball(mu, tau), (1 - tau) / (1 - mu), 0, 1, 0),
        (linear.heavy_ball(mu, nesterov=True), 1 / (1 - mu), mu, mu, mu / (1 + mu)),
        (linear.nesterov(b), 1, b, b, b / (1 + b)),
        (linear.rsgdm(b), 1, b, b, b / (1 + b)),
        (linear.rsgdm(b, w), 1, w, 1 - w * (1 - b) / b, w / (1 + w)),
        (linear.qhm(b, nu), 1, b * (1 - nu) / (1 - b), nu, b * (1 - nu) / (1 - nu * b)),
        (linear.pid(mu, k_i, k_d, tau), 1 + k_i * (1 - tau) / (1 - mu), c_pid, None, None),
        (linear.pid_paper(mu, k_d), 1 / (1 - mu), k_d * (1 - mu), None, None),
        (linear.mars(0.95, 0.025), 1, 0.025 * 0.95 / 0.05, 1 - 0.025, None),
        (linear.lion(0.9, 0.99), 1, 0.09 / 0.01, 0.9 / 0.99, 0.09 / 0.1),
        (linear.adan(b), 1, b, b, b / (1 + b)),
        (linear.grokfast(b, w), 1 + w, b / ((1 + w) * (1 - b)), w / (1 + w), None),
        (linear.gpa(b, nu), 1, b * (1 - nu) / (1 - b), nu, None),
        (linear.aggmo(mu), (2 - mu) / (2 * (1 - mu)), mu / (2 - mu), 1 / (2 - mu), mu / 2),
        (linear.ogda(w), 1, w, None, w / (1 + w)),
    ]
    for method, gain, c, share, zero in table:
        assert method.gain == pytest.approx(gain, rel=1e-12), method
        assert method.correction == pytest.approx(c, rel=1e-12), method
        assert share is None or method.nu == pytest.approx(share, rel=1e-12), method
        assert zero is None or method.zero == pytest.approx(zero, rel=1e-12), method


def test_gpa_at_y_is_qhm():
    gradients = list(np.random.default_rng(0).standard_normal(30))
    wanted = list(reference.qhm(gradients, 0.9, 0.8))
    np.testing.assert_allclose(list(gpa(gradients, 0.9, 0.8)), wanted, rtol=0, atol=1e-14)


def test_every_constructor_is_tested():
    made = {name for name in linear.__all__ if name[0].islower()}
    functions = {
        *("best_tuning", "convergence_rate", "convert", "expected_loss", "identify"),
        *("impulse_response", "stationary_variance"),
    }
    assert {name.split(",")[0].split(" ")[0] for name in METHODS} == made - functions

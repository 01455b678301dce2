"""Optimizers by name, weight decay and the schedule, against formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax
from tests.library import reference
from train.engine.optimizers import OPTIMIZERS, Arm, known_faults
from train.engine.schedules import factor
from train.study.presets import PRESETS

REFERENCES = {
    "sgdm": reference.sgdm,
    "rsgdm": reference.rsgdm,
    "rsgdm_compact": reference.rsgdm,
    "nesterov": reference.nesterov,
    "sgd": lambda gradients, _decay: gradients,
}


def _made(name, schedule, **options):
    return Arm(name, name).make(schedule, **options)


def _halving(rate, every):
    """A rate that halves after every so many steps."""
    halves = factor(PRESETS["demo"].replace(schedule="step", halve_every=every).run, 1)
    return lambda count: rate * halves(count)


def _descend(optimizer, steps=40):
    """Parameters along ½‖θ − 1‖² from zero."""
    params = jnp.zeros(3)
    state = optimizer.init(params)
    path = []
    for _ in range(steps):
        updates, state = optimizer.update(params - 1.0, state, params)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params))
    return np.stack(path)


@pytest.mark.parametrize(
    "halve_every", [1, 30, 50, 110, 378, 1950, 19_500, 2**31 - 1, 2**31, 10**12]
)
def test_step_schedule_halves_at_the_step(halve_every):
    schedule = jax.jit(_halving(0.8, halve_every))
    for halvings in range(20):
        for step in (halvings * halve_every, (halvings + 1) * halve_every - 1):
            if step < 2**31 - 1:  # the count after it is an int32 too
                assert float(schedule(step)) == np.float32(0.8) * 0.5**halvings


@pytest.mark.parametrize("name", REFERENCES)
def test_decayed_weights_join_the_gradient_before_the_average(name, x64):
    schedule = _halving(0.5, 10)
    path = _descend(_made(name, schedule, decay=0.8, weight_decay=0.1))
    theta, gradients = np.zeros(3), []
    for t, params in enumerate(path):
        gradients.append(theta - 1.0 + 0.1 * theta)
        direction = list(REFERENCES[name](gradients, 0.8))[-1]
        theta = theta - 0.5 * 0.5 ** (t // 10) * direction
        # The schedule is float32, exact for powers of two.
        np.testing.assert_allclose(params, theta, rtol=0, atol=1e-12)


def test_every_optimizer_descends():
    for name in OPTIMIZERS:
        path = _descend(_made(name, _halving(0.05, 99), decay=0.9, weight_decay=0.0))
        assert np.all(np.abs(path[-1] - 1) < 0.9), name


def test_decay_is_b1_of_the_adam_family():
    for name, maker in (
        ("adam", optax.adam),
        ("rsadam", rsgdm_optax.rsadam),
        ("nadam", optax.nadam),
        ("adan", optax.adan),
    ):
        ours = _made(name, lambda _: 0.01, decay=0.7, weight_decay=0.0)
        path = _descend(ours)
        np.testing.assert_array_equal(path, _descend(maker(0.01, b1=0.7)))


def _adan(weight, b1=0.9, b2=0.92, b3=0.99):
    """Adan as its paper has it, with 1 − β there for b here; `weight` is that of the difference."""

    def update(gradient, state, _params=None):
        t, m, v, n, before = state
        difference = gradient - before if t else 0 * gradient
        m = b1 * m + (1 - b1) * gradient
        v = b2 * v + (1 - b2) * difference
        n = b3 * n + (1 - b3) * (gradient + weight * difference) ** 2
        t += 1
        m_hat, v_hat, n_hat = m / (1 - b1**t), v / (1 - b2**t), n / (1 - b3**t)
        step = (m_hat + weight * v_hat) / (jnp.sqrt(n_hat) + 1e-8)
        return -0.01 * step, (t, m, v, n, gradient)

    return optax.GradientTransformation(lambda p: (0, 0 * p, 0 * p, 0 * p, 0 * p), update)


def test_a_fault_of_optaxs_adan_is_known_by_what_it_computes(monkeypatch):
    schedule = lambda _: 0.01  # noqa: E731
    path = _descend(_made("adan", schedule, decay=0.9, weight_decay=0.0))
    right, wrong = (np.allclose(path, _descend(_adan(w)), rtol=1e-4) for w in (0.92, 0.08))
    assert right != wrong
    lines = known_faults(("sgd", "adan"))
    assert len(lines) == wrong
    assert all(line.startswith(f"adan: optax {optax.__version__} ") for line in lines)
    assert known_faults(("sgd", "adam")) == []
    # Whatever optax is installed: the algorithm itself, and with the fault.
    for faulty in (True, False):
        monkeypatch.setattr(
            optax,
            "scale_by_adan",
            lambda b1, b2, b3, faulty=faulty: optax.chain(
                _adan(1 - b2 if faulty else b2, b1, b2, b3), optax.scale(-100)
            ),
        )
        assert len(known_faults(("adan",))) == faulty


def test_heavy_ball_convention_is_pytorchs_rate():
    # Heavy ball without dampening from zero velocity: PyTorch's and optax.sgd's.
    decay, rate = 0.9, 0.02
    alpha = Arm("sgdm", "sgdm").ema_rate(rate, "heavy_ball", decay)
    ours = _descend(_made("sgdm", lambda _: alpha, decay=decay, weight_decay=0.0))
    np.testing.assert_allclose(ours, _descend(optax.sgd(rate, momentum=decay)), rtol=2e-6)
    assert Arm("sgdm", "sgdm").ema_rate(rate, "ema", decay) == rate
    assert Arm("adam", "adam").ema_rate(rate, "heavy_ball", decay) == rate

"""Methods of the family beside their public implementations: ours, and optax's."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax
from rsgdm_optax import linear
from tests.library import reference
from tests.library.optimizers import updates_of, weight_rows

STEPS = 14

# Public implementations, each as it stands, beside the method that it is.
PUBLIC = {
    "optax.sgd": (optax.sgd(-1.0), linear.sgd()),
    "optax.sgd, momentum": (optax.sgd(-1.0, 0.9), linear.heavy_ball(0.9)),
    "optax.sgd, nesterov": (
        optax.sgd(-1.0, 0.9, nesterov=True),
        linear.heavy_ball(0.9, nesterov=True),
    ),
    "optax.ema": (optax.ema(0.9, debias=False), linear.sgdm(0.9)),
    "optax.optimistic_gradient_descent": (
        optax.optimistic_gradient_descent(-1.0, 1.0, 0.7),
        linear.ogda(0.7),
    ),
    "fact 9": (
        optax.chain(optax.scale_by_optimistic_gradient(1.0, 0.9), optax.ema(0.9, debias=False)),
        linear.rsgdm(0.9),
    ),
    "fact 9, any weight": (
        optax.chain(optax.scale_by_optimistic_gradient(1.0, 4.0), optax.ema(0.9, debias=False)),
        linear.rsgdm(0.9, 4.0),
    ),
    "sgdm": (rsgdm_optax.sgdm(-1.0, 0.9), linear.sgdm(0.9)),
    "nesterov": (rsgdm_optax.nesterov(-1.0, 0.9), linear.nesterov(0.9)),
    "rsgdm": (rsgdm_optax.scale_by_rsgdm(0.9), linear.rsgdm(0.9)),
    "rsgdm_compact": (rsgdm_optax.scale_by_rsgdm_compact(0.9), linear.rsgdm(0.9)),
    "rsgdm, gradient": (
        rsgdm_optax.scale_by_rsgdm(0.9, first_difference="gradient"),
        linear.nesterov(0.9),
    ),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_implementations(name, x64):
    transformation, method = PUBLIC[name]
    updates = updates_of(transformation, np.eye(STEPS))
    np.testing.assert_allclose(updates, weight_rows(method, STEPS), rtol=0, atol=2e-14)


def test_adans_numerator_in_optax(x64):
    # A large eps makes the denominator a constant. With b1 = b2 debiasing divides both parts alike.
    # The weight of optax 0.2.8 is 1 − b2; the paper's is b2.
    updates = 1e12 * updates_of(optax.scale_by_adan(0.9, 0.9, 0.5, eps=1e12), np.eye(STEPS))
    updates *= (1 - 0.9 ** np.arange(1, STEPS + 1))[:, None]
    off = [
        np.abs(updates - weight_rows(linear.adan(0.9, weight), STEPS)).max()
        for weight in (1 - 0.9, 0.9)
    ]
    assert min(off) < 1e-10
    assert max(off) > 0.05


def test_lions_interpolation_in_optax(x64):
    # The sign of the update is that of ours, on gradients that flip often.
    gradients = np.random.default_rng(0).standard_normal((60, 100))
    updates = updates_of(optax.scale_by_lion(0.9, 0.99), gradients)
    ours = updates_of(linear.lion(0.9, 0.99).transformation(-1.0), gradients)
    np.testing.assert_array_equal(updates, np.sign(ours))
    # And the average behind it, from the state.
    transformation = optax.scale_by_lion(0.9, 0.99)
    state = transformation.init(jnp.zeros(100))
    for g in gradients:
        _, state = transformation.update(jnp.asarray(g), state)
    averages = updates_of(linear.sgdm(0.99).transformation(-1.0), gradients)
    np.testing.assert_allclose(state.mu, averages[-1], rtol=0, atol=1e-15)


def test_muons_first_stage_in_optax(x64):
    # With the polynomial x ↦ x in place of Newton-Schulz's, Muon's update is its first stage,
    # divided by its norm: β·m_t/(1 − β^{t+1}) + (1−β)·g_t/(1 − β^t), Nesterov momentum but for the
    # debiasing, which fades.
    beta, steps = 0.8, 160
    gradients = np.random.default_rng(0).standard_normal((steps, 3, 2))
    muon = optax.contrib.scale_by_muon(
        beta=beta,
        ns_coeffs=(1.0, 0.0, 0.0),
        eps=0.0,
        weight_dimension_numbers=optax.contrib.MuonDimensionNumbers(),  # optax 0.2.6 needs it
    )
    updates = updates_of(muon, gradients)
    ours = updates_of(linear.nesterov(beta).transformation(-1.0), gradients)

    def unit(x):
        return x / np.linalg.norm(x, axis=(1, 2), keepdims=True)

    off = np.abs(unit(updates) - unit(ours)).max(axis=(1, 2))
    assert off[-1] < 1e-12
    t = np.arange(1, steps + 1)[:, None, None]
    m = np.stack(list(reference.sgdm(gradients, beta)))
    debiased = beta * m / (1 - beta ** (t + 1)) + (1 - beta) * gradients / (1 - beta**t)
    np.testing.assert_allclose(unit(updates), unit(debiased), rtol=0, atol=1e-12)

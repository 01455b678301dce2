"""The weights read off transformations, and the methods that they are."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax
from rsgdm_optax import linear
from tests.library.test_linear_methods import METHODS, STEPS


def _rows(method, steps=STEPS):
    rows = np.zeros((steps, steps))
    for t in range(1, steps + 1):
        rows[t - 1, :t] = method.weights(t)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_weights_of_every_method_come_back(name, x64):
    method = METHODS[name][0]
    found = linear.impulse_response(method.transformation(-1.0), STEPS)
    wanted = _rows(method)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found.weights, wanted, rtol=0, atol=2e-15 * scale)
    assert found.nonlinearity < 1e-14


def test_whatever_has_init_and_update_is_probed():
    accumulated = optax.MultiSteps(optax.sgd(1.0), every_k_schedule=1)  # no GradientTransformation
    np.testing.assert_allclose(linear.impulse_response(accumulated, 3).weights, -np.eye(3))


def test_a_whole_response_is_identified():
    found = linear.impulse_response(linear.qhm(0.75, 0.5).transformation(), 6)
    assert linear.identify(found) == linear.identify(found.weights)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_identified(name):
    method = METHODS[name][0]
    for sign in (1, -1):
        found = linear.identify(sign * _rows(method))
        assert found.sign == sign
        assert found.error < 1e-13
        if method.first is None and method.impulse(2)[1] == pytest.approx(0, abs=1e-15):
            method = linear.sgd()  # pole and zero cancel, and nothing shows them
        for field in ("gain", "pole", "correction"):
            wanted = getattr(method, field)
            assert getattr(found.method, field) == pytest.approx(wanted, rel=1e-12, abs=1e-12)
        assert (found.method.first is None) == (
            method.first is None or method.first == pytest.approx(method.impulse(2), abs=1e-15)
        )


def test_identified_from_float32():
    for method in (linear.nesterov(0.9), linear.rsgdm(0.9), linear.heavy_ball(0.9), linear.ogda()):
        found = linear.impulse_response(method.transformation(0.1), 30)
        assert found.nonlinearity < 1e-6
        identified = linear.identify(found.weights)
        assert identified.sign == -1
        assert identified.error < 1e-6
        assert (identified.method.first is None) == (method.first is None)
        assert identified.method.pole == pytest.approx(method.pole, abs=1e-6)
        # Of the weights' rounding errors 1/(1−β) times as many reach the correction.
        assert identified.method.correction == pytest.approx(method.correction, abs=1e-5)


@pytest.mark.slow
def test_nesterov_momentum_by_five_names(x64):
    # Muon's first stage: its polynomial is x ↦ x and its norm is lost in eps. It is debiased in two
    # parts, which fades: after 60 steps 1e-18 is left.
    beta, steps = 0.5, 60
    muon = optax.contrib.scale_by_muon(
        beta=beta,
        ns_coeffs=(1.0, 0.0, 0.0),
        eps=1e12,
        weight_dimension_numbers=optax.contrib.MuonDimensionNumbers(),  # optax 0.2.6 needs it
    )
    transformations = {
        "optax.sgd": optax.sgd(1 - beta, beta, nesterov=True),
        "nesterov": rsgdm_optax.nesterov(1.0, beta),
        "rsgdm": rsgdm_optax.rsgdm(1.0, beta, first_difference="gradient"),
        "rsgdm, one buffer": rsgdm_optax.rsgdm(
            1.0, beta, first_difference="gradient", compact=True
        ),
        "muon": optax.chain(muon, optax.scale(-1e12)),
    }
    last = {}
    for name, transformation in transformations.items():
        at = np.random.default_rng(1).standard_normal((steps, 3, 2)) if name == "muon" else None
        found = linear.impulse_response(transformation, steps, at=at)
        assert found.nonlinearity < 1e-11, name  # Muon's norm beside 1e12
        last[name] = found.weights[-1]
        if name != "muon":
            identified = linear.identify(found.weights)
            assert identified.error < 1e-14
            assert identified.method.first is None
            assert identified.method.correction == pytest.approx(beta, abs=1e-13)
    for name, weights in last.items():
        np.testing.assert_allclose(weights, last["optax.sgd"], rtol=0, atol=1e-11, err_msg=name)


def test_adans_weight_in_optax(x64):
    # A large eps leaves the numerator. Debiasing divides both of its averages alike.
    b2, steps = 0.9, 40
    adan = optax.scale_by_adan(b1=b2, b2=b2, b3=0.5, eps=1e12)
    found = linear.impulse_response(adan, steps)
    assert found.nonlinearity < 1e-10
    debias = 1 - b2 ** np.arange(1.0, steps + 1)
    identified = linear.identify(found.weights * debias[:, None])
    assert identified.error < 1e-10
    assert identified.method.pole == pytest.approx(b2)
    # Adan's own weight is b2; optax 0.2.8 and those before have 1 − b2.
    is_faulty = identified.method.correction < 0.5
    wanted = 1 - b2 if is_faulty else b2
    assert identified.method.correction == pytest.approx(wanted, abs=1e-9)
    np.testing.assert_allclose(
        found.weights * debias[:, None] * 1e12, _rows(linear.adan(b2, wanted), steps), atol=1e-9
    )


def _elementwise(function):
    return optax.stateless(lambda updates, _: jax.tree.map(function, updates))


@pytest.mark.slow
def test_how_far_from_linear(x64):
    # g + k·g³ departs from its derivative in proportion to k.
    small, larger = (
        linear.impulse_response(_elementwise(lambda g, k=k: g + k * g**3), 8).nonlinearity
        for k in (1e-7, 1e-6)
    )
    assert larger == pytest.approx(10 * small, rel=1e-4)
    assert larger > 1e-6
    # Linear but for an offset; homogeneous but not additive; additive but for one step.
    for function in (lambda g: g + 1.0, jnp.abs, lambda g: jnp.clip(g, -1.0, 1.0)):
        assert linear.impulse_response(_elementwise(function), 8).nonlinearity > 0.1
    for transformation in (optax.scale_by_sign(), optax.adam(1.0), optax.lion(1.0)):
        assert linear.impulse_response(transformation, 8).nonlinearity > 0.5
    assert linear.impulse_response(optax.set_to_zero(), 8).nonlinearity == 0


def test_weights_are_the_derivative_at_the_given_gradients(x64):
    at = np.array([0.5, -2.0, 3.0])
    found = linear.impulse_response(_elementwise(lambda g: g**3), 3, at=at)
    np.testing.assert_allclose(found.weights, np.diag(3 * at**2), rtol=1e-14)


def test_what_is_no_number_is_not_called_linear(x64):
    """Linear where it is looked at, and not a number beyond."""
    broken = optax.stateless(lambda g, _: jnp.where(g < 3, g, jnp.nan))
    found = linear.impulse_response(broken, 4, at=np.full(4, 2.9))
    np.testing.assert_array_equal(found.weights, np.eye(4))
    assert math.isnan(found.nonlinearity)


def test_parameters_of_several_entries(x64):
    scalar = linear.impulse_response(optax.trace(0.5), 6)
    at = np.random.default_rng(1).standard_normal((6, 2, 3))
    several = linear.impulse_response(optax.trace(0.5), 6, at=at)
    np.testing.assert_allclose(several.weights, scalar.weights, rtol=0, atol=1e-15)
    # The mean of an entry's row is taken off: nothing is left if all change alike.
    centred = linear.impulse_response(optax.centralize(), 6, at=at)
    np.testing.assert_allclose(centred.weights, 0.0, rtol=0, atol=1e-15)
    assert centred.nonlinearity < 1e-14


def test_what_is_not_of_the_family_says_so(x64):
    two_poles = (_rows(linear.sgdm(0.5)) + _rows(linear.sgdm(0.9))) / 2
    assert linear.identify(two_poles).error > 0.01
    debiased = linear.impulse_response(optax.ema(0.9), STEPS)
    assert debiased.nonlinearity < 1e-14
    assert linear.identify(debiased.weights).error > 0.1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: linear.impulse_response(optax.sgd(1.0), 0), "steps must be .*got 0"),
        (lambda: linear.impulse_response(optax.sgd(1.0), 2.0), "steps must be .*got 2.0"),
        (
            lambda: linear.impulse_response(optax.sgd(1.0), 3, at=np.zeros(2)),
            r"at must be of shape \(3, ...\), got shape \(2,\)",
        ),
        (
            lambda: linear.impulse_response(optax.sgd(1.0), 1, at=0.0),
            r"at must be .*got shape \(\)",
        ),
        (
            lambda: linear.impulse_response(optax.sgd(1.0), 2, at=np.zeros(2, complex)),
            r"at must be real numbers, got array.*0\.j",
        ),
        (
            lambda: linear.impulse_response(optax.sgd(1.0), 2, at=[[1.0], [1.0, 2.0]]),
            r"^at must be an array, its rows of one length, got \[\[1.0\], \[1.0, 2.0\]\]\.$",
        ),
        (lambda: linear.identify([[1.0], 1.0]), "^weights must be an array, its rows of one"),
        (
            lambda: linear.impulse_response(linear.rsgdm(0.9), 3),
            "^transformation must have init and update, .*`transformation` of .*got Linear",
        ),
        (lambda: linear.impulse_response(optax.sgd, 3), "^transformation must .*got <function sgd"),
        (lambda: linear.identify(np.full((4, 4), np.nan)), "^weights must be finite, got array"),
        (lambda: linear.identify(np.eye(3)), r"weights must be .*T of 4 or more, got shape \(3, 3"),
        (lambda: linear.identify(np.ones((4, 5))), r"weights must be .*got shape \(4, 5\)"),
        (lambda: linear.identify(np.eye(4) * 1j), "weights must be real numbers, got array"),
        (lambda: linear.identify(np.zeros((4, 4))), "weights must add up to something else than 0"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()

"""What follows from a method's three numbers, beside the running transformations themselves."""

import dataclasses
import functools
import json
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsgdm_optax import linear, nesterov, rsgdm, sgdm
from rsgdm_optax.linear import LinearMomentum

# name: (the description of a decay, a transformation of it that the library does not make from it)
METHODS = {
    "sgd": (lambda _: linear.sgd(), lambda _: optax.sgd(-1.0)),
    "sgdm": (linear.sgdm, functools.partial(sgdm, -1.0)),
    "nesterov": (linear.nesterov, functools.partial(nesterov, -1.0)),
    "rsgdm": (linear.rsgdm, functools.partial(rsgdm, -1.0)),
    "heavy_ball": (linear.heavy_ball, lambda decay: optax.trace(decay)),
    "any weight": (
        lambda decay: linear.rsgdm(decay, 3.0),
        lambda decay: optax.chain(
            optax.scale_by_optimistic_gradient(1.0, 3.0), optax.ema(decay, debias=False)
        ),
    ),
    "a negative weight": (
        lambda decay: linear.rsgdm(decay, -0.3),
        lambda decay: optax.chain(
            optax.scale_by_optimistic_gradient(1.0, -0.3), optax.ema(decay, debias=False)
        ),
    ),
}
DECAYS = [0.0, 0.5, 0.9, 0.99]

pytestmark = pytest.mark.usefixtures("x64_module")
each_method = pytest.mark.parametrize("name", METHODS)
each_decay = pytest.mark.parametrize("decay", DECAYS)


def _updates(name, decay, gradients):
    """n_t of every step, by the transformation itself."""
    transformation = METHODS[name][1](decay)

    def body(state, g):
        update, state = transformation.update(g, state)
        return state, update

    gradients = jnp.asarray(gradients)
    loop = jax.jit(lambda g: jax.lax.scan(body, transformation.init(g[0]), g)[1])
    return np.asarray(loop(gradients))


@each_decay
@each_method
def test_weights_are_the_responses_to_impulses(name, decay):
    # Column i of the gradients is an impulse at step i, so row t of the updates is the weights.
    method = METHODS[name][0](decay)
    updates = _updates(name, decay, np.eye(40))
    for t in (1, 2, 3, 40):
        np.testing.assert_allclose(
            method.weights(t), updates[t - 1, :t], rtol=0, atol=2e-15 * method.gain
        )
    np.testing.assert_allclose(method.impulse(39), updates[1:, 1], rtol=0, atol=2e-15 * method.gain)


@each_decay
@each_method
def test_gain_and_lag_behind_a_ramp(name, decay):
    steps = 4000  # 0.99 to this power is 3e-18: the start is forgotten
    method = METHODS[name][0](decay)
    last = _updates(name, decay, np.arange(1.0, steps + 1))[-1]
    assert steps - last / method.gain == pytest.approx(method.lag, abs=1e-9)
    assert _updates(name, decay, np.ones(steps))[-1] == pytest.approx(method.gain, rel=1e-12)


@each_decay
@each_method
def test_noise_gain_is_the_energy_of_an_impulse(name, decay):
    # The impulse comes second: a first gradient may have weights of its own.
    response = _updates(name, decay, np.eye(1, 4000, 1)[0])
    assert np.sum(response**2) == pytest.approx(METHODS[name][0](decay).noise_gain, rel=1e-12)


@each_method
def test_noise_gain_of_white_noise(name):
    noise = np.random.default_rng(0).standard_normal((200, 20_000))
    last = _updates(name, 0.9, noise)[-1]
    # A variance estimated from n independent values has the relative deviation √(2/n) = 0.01.
    assert np.var(last) == pytest.approx(METHODS[name][0](0.9).noise_gain, rel=0.05)


@each_decay
@each_method
def test_frequency_response_to_waves(name, decay):
    frequencies = np.array([0.0, 0.01, 0.1, 0.25, 0.5])
    t = np.arange(4000)[:, None]
    waves = np.exp(2j * np.pi * frequencies * t)
    method = METHODS[name][0](decay)
    ratio = _updates(name, decay, waves.real)[-1] + 1j * _updates(name, decay, waves.imag)[-1]
    wanted = method.frequency_response(frequencies)
    np.testing.assert_allclose(ratio / waves[-1], wanted, rtol=0, atol=1e-11 * method.gain)


def test_frequencies_of_any_shape_and_dtype():
    method = linear.rsgdm(0.9)
    assert method.frequency_response(0.1).shape == ()
    assert method.frequency_response(np.zeros((2, 3))).shape == (2, 3)
    for dtype in ("int8", "uint8", "float16", "float32", "float64", "bfloat16"):
        response = linear.sgdm(0.5).frequency_response(jnp.array([0, 1], dtype))
        assert response.dtype == np.complex128
        np.testing.assert_allclose(response, 1.0, rtol=0, atol=1e-15)
    for frequencies in (None, "a", 0.1j, [0.1, None], np.zeros(2, np.complex64), True):
        with pytest.raises(ValueError, match=r"^frequencies must be real numbers, got .*\.$"):
            method.frequency_response(frequencies)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
@each_method
def test_stability_limit_parts_descent_from_divergence(name, decay):
    method, transformation = METHODS[name][0](decay), METHODS[name][1](decay)
    limit = method.stability_limit

    @jax.jit
    def largest(curvature):
        # Rate 1 on ½·curvature·θ²; the largest |θ| of the last hundred of 40,000 steps.
        def body(carry, _):
            theta, state = carry
            update, state = transformation.update(curvature * theta, state, theta)
            return (theta - update, state), theta - update

        start = jnp.ones([]), transformation.init(jnp.ones([]))
        return jnp.max(jnp.abs(jax.lax.scan(body, start, None, 40_000)[1][-100:]))

    # With a negative weight the last percent is walked through too slowly to be seen.
    near = 0.01 if method.correction < 0 else 0.001
    assert float(largest((1 - near) * limit)) < 1e-3
    assert not float(largest((1 + near) * limit)) < 1e3  # infinity and NaN too


@pytest.mark.parametrize("maker", [linear.sgdm, linear.rsgdm])
def test_stability_limit_near_decay_one(maker):
    decay = 1 - 2.0**-40 - 2.0**-50
    beta = Fraction(decay)
    nu = beta if maker is linear.rsgdm else 1
    exact = 2 * (1 + beta) / (1 + beta * (1 - 2 * nu))
    assert maker(decay).stability_limit == pytest.approx(float(exact), rel=1e-15)


def test_pole_and_zero_cancel_at_plain_sgd():
    method = linear.qhm(0.9, 0.0)
    assert method.correction == pytest.approx(9)
    assert method.zero == pytest.approx(method.pole)
    assert method.nu == pytest.approx(0, abs=1e-15)
    assert method.lag == pytest.approx(0, abs=1e-14)
    assert method.noise_gain == pytest.approx(1)
    assert method.stability_limit == pytest.approx(2)


@pytest.mark.parametrize("nu", [-0.5, 0.0, 0.3, 1.0, 1.5])
def test_nu_comes_back(nu):
    assert linear.qhm(0.9, nu).nu == pytest.approx(nu, abs=1e-14)
    assert linear.sgd().nu == 0
    assert LinearMomentum(correction=-1.0).zero == np.inf


def test_numbers_of_numpy_and_jax_become_pythons_or_stay():
    assert linear.sgdm(np.float64(0.5)) == linear.sgdm(np.array(0.5)) == linear.sgdm(0.5)
    assert type(linear.sgdm(np.float32(0.5)).pole) is float
    assert isinstance(linear.sgdm(jnp.array(0.5)).pole, jax.Array)
    assert linear.sgdm(jnp.array(0.5)).lag == 1.0
    assert hash(linear.rsgdm(0.9)) == hash(linear.rsgdm(0.9))


def test_papers_numbers():
    # PAPER facts 4 and 8, at β = 0.9.
    assert linear.sgdm(0.9).lag == pytest.approx(9.0)
    assert linear.rsgdm(0.9).lag == pytest.approx(8.1)
    assert linear.rsgdm(0.9).noise_gain / linear.sgdm(0.9).noise_gain == pytest.approx(1.342)
    assert linear.sgdm(0.9).stability_limit == pytest.approx(38)
    assert round(linear.rsgdm(0.9).stability_limit, 2) == 13.57


@pytest.mark.parametrize("decay", [1e-39, 1e-38, 1e-20, 1e-6, 1e-5])
def test_a_tiny_decay_is_nearly_sgd(decay):
    optimizer = linear.sgdm(decay).transformation(1.0)
    state = optimizer.init(jnp.float32(0))
    for gradient in (1.0, 2.0, 3.0):
        update, state = optimizer.update(jnp.float32(gradient), state)
        assert update == pytest.approx(-gradient, rel=2 * decay + 1e-6)


def test_a_description_from_json():
    for method in (linear.rsgdm(0.9), linear.sgd()):
        text = json.dumps(dataclasses.asdict(method))
        assert linear.LinearMomentum(**json.loads(text)) == method


def test_numbers_at_the_ends_of_float64():
    assert linear.LinearMomentum(gain=1e200).noise_gain == math.inf
    assert linear.LinearMomentum(gain=1e-300, correction=-1e-300).stability_limit == pytest.approx(
        2e300
    )
    assert linear.LinearMomentum(gain=1e-300, correction=-0.25).stability_limit == pytest.approx(
        4e300
    )


def test_a_schedule_or_a_traced_value_is_told_the_way():
    schedule = optax.linear_schedule(0.5, 0.9, 4)
    with pytest.raises(ValueError, match=r" For an optimizer, optax.inject_hyperparams takes a sc"):
        rsgdm(0.1, decay=schedule)
    with pytest.raises(ValueError, match=r"correction must be .* optax.inject_hyperparams takes a"):
        rsgdm(0.1, correction=schedule)
    outside = r"A traced value is not known: call this outside of jax.jit and jax.grad\."
    with pytest.raises(ValueError, match=outside):
        jax.jit(lambda decay: linear.sgdm(decay).lag)(0.9)
    with pytest.raises(ValueError, match=outside):
        jax.jit(lambda rate: linear.stationary_variance(linear.sgdm(), rate, 1.0))(0.1)


def test_a_small_first_weight_keeps_its_digits():
    """In float32, beside a second weight that is a million times larger."""
    optimizer = linear.LinearMomentum(pole=0.9, first=(1e-5, 50.0)).transformation()
    g = jnp.float32(1)
    update, _ = optimizer.update(g, optimizer.init(g))
    np.testing.assert_allclose(update, -1e-5, rtol=1e-6)

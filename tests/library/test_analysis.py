"""The closed forms of section 2 against the running transformations themselves."""

import functools
import tracemalloc
from fractions import Fraction

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from rsgdm_optax import analysis, nesterov, rsgdm, scale_by_rsgdm, sgdm

OPTIMIZERS = {
    "sgd": lambda rate, _decay: optax.sgd(rate),
    "sgdm": sgdm,
    "nesterov": nesterov,
    "rsgdm": rsgdm,
}
DECAYS = [0.0, 0.5, 0.9, 0.99]

pytestmark = pytest.mark.usefixtures("x64_module")


@functools.partial(jax.jit, static_argnums=0)
def _loop(method, decay, gradients):
    optimizer = OPTIMIZERS[method](-1.0, decay)
    step = lambda state, g: optimizer.update(g, state)[::-1]  # noqa: E731
    return jax.lax.scan(step, optimizer.init(gradients[0]), gradients)[1]


def _updates(method, decay, gradients):
    """n_t of every step, by the transformation itself."""
    return np.asarray(_loop(method, jnp.asarray(decay), jnp.asarray(gradients)))


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("method", analysis.METHODS)
def test_weights_are_the_responses_to_impulses(method, decay):
    # Column i of the gradients is an impulse at step i, so row t of the updates is the weights.
    updates = _updates(method, decay, np.eye(40))
    for t in (1, 2, 3, 40):
        weights = analysis.gradient_weights(method, decay, t)
        np.testing.assert_allclose(weights, updates[t - 1, :t], rtol=0, atol=1e-15)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("method", analysis.METHODS)
def test_lag_behind_a_ramp(method, decay):
    steps = 4000  # 0.99 to this power is 3e-18: the start is forgotten
    last = _updates(method, decay, np.arange(1.0, steps + 1))[-1]
    assert steps - last == pytest.approx(analysis.lag(method, decay), abs=1e-9)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("method", analysis.METHODS)
def test_noise_gain_is_the_energy_of_an_impulse(method, decay):
    # The impulse comes second: RSGDM drops a first gradient.
    response = _updates(method, decay, np.eye(1, 4000, 1)[0])
    assert np.sum(response**2) == pytest.approx(analysis.noise_gain(method, decay), rel=1e-12)


@pytest.mark.parametrize("method", analysis.METHODS)
def test_noise_gain_of_white_noise(method):
    noise = np.random.default_rng(0).standard_normal((100, 20_000))
    last = _updates(method, 0.9, noise)[-1]
    # A variance estimated from n independent values has the relative deviation √(2/n) = 0.01.
    assert np.var(last) == pytest.approx(analysis.noise_gain(method, 0.9), rel=0.05)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("method", analysis.METHODS)
def test_frequency_response_to_waves(method, decay):
    frequencies = np.array([0.0, 0.01, 0.1, 0.25, 0.5])
    t = np.arange(4000)[:, None]
    waves = np.exp(2j * np.pi * frequencies * t)
    ratio = _updates(method, decay, waves)[-1] / waves[-1]
    wanted = analysis.frequency_response(method, decay, frequencies)
    np.testing.assert_allclose(ratio, wanted, rtol=0, atol=1e-11)


def test_frequency_response_keeps_shapes():
    assert analysis.frequency_response("rsgdm", 0.9, 0.1).shape == ()
    assert analysis.frequency_response("rsgdm", 0.9, np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float16", "float32", "float64", "bfloat16"])
def test_frequencies_of_any_dtype(dtype):
    response = analysis.frequency_response("sgdm", 0.5, jnp.array([0, 1], dtype))
    assert response.dtype == np.complex128
    np.testing.assert_allclose(response, 1.0, rtol=0, atol=1e-15)


@functools.partial(jax.jit, static_argnums=0)
def _last_hundred(method, decay, curvature):
    """θ in the last hundred of 40,000 steps at rate 1 on ½·curvature·θ²."""
    optimizer = OPTIMIZERS[method](1.0, decay)

    def step(carry, _):
        theta, state = carry
        update, state = optimizer.update(curvature * theta, state, theta)
        theta = optax.apply_updates(theta, update)
        return (theta, state), theta

    theta = jnp.ones(curvature.shape)
    return jax.lax.scan(step, (theta, optimizer.init(theta)), None, 40_000)[1][-100:]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("method", analysis.METHODS)
def test_stability_limit_parts_descent_from_divergence(method, decay):
    limit = analysis.stability_limit(method, decay)
    curvatures = limit * np.array([0.999, 1.001])
    below, above = np.abs(_last_hundred(method, jnp.asarray(decay), curvatures)).T
    assert np.max(below) < 1e-3
    assert not np.max(above) < 1e3  # infinity and NaN too


@pytest.mark.parametrize("nu", [1, "decay"])
def test_stability_limit_near_decay_one(nu):
    decay = 1 - 2.0**-40 - 2.0**-50
    beta = Fraction(decay)
    nu = beta if nu == "decay" else nu
    exact = 2 * (1 + beta) / (1 + beta * (1 - 2 * nu))
    limit = analysis.stability_limit("sgdm" if nu == 1 else "rsgdm", decay)
    assert limit == pytest.approx(float(exact), rel=1e-15)


def test_papers_numbers():
    # PAPER facts 4 and 8, at β = 0.9.
    assert analysis.lag("sgdm", 0.9) == pytest.approx(9.0)
    assert analysis.lag("rsgdm", 0.9) == pytest.approx(8.1)
    assert analysis.noise_gain("rsgdm", 0.9) / analysis.noise_gain("sgdm", 0.9) == pytest.approx(
        1.342
    )
    assert analysis.stability_limit("sgdm", 0.9) == pytest.approx(38)
    assert round(analysis.stability_limit("rsgdm", 0.9), 2) == 13.57


gradients = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 40), st.integers(0, 3)),
    elements=st.floats(-1e3, 1e3, allow_subnormal=False),
)
decays = st.floats(0.0, 0.99)


@given(gradients, decays)
def test_bias_identities(g, decay):
    terms = analysis.bias_terms(g, decay)
    bound = 1e-15 * len(g) * max(1.0, np.max(np.abs(g), initial=0.0)) / (1 - decay)
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=bound)
    close(terms.m, terms.gradient + (1 - decay) * terms.xi)  # (5)
    t = np.arange(1, len(g) + 1)[:, None]
    age = t - t.T  # t − i
    powers = np.where(age >= 0, decay ** np.maximum(age, 0.0), 0.0)
    changes = powers[:, 1:] @ (g[1:] - g[:-1])  # Σ_{i=2..t} β^{t−i}·Δg_i
    close(terms.correction, decay * (1 - decay) * changes)
    close(terms.n, terms.gradient + (1 - decay) * (terms.xi + decay * changes))  # (8)
    close(terms.sigma, terms.xi + decay * changes)
    close(terms.sigma, terms.sigma_sum)  # (9)
    close(terms.sigma, decay * (terms.xi - decay ** (t - 1.0) * (g[:1] - g)))  # fact 5


@pytest.mark.parametrize("decay", DECAYS)
def test_bias_terms_are_of_the_running_averages(decay):
    g = np.random.default_rng(0).standard_normal((60, 2, 3))
    terms = analysis.bias_terms(g, decay)
    np.testing.assert_allclose(terms.m, _updates("sgdm", decay, g), rtol=0, atol=1e-13)
    np.testing.assert_allclose(terms.n, _updates("rsgdm", decay, g), rtol=0, atol=1e-13)
    state = scale_by_rsgdm(decay).init(jnp.zeros((2, 3)))
    for t, gradient in enumerate(g):
        _, state = scale_by_rsgdm(decay).update(jnp.asarray(gradient), state)
        np.testing.assert_allclose(terms.correction[t], decay * state.z, rtol=0, atol=1e-13)


@pytest.mark.parametrize("t", [3, 4, 10])
def test_the_corrected_bias_can_be_the_larger_one(t):
    # Fact 5: choose g₁ so that ξ_t = 0; ς_t is not.
    decay = 0.9
    g = np.arange(1.0, t + 1)
    powers = decay ** np.arange(t - 1, -1, -1.0)
    g[0] = g[-1] - np.sum(powers[1:] * (g[1:] - g[-1])) / powers[0]
    terms = analysis.bias_terms(g, decay)
    assert abs(terms.xi[-1]) < 1e-13
    assert abs(terms.sigma[-1]) > 0.1


@pytest.mark.parametrize("t", [3, 10, 50, 200])
def test_excess_of_the_corrected_bias_fades(t):
    # Gradients of at most 1 that make ξ_t = 0 by their first: |ς_t| is β^t, and no more. Their
    # sums weigh up to 1/(1−β) = 10, hence the tolerance.
    decay = 0.9
    powers = decay ** np.arange(t - 1, -1, -1.0)
    g = np.full(t, -powers[0] / np.sum(powers[1:-1]))
    g[0], g[-1] = 1.0, 0.0
    terms = analysis.bias_terms(g, decay)
    assert abs(terms.xi[-1]) < 1e-14
    assert terms.sigma[-1] == pytest.approx(-(decay**t), rel=0, abs=1e-14)
    # The excess of any others fades as fast, at the least.
    g = np.random.default_rng(1).uniform(-1, 1, (t, 1000))
    terms = analysis.bias_terms(g, decay)
    excess = np.abs(terms.sigma[-1]) - np.abs(terms.xi[-1])
    assert np.max(excess) <= decay**t * np.max(np.abs(g[0] - g[-1])) + 1e-14


@pytest.mark.parametrize(
    "dtype",
    [
        *("int8", "uint8", "float16", "float32", "float64", "longdouble"),
        *("complex64", "complex128", "clongdouble", jnp.bfloat16),
    ],
)
def test_gradients_of_any_dtype(dtype):
    g = np.arange(1, 13).astype(dtype)
    wide = np.complex128 if np.iscomplexobj(g) else np.float64
    for term, wanted in zip(
        analysis.bias_terms(g, 0.9), analysis.bias_terms(g.astype(wide), 0.9), strict=True
    ):
        assert term.dtype == wide
        np.testing.assert_array_equal(term, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory(dtype):
    def peak(function, *arguments):
        tracemalloc.start()
        try:
            function(*arguments)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    g = np.ones((4, 25_000), dtype)
    assert peak(analysis.bias_terms, g, 0.9) == pytest.approx(10 * 8 * g.size, rel=0.02)
    weights = peak(analysis.gradient_weights, "rsgdm", 0.9, 100_000)
    assert weights == pytest.approx(2 * 8 * 100_000, rel=0.02)


def test_complex_gradients():
    g = np.exp(1j * np.arange(20.0))
    terms = analysis.bias_terms(g, 0.9)
    real, imaginary = analysis.bias_terms(g.real, 0.9), analysis.bias_terms(g.imag, 0.9)
    for whole, a, b in zip(terms, real, imaginary, strict=True):
        np.testing.assert_allclose(whole, a + 1j * b, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "function",
    [
        analysis.lag,
        analysis.noise_gain,
        analysis.stability_limit,
        functools.partial(analysis.gradient_weights, steps=3),
        functools.partial(analysis.frequency_response, frequencies=0.1),
    ],
)
def test_bad_method_and_decay(function):
    with pytest.raises(ValueError, match=r"method must be 'sgd' or 'sgdm' or .*got 'adam'"):
        function("adam", 0.9)
    with pytest.raises(ValueError, match=r"decay must be a real number in \[0, 1\), got 1"):
        function("sgdm", 1)
    with pytest.raises(ValueError, match=r"decay must be .*got Array\(1\.5"):
        function("sgdm", jnp.array(1.5))


def test_bad_steps_frequencies_and_gradients():
    for steps in (0, -1, 2.0, True, "3"):
        with pytest.raises(ValueError, match="steps must be a whole number of 1 or more, got"):
            analysis.gradient_weights("sgdm", 0.9, steps)
    for frequencies in (None, "a", 0.1j, [0.1, None], np.zeros(2, np.complex64), True):
        with pytest.raises(ValueError, match=r"^frequencies must be real numbers, got dtype .*\.$"):
            analysis.frequency_response("sgdm", 0.9, frequencies)
    for gradients in (1.0, [], np.zeros((0, 3)), ["a"], [None], [True]):
        with pytest.raises(ValueError, match="gradients must be numbers of shape"):
            analysis.bias_terms(gradients, 0.9)
    with pytest.raises(ValueError, match="decay must be"):
        analysis.bias_terms([1.0], 2.0)

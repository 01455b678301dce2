"""The terms of section 2 of the paper against the running transformations themselves."""

import functools
import tracemalloc

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from rsgdm_optax import analysis, rsgdm, scale_by_rsgdm, sgdm

OPTIMIZERS = {"sgdm": sgdm, "rsgdm": rsgdm}
DECAYS = [0.0, 0.5, 0.9, 0.99]

pytestmark = pytest.mark.usefixtures("x64_module")


def _updates(method, decay, gradients):
    """n_t of every step, by the transformation itself."""
    optimizer = OPTIMIZERS[method](-1.0, decay)

    def body(state, g):
        update, state = optimizer.update(g, state)
        return state, update

    gradients = jnp.asarray(gradients)
    return np.asarray(
        jax.jit(functools.partial(jax.lax.scan, body))(optimizer.init(gradients[0]), gradients)[1]
    )


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


def test_complex_gradients():
    g = np.exp(1j * np.arange(20.0))
    terms = analysis.bias_terms(g, 0.9)
    real, imaginary = analysis.bias_terms(g.real, 0.9), analysis.bias_terms(g.imag, 0.9)
    for whole, a, b in zip(terms, real, imaginary, strict=True):
        np.testing.assert_allclose(whole, a + 1j * b, rtol=0, atol=1e-14)


def test_bad_gradients_and_decay():
    for gradients in (1.0, [], np.zeros((0, 3)), ["a"], [None], [True]):
        with pytest.raises(ValueError, match="gradients must be numbers of shape"):
            analysis.bias_terms(gradients, 0.9)
    with pytest.raises(
        ValueError, match=r"^gradients must be an array, its rows of one length, got"
    ):
        analysis.bias_terms([[1.0], [1.0, 2.0]], 0.9)
    for decay in (2.0, jnp.array(1.5), "a"):
        with pytest.raises(ValueError, match=r"decay must be a real number in \[0, 1\), got"):
            analysis.bias_terms([1.0], decay)

"""The weight c of z: from SGDM over the paper's β to plain SGD, in both forms.

Everything in float64. The float64 reference with other weights than these is in test_reference.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsgdm_optax import rsgdm, scale_by_rsgdm, scale_by_rsgdm_compact
from tests.library import reference

STEPS = 300
EPS = np.finfo(np.float32).eps
DECAYS = [0.0, 0.01, 0.3, 0.5, 0.9, 0.999]
# Shares of the range [0, β/(1−β)]; at β = 0.9 the paper's c is a tenth of it.
SHARES = [0.0, 0.03, 0.1, 0.2, 0.5, 0.99, 1.0]

pytestmark = pytest.mark.usefixtures("x64_module")

FORMS = pytest.mark.parametrize("form", [scale_by_rsgdm, scale_by_rsgdm_compact])
START = pytest.mark.parametrize("first_difference", ["zero", "gradient"])
NUMBERS = pytest.mark.parametrize("number", [float, jnp.asarray], ids=["number", "array"])


def _gradients(steps=STEPS):
    return np.random.default_rng(0).standard_normal((steps, 3))


def _updates(transformation, gradients):
    state = transformation.init(jnp.asarray(gradients[0]))
    step = lambda state, g: transformation.update(g, state)[::-1]  # noqa: E731
    return np.asarray(jax.lax.scan(step, state, jnp.asarray(gradients))[1])


def _cases():
    return [(decay, share * decay / (1 - decay)) for decay in DECAYS for share in SHARES]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_arrays(form, first_difference, gradients, decay, c):
    transformation = form(decay, correction=c, first_difference=first_difference)
    state = transformation.init(gradients[0])
    step = lambda state, g: transformation.update(g, state)[::-1]  # noqa: E731
    return jax.lax.scan(step, state, gradients)[1]


@START
@FORMS
def test_reference(form, first_difference):
    gradients = _gradients()
    for decay, c in _cases():
        exact = np.stack(
            list(reference.rsgdm(gradients, decay, first_difference, lambda _, c=c: c))
        )
        bound = 2e-15 * (1 + c) * np.max(np.abs(gradients))
        ours = _of_arrays(form, first_difference, jnp.asarray(gradients), decay, c)
        np.testing.assert_allclose(ours, exact, rtol=0, atol=bound, err_msg=f"{decay}, {c}")
        if decay in (0.0, 0.9):  # numbers, not arrays, which are slow to compile one by one
            transformation = form(decay, correction=c, first_difference=first_difference)
            ours = _updates(transformation, gradients)
            np.testing.assert_allclose(ours, exact, rtol=0, atol=bound, err_msg=f"{decay}, {c}")


@FORMS
def test_rsgdm_is_two_parts_of_optax(form):
    gradients = _gradients()
    differences = np.diff(gradients, axis=0, prepend=gradients[:1])
    for decay in (0.5, 0.9):
        for c in (None, 0.0, decay / 2, decay, decay / (1 - decay)):
            weight = decay if c is None else c
            parts = optax.chain(
                optax.scale_by_optimistic_gradient(1.0, weight), optax.ema(decay, debias=False)
            )
            largest = np.max(np.abs(gradients + weight * differences))
            np.testing.assert_allclose(
                _updates(form(decay, correction=c), gradients),
                _updates(parts, gradients),
                rtol=0,
                atol=1e-15 * largest,
            )


@NUMBERS
@FORMS
def test_ends_of_the_range(form, number):
    gradients, t = _gradients(), np.arange(1, STEPS + 1)[:, None]
    for decay in (0.0, 0.3, 0.9):
        sgd = functools.partial(form, number(decay), correction=number(decay / (1 - decay)))
        sgdm = functools.partial(form, number(decay), correction=number(0.0))
        averages = np.stack(list(reference.sgdm(gradients, decay)))
        for first_difference in ("zero", "gradient"):
            first = decay**t * gradients[0] if first_difference == "zero" else 0.0
            for factory, wanted in ((sgd, gradients - first), (sgdm, averages)):
                ours = _updates(factory(first_difference=first_difference), gradients)
                np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-14)


def test_the_papers_weight_as_a_number_is_the_default_to_the_bit():
    gradients = _gradients()
    for form in (scale_by_rsgdm, scale_by_rsgdm_compact):
        ours = _updates(form(0.9, correction=0.9), gradients)
        np.testing.assert_array_equal(ours, _updates(form(0.9), gradients))


def test_the_default_follows_a_traced_decay():
    gradients = _gradients(20)
    for form in (scale_by_rsgdm, scale_by_rsgdm_compact):
        ours = jax.jit(lambda decay, form=form: _updates_traced(form(decay), gradients))(0.7)
        exact = list(reference.rsgdm(gradients, 0.7))
        np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-14)


def _updates_traced(transformation, gradients):
    state = transformation.init(jnp.asarray(gradients[0]))
    step = lambda state, g: transformation.update(g, state)[::-1]  # noqa: E731
    return jax.lax.scan(step, state, jnp.asarray(gradients))[1]


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("first", [np.inf, np.nan])
def test_a_first_gradient_that_is_not_finite(first, compact):
    # Only where its weight is exactly zero it is gone after one update.
    gradients = np.array([first, 1.0, 1.0])
    for c in (None, 0.9, 0.0, 0.5, 2.0, 0.9 / (1 - 0.9)):
        ours = _updates(rsgdm(1.0, correction=c, compact=compact), gradients)
        leaves = compact and c in (None, 0.9)
        assert np.isfinite(ours).tolist() == [False, leaves, leaves], c


@pytest.mark.parametrize("compact", [False, True])
def test_injected_as_array_and_as_schedule(compact):
    gradients = _gradients(20)
    inject = optax.inject_hyperparams(rsgdm, static_args="compact", hyperparam_dtype=jnp.float64)
    optimizer = inject(-1.0, 0.9, correction=2.0, compact=compact)
    exact = list(reference.rsgdm(gradients, 0.9, "zero", lambda _: 2.0))
    np.testing.assert_allclose(_updates(optimizer, gradients), exact, rtol=0, atol=1e-13)

    constant = inject(-1.0, 0.9, correction=lambda _: 0.5, compact=compact)
    exact = list(reference.rsgdm(gradients, 0.9, "zero", lambda _: 0.5))
    np.testing.assert_allclose(_updates(constant, gradients), exact, rtol=0, atol=1e-13)

    # m and z know nothing of c: Algorithm 1 with a c that changes is m + c_t·z.
    schedule = optax.linear_schedule(0.0, 4.0, 16)  # exact in any precision
    optimizer = inject(-1.0, 0.9, correction=schedule, compact=compact)
    without = np.stack(list(reference.sgdm(gradients, 0.9)))
    with_z = np.stack(list(reference.rsgdm(gradients, 0.9, "zero", lambda _: 1.0)))
    weights = np.array([float(schedule(t)) for t in range(20)])[:, None]
    exact = without + weights * (with_z - without)
    error = np.max(np.abs(_updates(optimizer, gradients) - exact))
    assert error < 1e-13 if not compact else error > 0.01  # as `compact` is documented


def test_a_steady_gradient_comes_back_while_timid_corrections_change():
    # The one buffer is an average while c ≤ β, whatever c was before.
    inject = optax.inject_hyperparams(rsgdm, static_args="compact")
    optimizer = inject(-1.0, 0.5, correction=optax.linear_schedule(0.0, 0.5, 60), compact=True)
    updates = _updates(optimizer, np.ones((60, 1)))
    np.testing.assert_allclose(updates[50:], 1.0, rtol=0, atol=1e-12)


@FORMS
def test_a_correction_can_be_learned(form):
    gradients = _gradients(5)

    def last(c):
        return _updates_traced(form(0.75, correction=c), gradients)[-1]

    *_, sgdm = reference.sgdm(gradients, 0.75)
    *_, with_z = reference.rsgdm(gradients, 0.75, "zero", lambda _: 1.0)
    for c in (0.0, 0.3, 0.75, 2.0, 3.0):  # linear in c: z is the derivative, at the seams too
        derivative = jax.jit(jax.jacfwd(last))(c)
        np.testing.assert_allclose(derivative, with_z - sgdm, rtol=0, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("number", [float, jnp.float32], ids=["number", "array"])
@pytest.mark.parametrize("decay", [0.99, 0.9999])
def test_one_buffer_near_one_in_float32(decay, number):
    # Noise, as in test_reference.py, for weights up to the end of the range.
    steps = round(3 / (1 - decay))
    gradients = np.random.default_rng(0).standard_normal((steps, 64)).astype(np.float32)
    decay = float(np.float32(decay))
    for c in (0.0, 0.5, 2.0, 0.5 / (1 - decay), decay / (1 - decay)):
        c = float(np.float32(c))
        compact = scale_by_rsgdm_compact(number(decay), correction=number(c))
        ours = _updates(compact, gradients)[[0, 1, -1]]
        exact = _updates(scale_by_rsgdm(decay, correction=c), gradients.astype(np.float64))
        exact = exact[[0, 1, -1]]
        assert ours.dtype == np.float32
        loss = np.sqrt(np.mean((ours - exact) ** 2, axis=1) / np.mean(exact**2, axis=1))
        # The first update takes (1−β)·c·g back from (1−β)·(1+c)·g.
        assert np.all(loss < [(20 + c) * EPS, 20 * EPS, 20 * EPS]), (c, loss / EPS)

"""What the paper does not say, as properties: PAPER facts turned into hypothesis tests.

Everything in float64, for any decay, shape, length and finite values.
"""

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from rsgdm_optax import nesterov, rsgdm, scale_by_rsgdm, scale_by_rsgdm_compact
from tests.library import reference
from tests.library.optimizers import run

decays = st.floats(0.0, 0.9999)
# Subnormal numbers are flushed to zero by XLA on some machines.
values = st.floats(-1e6, 1e6, allow_subnormal=False)
shapes = st.sampled_from([(), (1,), (3,), (0,), (2, 3), (1, 2, 1, 3)])
sequences = st.tuples(st.integers(1, 18), shapes).flatmap(
    lambda drawn: hnp.arrays(np.float64, (drawn[0], *drawn[1]), elements=values)
)
first_differences = st.sampled_from(["zero", "gradient"])

pytestmark = pytest.mark.usefixtures("x64_module")


def _updates(transformation, gradients) -> np.ndarray:
    # Stepped without jit: each example has a shape of its own, to be compiled once and thrown away.
    state = transformation.init(jnp.asarray(gradients[0]))
    updates = []
    for g in gradients:
        update, state = transformation.update(jnp.asarray(g), state)
        updates.append(np.asarray(update))
    return np.stack(updates)


def _assert_close(actual, wanted, gradients):
    # One rounding error a step, at the worst all of one sign, of terms up to twice the largest
    # gradient. XLA may flush what underflows on the way: hence the last summand.
    largest = np.max(np.abs(gradients), initial=0.0)
    bound = 8 * np.finfo(np.float64).eps * len(gradients) * largest + 1e-300
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound)


@given(sequences, decays, first_differences)
def test_one_buffer_gives_the_same_updates_as_three(gradients, decay, first_difference):
    paper = scale_by_rsgdm(decay, first_difference=first_difference)
    compact = scale_by_rsgdm_compact(decay, first_difference=first_difference)
    _assert_close(_updates(compact, gradients), _updates(paper, gradients), gradients)


@given(sequences, decays, st.booleans())
def test_with_g0_zero_rsgdm_is_nesterov(gradients, decay, compact):
    ours = rsgdm(1.0, decay, first_difference="gradient", compact=compact)
    _assert_close(_updates(ours, gradients), _updates(nesterov(1.0, decay), gradients), gradients)


@given(sequences, decays, st.booleans())
def test_offset_to_nesterov_is_the_first_gradient_fading(gradients, decay, compact):
    ours = _updates(rsgdm(-1.0, decay, compact=compact), gradients)
    control = _updates(nesterov(-1.0, decay), gradients)
    t = np.arange(1, len(gradients) + 1).reshape((-1,) + (1,) * (gradients.ndim - 1))
    offset = (1 - decay) * decay**t * gradients[0]
    _assert_close(control - ours, offset, gradients)


@given(sequences, decays)
def test_weights_on_past_gradients(gradients, decay):
    # n_t = (1−β²)·g_t + (1−β) Σ_{i=2..t−1} β^{t−i+1}·g_i for t ≥ 2; n_1 = (1−β)·g_1.
    t = len(gradients)
    weights = np.array([(1 - decay) * decay ** (t - i + 1) for i in range(1, t + 1)])
    weights[0] = 0.0
    weights[-1] = 1 - decay**2 if t > 1 else 1 - decay
    last = _updates(scale_by_rsgdm(decay), gradients)[-1]
    _assert_close(last, np.tensordot(weights, gradients, axes=1), gradients)


@given(sequences, st.floats(0.0, 0.99))
def test_correction_commutes_with_the_average(gradients, decay):
    differences = np.diff(gradients, axis=0, prepend=gradients[:1])
    averaged = list(reference.sgdm(gradients + decay * differences, decay))
    ours = _updates(scale_by_rsgdm(decay), gradients)
    _assert_close(ours, averaged, 3 * gradients)  # g + β·Δg is up to three times as large


@given(sequences, st.floats(0.0, 0.99))
def test_weight_on_z_moves_from_sgdm_to_sgd(gradients, decay):
    # n = m + c·z with the transformation's own m and z: at c = β/(1−β) it is the gradient
    # itself, but for what the missing g₀ leaves of the first, β^t·g₁.
    state = scale_by_rsgdm(decay).init(jnp.asarray(gradients[0]))
    averages = reference.sgdm(gradients, decay)
    for t, (g, average) in enumerate(zip(gradients, averages, strict=True), start=1):
        n, state = scale_by_rsgdm(decay).update(jnp.asarray(g), state)
        m, z = np.asarray(state.m), np.asarray(state.z)
        _assert_close(m, average, gradients)
        _assert_close(n, m + decay * z, gradients)
        _assert_close(
            (1 - decay) * m + decay * z, (1 - decay) * (g - decay**t * gradients[0]), gradients
        )


@given(sequences)
def test_decay_zero_is_plain_sgd(gradients):
    _assert_close(_updates(scale_by_rsgdm(0.0), gradients), gradients, gradients)


def test_total_offset_to_nesterov_is_decay_times_the_first_gradient():
    gradients = list(np.random.default_rng(0).standard_normal((600, 3)))
    ours = np.sum(run(rsgdm(-1.0), gradients), axis=0)
    control = np.sum(run(nesterov(-1.0), gradients), axis=0)
    np.testing.assert_allclose(control - ours, 0.9 * gradients[0], rtol=0, atol=1e-12)


def test_forms_part_where_the_decay_changes():
    # Fact 2 holds for constant β only; this is why `compact` is documented as it is.
    gradients = np.random.default_rng(1).standard_normal((12, 3))
    decays = [0.9 if t % 2 else 0.5 for t in range(12)]
    exact = list(reference.rsgdm(gradients, decays))

    def largest_error(factory):
        errors = []
        state = factory().init(jnp.zeros(3))
        for g, decay, n in zip(gradients, decays, exact, strict=True):
            update, state = factory(decay).update(jnp.asarray(g), state)
            errors.append(np.max(np.abs(update - n)))
        return max(errors)

    assert largest_error(scale_by_rsgdm) < 1e-14
    assert largest_error(scale_by_rsgdm_compact) > 0.01


@pytest.mark.parametrize("first", [np.inf, np.nan])
def test_only_the_compact_form_gets_rid_of_a_first_gradient_that_is_not_finite(first):
    gradients = [first, 1.0, 1.0]

    def are_finite(transformation):
        state = transformation.init(jnp.zeros(()))
        finite = []
        for g in gradients:
            update, state = transformation.update(jnp.asarray(g), state)
            finite.append(bool(jnp.isfinite(update)))
        return finite

    assert are_finite(scale_by_rsgdm_compact()) == [False, True, True]
    for keeps in (scale_by_rsgdm(), scale_by_rsgdm_compact(first_difference="gradient")):
        assert are_finite(keeps) == [False, False, False]

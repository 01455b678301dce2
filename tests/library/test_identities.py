"""What the paper does not say, as properties: PAPER facts turned into hypothesis tests.

Everything in float64, for any decay and finite values. The decay is an argument of one compiled
loop over twelve steps; what holds after any fewer is compared at each.
"""

import functools
import re

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from rsgdm_optax import nesterov, rsgdm, scale_by_rsgdm, scale_by_rsgdm_compact, sgdm
from tests.library import reference
from tests.library.optimizers import OPTIMIZERS_AND_STARTS

STEPS = 12
decays = st.floats(0.0, 0.9999)
# Subnormal numbers are flushed to zero by XLA on some machines.
sequences = hnp.arrays(np.float64, (STEPS, 3), elements=st.floats(-1e6, 1e6, allow_subnormal=False))
T = np.arange(1.0, STEPS + 1)[:, None]  # t

pytestmark = pytest.mark.usefixtures("x64_module")

FORMS = {
    "paper": scale_by_rsgdm,
    "paper_gradient": functools.partial(scale_by_rsgdm, first_difference="gradient"),
    "compact": scale_by_rsgdm_compact,
    "compact_gradient": functools.partial(scale_by_rsgdm_compact, first_difference="gradient"),
    "sgdm": functools.partial(sgdm, -1.0),
    "nesterov": functools.partial(nesterov, -1.0),
    "optax_ema": functools.partial(optax.ema, debias=False),
    "optax_nesterov": lambda decay: optax.sgd(decay - 1, decay, nesterov=True),
}


@functools.partial(jax.jit, static_argnums=0)
def _loop(form, gradients, decay):
    transformation = FORMS[form](decay)
    state = transformation.init(gradients[0])
    step = lambda state, g: transformation.update(g, state)[::-1]  # noqa: E731
    return jax.lax.scan(step, state, gradients)[1]


def _updates(form, gradients, decay) -> np.ndarray:
    return np.asarray(_loop(form, gradients, jnp.asarray(decay, jnp.float64)))


def _assert_close(actual, wanted, gradients):
    # One rounding error a step, at the worst all of one sign, of terms up to twice the largest
    # gradient. XLA may flush what underflows on the way: hence the last summand.
    largest = np.max(np.abs(gradients), initial=0.0)
    bound = 8 * np.finfo(np.float64).eps * len(gradients) * largest + 1e-300
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound)


@given(sequences, decays)
def test_one_buffer_gives_the_same_updates_as_three(gradients, decay):
    for start in ("", "_gradient"):
        compact = _updates("compact" + start, gradients, decay)
        _assert_close(compact, _updates("paper" + start, gradients, decay), gradients)


@given(sequences, decays)
def test_with_g0_zero_rsgdm_is_nesterov(gradients, decay):
    control = _updates("nesterov", gradients, decay)
    for form in ("paper_gradient", "compact_gradient"):
        _assert_close(_updates(form, gradients, decay), control, gradients)


@given(sequences, decays)
def test_offset_to_nesterov_is_the_first_gradient_fading(gradients, decay):
    control = _updates("nesterov", gradients, decay)
    offset = (1 - decay) * decay**T * gradients[0]
    for form in ("paper", "compact"):
        _assert_close(control - _updates(form, gradients, decay), offset, gradients)


@given(sequences, decays)
def test_sgdm_and_nesterov_are_optaxs_at_other_rates(gradients, decay):
    ema = _updates("optax_ema", gradients, decay)
    _assert_close(_updates("sgdm", gradients, decay), ema, gradients)
    heavy_ball = _updates("optax_nesterov", gradients, decay)
    _assert_close(_updates("nesterov", gradients, decay), heavy_ball, gradients)


@given(sequences, decays)
def test_weights_on_past_gradients(gradients, decay):
    # n_t = (1−β²)·g_t + (1−β) Σ_{i=2..t−1} β^{t−i+1}·g_i for t ≥ 2; n_1 = (1−β)·g_1.
    ours = _updates("paper", gradients, decay)
    for t in range(1, STEPS + 1):
        weights = np.array([(1 - decay) * decay ** (t - i + 1) for i in range(1, t + 1)])
        weights[0] = 0.0
        weights[-1] = 1 - decay**2 if t > 1 else 1 - decay
        _assert_close(ours[t - 1], np.tensordot(weights, gradients[:t], axes=1), gradients)


@given(sequences, st.floats(0.0, 0.99))
def test_correction_commutes_with_the_average(gradients, decay):
    differences = np.diff(gradients, axis=0, prepend=gradients[:1])
    averaged = list(reference.sgdm(gradients + decay * differences, decay))
    # g + β·Δg is up to three times as large as g.
    _assert_close(_updates("paper", gradients, decay), averaged, 3 * gradients)


def test_weight_on_z_moves_from_sgdm_to_sgd():
    # n = m + c·z with the transformation's own m and z: at c = β/(1−β) it is the gradient
    # itself, but for what the missing g₀ leaves of the first, β^t·g₁.
    gradients = np.random.default_rng(0).standard_normal((STEPS, 3))
    for decay in (0.0, 0.5, 0.9, 0.99):
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


def test_total_offset_to_nesterov_is_decay_times_the_first_gradient():
    gradients = np.random.default_rng(0).standard_normal((600, 3))
    offset = _updates("nesterov", gradients, 0.9) - _updates("paper", gradients, 0.9)
    np.testing.assert_allclose(np.sum(offset, axis=0), 0.9 * gradients[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS_AND_STARTS)
def test_a_decay_can_be_learned(name):
    # The derivative by β, at 0, where nothing may be cut off, and on both sides of ½.
    gradients = np.random.default_rng(0).standard_normal((5, 3))
    factory = OPTIMIZERS_AND_STARTS[name][0]

    def last(decay):
        optimizer = factory(1.0, decay)
        state = optimizer.init(jnp.zeros(3))
        for g in gradients:
            updates, state = optimizer.update(jnp.asarray(g), state)
        return updates

    derivative = jax.jit(jax.jacfwd(last))
    # One buffer with a correction of its own has no derivative there.
    at_zero = () if re.match("(rsgdm_compact|rsadam)_(timid|bold)", name) else (0.0,)
    for decay in (*at_zero, 0.3, 0.5, 0.9):
        *_, below = OPTIMIZERS_AND_STARTS[name][1](gradients, decay - 1e-6)
        *_, above = OPTIMIZERS_AND_STARTS[name][1](gradients, decay + 1e-6)
        wanted = -(above - below) / 2e-6
        np.testing.assert_allclose(derivative(decay), wanted, rtol=0, atol=1e-8)


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


def test_a_leaf_whose_first_gradient_is_none_starts_as_with_g0_zero():
    # The counter is the whole tree's: the leaf's first gradient is no first one any more.
    gradients = list(np.random.default_rng(2).standard_normal((6, 3)))
    wanted = list(reference.rsgdm(gradients, 0.9, first_difference="gradient"))
    for form in ("paper", "compact"):
        transformation = FORMS[form](0.9)
        state = transformation.init({"late": jnp.zeros(3)})
        _, state = transformation.update({"late": None}, state)
        for g, n in zip(gradients, wanted, strict=True):
            updates, state = transformation.update({"late": jnp.asarray(g)}, state)
            np.testing.assert_allclose(updates["late"], n, rtol=0, atol=1e-14)


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
    assert are_finite(rsgdm(1.0, 0.0, compact=True)) == [False, True, True]
    assert are_finite(sgdm(1.0, 0.0)) == [False, True, True]

"""Every linear optimizer against NumPy float64, over hundreds of steps, the first ones included.

The Adam family is in test_rsadam.py.
"""

from collections import deque
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax
from tests.library.optimizers import ADAMS, LINEAR, OPTIMIZERS_AND_STARTS, run

LINEAR_AND_STARTS = [name for name in OPTIMIZERS_AND_STARTS if name not in ADAMS]
STEPS = 320
KINDS = ["random", "constant", "ramp", "sign_flipping", "heavy_tailed"]


def _sequence(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """STEPS gradients of one shape, time first."""
    base = rng.standard_normal(shape)
    time = np.arange(1, STEPS + 1).reshape((STEPS,) + (1,) * len(shape))
    match kind:
        case "random":
            return rng.standard_normal((STEPS, *shape))
        case "constant":
            return np.broadcast_to(base, (STEPS, *shape))
        case "ramp":
            return base * time
        case "sign_flipping":
            return base * (-1.0) ** time
        case "heavy_tailed":
            return rng.standard_t(1.1, (STEPS, *shape))
    raise AssertionError(kind)


def _of_all_kinds(dtype: type) -> np.ndarray:
    """Shape (STEPS, 6, kinds)."""
    rng = np.random.default_rng(7)
    return np.stack([_sequence(kind, (6,), rng) for kind in KINDS], axis=-1).astype(dtype)


def _updates(optimizer: optax.GradientTransformation, gradients: Any) -> Any:
    """All steps' updates, from one compiled loop."""

    @jax.jit
    def loop(gradients):
        state = optimizer.init(jax.tree.map(lambda g: g[0], gradients))
        return jax.lax.scan(lambda state, g: optimizer.update(g, state)[::-1], state, gradients)[1]

    return loop(gradients)


def _exact(name: str, decay: float, gradients: np.ndarray) -> np.ndarray:
    wide = gradients.astype(np.complex128 if np.iscomplexobj(gradients) else np.float64)
    return -np.stack(list(OPTIMIZERS_AND_STARTS[name][1](wide, decay)))


def _largest_errors(name: str, decay: float, dtype: type) -> dict[str, float]:
    """By kind: the largest deviation at any step, relative to the largest gradient so far."""
    gradients = _of_all_kinds(dtype)
    updates = _updates(OPTIMIZERS_AND_STARTS[name][0](1.0, decay), gradients)
    assert updates.dtype == dtype
    largest = np.maximum.accumulate(np.abs(gradients).max(axis=1))
    errors = np.abs(np.asarray(updates, np.float64) - _exact(name, decay, gradients)).max(axis=1)
    return dict(zip(KINDS, np.max(errors / largest, axis=0), strict=True))


@pytest.mark.parametrize("name", LINEAR_AND_STARTS)
def test_float64(name, x64):
    errors = _largest_errors(name, 0.9, np.float64)
    assert {kind: error for kind, error in errors.items() if error >= 1e-14} == {}


@pytest.mark.parametrize("name", LINEAR_AND_STARTS)
def test_trees_of_all_shapes_and_complex_gradients(name, x64):
    rng = np.random.default_rng(5)
    draw = lambda *shape: rng.standard_normal((STEPS, *shape))  # noqa: E731
    gradients = {
        "scalar": draw(),
        "empty": draw(0, 3),
        "none": None,
        "layers": [{"kernel": draw(3, 3, 2, 4), "bias": draw(4)}, (draw(5, 6),)],
        "complex": draw(3) + 1j * draw(3),
    }
    updates = _updates(OPTIMIZERS_AND_STARTS[name][0](1.0), gradients)
    exact = jax.tree.map(lambda g: _exact(name, 0.9, g), gradients)
    assert jax.tree.structure(updates) == jax.tree.structure(gradients)
    for update, wanted in zip(jax.tree.leaves(updates), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(update, wanted, rtol=0, atol=1e-14, strict=True)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", LINEAR_AND_STARTS)
def test_float32(name, decay):
    errors = _largest_errors(name, decay, np.float32)
    bound = 4 * np.finfo(np.float32).eps
    assert {kind: error for kind, error in errors.items() if error >= bound} == {}


def _loss_in_float32(name: str, decay: float, gradients: np.ndarray) -> np.ndarray:
    """Root mean square of the last update's error, in units 2⁻²³ of the update's own; by column."""
    optimizer = OPTIMIZERS_AND_STARTS[name][0](-1.0, decay)

    @jax.jit
    def last(gradients):
        carry = gradients[0], optimizer.init(gradients[0])
        step = lambda carry, g: (optimizer.update(g, carry[1]), None)  # noqa: E731
        return jax.lax.scan(step, carry, gradients)[0][0]

    (exact,) = deque(OPTIMIZERS_AND_STARTS[name][1](gradients.astype(np.float64), decay), maxlen=1)
    error = np.asarray(last(gradients), np.float64) - exact
    loss = np.sqrt(np.mean(error**2, axis=0) / np.mean(exact**2, axis=0))
    return loss / np.finfo(np.float32).eps


NEAR_ONE = pytest.mark.parametrize("name", LINEAR)


@pytest.mark.slow
# What docs/faq.md says of a β near 1. The bounds leave room for other orders of summation.
@pytest.mark.parametrize("decay", [0.99, 0.999, 0.9999])
@NEAR_ONE
def test_decay_near_one_on_noise_in_float32(name, decay):
    noise = np.random.default_rng(0).standard_normal((round(3 / (1 - decay)), 64), np.float32)
    gradients = np.stack([noise, 1 + noise / 10], axis=-1)
    assert np.all(_loss_in_float32(name, decay, gradients) < 20)


@pytest.mark.slow
@pytest.mark.parametrize("decay", [0.99, 0.999])
@NEAR_ONE
def test_decay_near_one_on_constants_in_float32(name, decay):
    constants = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    gradients = np.broadcast_to(constants, (round(25 / (1 - decay)), 64))
    assert 0.1 < _loss_in_float32(name, decay, gradients) * (1 - decay) < 0.5


def test_state_holds_m_z_and_the_previous_gradient(x64):
    decay = 0.9
    gradients = np.random.default_rng(3).standard_normal((50, 4))
    transformation = rsgdm_optax.scale_by_rsgdm(decay)
    state = transformation.init(jnp.zeros(4))
    m = z = previous = np.zeros(4)
    for t, g in enumerate(gradients, start=1):
        _, state = transformation.update(jnp.asarray(g), state)
        m = decay * m + (1 - decay) * g
        z = decay * z + (1 - decay) * (g - previous if t > 1 else 0.0)
        previous = g
        assert int(state.count) == t
        np.testing.assert_allclose(state.m, m, rtol=0, atol=1e-14)
        np.testing.assert_allclose(state.z, z, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(state.previous_gradient, g)


def test_compact_buffer_is_the_average_without_the_first_gradient(x64):
    gradients = np.random.default_rng(3).standard_normal((50, 4))
    transformation = rsgdm_optax.scale_by_rsgdm_compact(0.9)
    state = transformation.init(jnp.zeros(4))
    c = np.zeros(4)
    for t, g in enumerate(gradients, start=1):
        _, state = transformation.update(jnp.asarray(g), state)
        c = 0.9 * c + 0.1 * g if t > 1 else c
        np.testing.assert_allclose(state.c, c, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("inject", [lambda factory: factory, optax.inject_hyperparams])
def test_decay_zero_is_plain_sgd_to_the_bit(name, inject):
    # From a number and from a JAX array, after a gradient up to 1/eps times as large.
    optimizer = inject(LINEAR[name][0])(1.0, 0.0)
    cases = [("bfloat16", 100), ("float16", 3e4), ("float32", 1e8)]
    if inject is not optax.inject_hyperparams:  # of a number: what has no weight is not looked at
        cases += [("float32", 3e38), ("bfloat16", 3e38), ("float16", 65504)]
    for dtype, large in cases:
        values = jnp.array([1, large, -large, 0.125, 0, -large], dtype)
        gradients = [jnp.roll(values, t) for t in range(6)]
        for g, update in zip(gradients, run(optimizer, gradients, values), strict=True):
            np.testing.assert_array_equal(update, -g)


@pytest.mark.parametrize("compact", [False, True])
def test_correction_zero_is_sgdm_even_where_differences_overflow(compact):
    gradients = jnp.array([1, -3e38, 3e38, 1, 2], jnp.float32)
    ours, theirs = (
        np.stack(run(optimizer, gradients, gradients[0]))
        for optimizer in (
            rsgdm_optax.rsgdm(1.0, 0.9, correction=0.0, compact=compact),
            rsgdm_optax.sgdm(1.0, 0.9),
        )
    )
    assert np.isfinite(theirs).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)  # two roundings of the average

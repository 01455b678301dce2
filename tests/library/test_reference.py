"""Every optimizer against NumPy float64, over hundreds of steps, the first ones included."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rsgdm_optax
from tests.library.optimizers import OPTIMIZERS, expected, run

STEPS = 320
SHAPES = {
    "scalar": (),
    "empty": (0, 3),
    "none": None,
    "layers": [{"kernel": (3, 3, 2, 4), "bias": (4,)}, (5, 6)],
}


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


def _gradients(kind: str, dtype: type) -> list:
    rng = np.random.default_rng(7)
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    columns = jax.tree.map(
        lambda shape: _sequence(kind, shape, rng).astype(dtype), SHAPES, is_leaf=is_shape
    )
    return [jax.tree.map(lambda column, t=t: column[t], columns) for t in range(STEPS)]


def _largest_error(updates: list, truth: list, gradients: list) -> float:
    """The largest deviation of any leaf at any step, relative to its largest gradient so far."""
    worst = 0.0
    columns = (
        zip(*map(jax.tree.leaves, trees), strict=True) for trees in (updates, truth, gradients)
    )
    for update, exact, gradient in zip(*columns, strict=True):
        largest = 0.0
        for u, e, g in zip(update, exact, gradient, strict=True):
            if g.size == 0:
                assert u.shape == e.shape
                continue
            largest = max(largest, float(np.max(np.abs(g))))
            worst = max(worst, float(np.max(np.abs(np.asarray(u, np.float64) - e))) / largest)
    return worst


KINDS = ["random", "constant", "ramp", "sign_flipping", "heavy_tailed"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float64(name, kind, x64):
    gradients = _gradients(kind, np.float64)
    updates = run(OPTIMIZERS[name][0](1.0), gradients)
    assert updates[0]["scalar"].dtype == jnp.float64
    assert _largest_error(updates, expected(name, gradients), gradients) < 1e-12


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name.startswith("rsgdm")])
def test_float32(name, kind, decay):
    gradients = _gradients(kind, np.float32)
    updates = run(OPTIMIZERS[name][0](1.0, decay), gradients)
    assert updates[0]["scalar"].dtype == jnp.float32
    error = _largest_error(updates, expected(name, gradients, decay), gradients)
    assert error < 4 * np.finfo(np.float32).eps


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["sgdm", "nesterov"])
def test_float32_of_the_baselines(name, kind):
    # optax.trace rounds β itself, which weighs 1/(1−β) times as much as rounding 1−β does.
    gradients = _gradients(kind, np.float32)
    error = _largest_error(
        run(OPTIMIZERS[name][0](1.0), gradients), expected(name, gradients), gradients
    )
    assert error < 10 * np.finfo(np.float32).eps


def _loss_in_float32(name: str, decay: float, gradients: np.ndarray) -> float:
    """Root mean square of the last update's error, in units 2⁻²³ of the update's own."""
    optimizer = OPTIMIZERS[name][0](-1.0, decay)

    @jax.jit
    def last(gradients):
        state = optimizer.init(gradients[0])
        step = lambda state, g: optimizer.update(g, state)[::-1]  # noqa: E731
        return jax.lax.scan(step, state, gradients)[1][-1]

    (exact,) = deque(OPTIMIZERS[name][1](gradients.astype(np.float64), decay), maxlen=1)
    error = np.asarray(last(gradients), np.float64) - exact
    return float(np.sqrt(np.mean(error**2) / np.mean(exact**2)) / np.finfo(np.float32).eps)


# What the README says of a β near 1. The bounds leave room for other orders of summation.
@pytest.mark.parametrize("decay", [0.99, 0.999, 0.9999])
@pytest.mark.parametrize("name", ["rsgdm", "rsgdm_compact", "sgdm", "nesterov"])
def test_decay_near_one_on_noise_in_float32(name, decay):
    shape = (round(8 / (1 - decay)), 64)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    for gradients in (noise, 1 + noise / 10):
        loss = _loss_in_float32(name, decay, gradients)
        if name.startswith("rsgdm"):
            assert loss < 20
        else:
            assert 0.04 < loss * (1 - decay) < 0.2


@pytest.mark.parametrize("decay", [0.99, 0.999])
@pytest.mark.parametrize("name", ["rsgdm", "rsgdm_compact", "sgdm", "nesterov"])
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
        np.testing.assert_allclose(state.m, c, rtol=0, atol=1e-14)


def test_complex_gradients(x64):
    rng = np.random.default_rng(5)
    gradients = list(rng.standard_normal((STEPS, 3)) + 1j * rng.standard_normal((STEPS, 3)))
    for name, (factory, _) in OPTIMIZERS.items():
        for update, exact in zip(
            run(factory(1.0), gradients), expected(name, gradients), strict=True
        ):
            np.testing.assert_allclose(update, exact, rtol=0, atol=1e-12, err_msg=name)

"""Every optimizer against NumPy float64, over hundreds of steps, the first ones included."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax
from tests.library.optimizers import OPTIMIZERS

STEPS = 320
LAYERS = {
    "scalar": (),
    "empty": (0, 3),
    "none": None,
    "layers": [{"kernel": (3, 3, 2, 4), "bias": (4,)}, (5, 6)],
}
# What the gradients of one step are, and in which shapes.
KINDS = {
    "random": LAYERS,
    "complex": (4,),
    "constant": (4,),
    "ramp": (4,),
    "sign_flipping": (4,),
    "heavy_tailed": (4,),
}


def _sequence(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """STEPS gradients of one shape, time first."""
    base = rng.standard_normal(shape)
    time = np.arange(1, STEPS + 1).reshape((STEPS,) + (1,) * len(shape))
    match kind:
        case "random":
            return rng.standard_normal((STEPS, *shape))
        case "complex":
            return rng.standard_normal((STEPS, *shape)) + 1j * rng.standard_normal((STEPS, *shape))
        case "constant":
            return np.broadcast_to(base, (STEPS, *shape))
        case "ramp":
            return base * time
        case "sign_flipping":
            return base * (-1.0) ** time
        case "heavy_tailed":
            return rng.standard_t(1.1, (STEPS, *shape))
    raise AssertionError(kind)


def _gradients(precision: type) -> dict:
    """Trees by kind, of all steps' gradients."""
    rng = np.random.default_rng(7)

    def draw(kind, shape):
        sequence = _sequence(kind, shape, rng)
        return sequence.astype(np.result_type(precision, 1j) if kind == "complex" else precision)

    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    return {
        kind: jax.tree.map(lambda shape, kind=kind: draw(kind, shape), shapes, is_leaf=is_shape)
        for kind, shapes in KINDS.items()
    }


def _updates(optimizer: optax.GradientTransformation, gradients: dict) -> dict:
    """All steps' updates, from one compiled loop."""

    @jax.jit
    def loop(gradients):
        state = optimizer.init(jax.tree.map(lambda g: g[0], gradients))
        return jax.lax.scan(lambda state, g: optimizer.update(g, state)[::-1], state, gradients)[1]

    return loop(gradients)


def _largest_errors(name: str, decay: float, precision: type) -> dict[str, float]:
    """By kind: the largest deviation at any step, relative to the largest gradient so far."""
    gradients = _gradients(precision)
    updates = _updates(OPTIMIZERS[name][0](1.0, decay), gradients)
    errors = {}
    for kind in KINDS:
        errors[kind] = 0.0
        pairs = zip(jax.tree.leaves(gradients[kind]), jax.tree.leaves(updates[kind]), strict=True)
        for g, u in pairs:
            assert (u.shape, u.dtype) == (g.shape, g.dtype)
            if g.size == 0:
                continue
            wide = g.astype(np.complex128 if np.iscomplexobj(g) else np.float64)
            exact = -np.stack(list(OPTIMIZERS[name][1](wide, decay)))
            largest = np.maximum.accumulate(np.abs(g).reshape(STEPS, -1).max(axis=1))
            error = np.abs(np.asarray(u, exact.dtype) - exact).reshape(STEPS, -1).max(axis=1)
            errors[kind] = max(errors[kind], float(np.max(error / largest)))
    return errors


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float64(name, x64):
    errors = _largest_errors(name, 0.9, np.float64)
    assert {kind: error for kind, error in errors.items() if error >= 1e-13} == {}


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32(name, decay):
    errors = _largest_errors(name, decay, np.float32)
    bound = 4 * np.finfo(np.float32).eps
    assert {kind: error for kind, error in errors.items() if error >= bound} == {}


def _loss_in_float32(name: str, decay: float, gradients: np.ndarray) -> np.ndarray:
    """Root mean square of the last update's error, in units 2⁻²³ of the update's own; by column."""
    optimizer = OPTIMIZERS[name][0](-1.0, decay)
    last = np.asarray(_last_update(optimizer, gradients), np.float64)
    (exact,) = deque(OPTIMIZERS[name][1](gradients.astype(np.float64), decay), maxlen=1)
    loss = np.sqrt(np.mean((last - exact) ** 2, axis=0) / np.mean(exact**2, axis=0))
    return loss / np.finfo(np.float32).eps


def _last_update(optimizer: optax.GradientTransformation, gradients: np.ndarray) -> jax.Array:
    @jax.jit
    def last(gradients):
        state = optimizer.init(gradients[0])

        def step(carry, g):
            return optimizer.update(g, carry[1]), None

        return jax.lax.scan(step, (gradients[0], state), gradients)[0][0]

    return last(gradients)


NEAR_ONE = pytest.mark.parametrize("name", ["rsgdm", "rsgdm_compact", "sgdm", "nesterov"])


# What the README says of a β near 1. The bounds leave room for other orders of summation.
@pytest.mark.parametrize("decay", [0.99, 0.999, 0.9999])
@NEAR_ONE
def test_decay_near_one_on_noise_in_float32(name, decay):
    noise = np.random.default_rng(0).standard_normal((round(3 / (1 - decay)), 64), np.float32)
    gradients = np.stack([noise, 1 + noise / 10], axis=-1)
    assert np.all(_loss_in_float32(name, decay, gradients) < 20)


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

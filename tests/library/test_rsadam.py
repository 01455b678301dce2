"""RSAdam: against its float64 reference, and its exact relations to Adam, NAdam and Adan."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsgdm_optax import rsadam, scale_by_rsadam
from tests.library import reference

STEPS = 300
B1, B2 = 0.9, 0.999
END = B1 / (1 - B1)
CORRECTIONS = [None, 0.0, 0.45, 0.9, 2.0, 4.0, END]

START = pytest.mark.parametrize("first_difference", ["zero", "gradient"])


def _gradients(steps=STEPS):
    """Noise, a ramp and steps of changing size, none of them near zero throughout."""
    rng = np.random.default_rng(0)
    t = np.arange(1, steps + 1)
    return np.stack(
        [rng.standard_normal(steps), t / 10, rng.standard_t(1.5, steps), 3e-3 + 0 * t], 1
    )


def _updates(transformation, gradients):
    @jax.jit
    def loop(gradients):
        state = transformation.init(gradients[0])
        return jax.lax.scan(lambda s, g: transformation.update(g, s, g)[::-1], state, gradients)[1]

    return np.asarray(loop(jnp.asarray(gradients)))


def _reference(gradients, c, first_difference, **options):
    weight = lambda decay: decay if c is None else c  # noqa: E731
    return np.stack(
        list(
            reference.rsadam(
                gradients, B1, correction=weight, first_difference=first_difference, **options
            )
        )
    )


@START
@pytest.mark.parametrize("c", CORRECTIONS)
def test_float64(c, first_difference, x64):
    gradients = _gradients()
    ours = _updates(scale_by_rsadam(correction=c, first_difference=first_difference), gradients)
    exact = _reference(gradients, c, first_difference)
    np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-13 * np.max(np.abs(exact)))


@START
@pytest.mark.parametrize("c", CORRECTIONS)
def test_float32(c, first_difference):
    gradients = _gradients().astype(np.float32)
    ours = _updates(scale_by_rsadam(correction=c, first_difference=first_difference), gradients)
    exact = _reference(gradients.astype(np.float64), c, first_difference)
    assert ours.dtype == np.float32
    error = np.abs(ours - exact) / np.max(np.abs(exact), axis=0)
    assert np.max(error) < 16 * np.finfo(np.float32).eps


def test_every_number_counts(x64):
    gradients = _gradients(50)
    options = {"b2": 0.8, "eps": 0.3, "eps_root": 0.2}
    ours = _updates(scale_by_rsadam(B1, **options), gradients)
    exact = _reference(gradients, None, "zero", **options)
    np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-13)
    ours = _updates(scale_by_rsadam(B1, 0.8, 0.3, 0.2), gradients)
    np.testing.assert_array_equal(ours, _updates(scale_by_rsadam(B1, **options), gradients))


@pytest.mark.slow
@START
@pytest.mark.parametrize("number", [float, jnp.asarray], ids=["number", "array"])
def test_a_steady_gradient_comes_back_as_its_sign(first_difference, number):
    # In float32, from the first step on; and with a β so near 1 that 1 − β^t would cancel.
    for b1, b2 in [(0.0, 0.0), (0.3, 0.4), (0.9, 0.999), (0.999, 0.99999)]:
        for c in {0.0, b1 / 2, b1, 0.5 * b1 / (1 - b1), b1 / (1 - b1)}:
            transformation = scale_by_rsadam(
                number(b1),
                number(b2),
                eps=0.0,
                correction=number(c),
                first_difference=first_difference,
            )
            u = _updates(transformation, np.full((20, 1), -5.0, np.float32))
            atol = 8 * (1 + c) * np.finfo(np.float32).eps  # c·z takes back what it added
            np.testing.assert_allclose(u, -1.0, rtol=0, atol=atol, err_msg=f"{b1} {b2} {c}")


def _second_moment(gradients, b2=B2):
    """√v̂ of each step."""
    ones = np.ones_like(gradients)
    moments = zip(reference.sgdm(np.abs(gradients) ** 2, b2), reference.sgdm(ones, b2), strict=True)
    return np.stack([np.sqrt(v / total) for v, total in moments])


T = np.arange(1, STEPS + 1)[:, None]


def test_without_correction_it_is_adam(x64):
    gradients = _gradients()
    for first_difference in ("zero", "gradient"):
        ours = scale_by_rsadam(correction=0.0, first_difference=first_difference)
        theirs = _updates(optax.scale_by_adam(B1, B2), gradients)
        np.testing.assert_allclose(_updates(ours, gradients), theirs, rtol=0, atol=1e-13)
    # At the other end the gradient itself is the numerator.
    ours = scale_by_rsadam(correction=END, first_difference="gradient")
    theirs = _updates(optax.scale_by_adam(0.0, B2), gradients)
    np.testing.assert_allclose(_updates(ours, gradients), theirs, rtol=0, atol=1e-12)


def test_nadam_is_ahead_by_a_share_of_the_gradient(x64):
    gradients = _gradients()
    ours = _updates(scale_by_rsadam(first_difference="gradient"), gradients)
    nadam = _updates(optax.scale_by_adam(B1, B2, nesterov=True), gradients)
    share = (1 - B1) ** 2 * B1**T / ((1 - B1**T) * (1 - B1 ** (T + 1)))
    ahead = share * gradients / (_second_moment(gradients) + 1e-8)
    np.testing.assert_allclose(nadam - ours, ahead, rtol=0, atol=1e-13)
    assert math.isclose(1 + share[0, 0], 1.47, abs_tol=0.005)  # as the docstring says
    # With Δg₁ = 0 the first gradient is missing from the numerator, and the factor is another.
    zero = _updates(scale_by_rsadam(), gradients)
    missing = (1 - B1) * B1**T * gradients[0] / (_second_moment(gradients) + 1e-8)
    np.testing.assert_allclose(
        (1 - B1**T) * zero, (1 - B1 ** (T + 1)) * ours - missing, rtol=0, atol=1e-13
    )


def test_adan_differs_in_the_second_moment_alone(x64):
    # With decays of ½ it does not matter whether differences are weighed by b2 or by 1 − b2.
    gradients, half = _gradients(), 0.5
    differences = np.diff(gradients, axis=0, prepend=gradients[:1])
    adan = _updates(optax.scale_by_adan(half, half, B2), gradients)
    ours = _updates(scale_by_rsadam(half, B2), gradients)
    theirs = _second_moment(gradients + half * differences) + 1e-8
    numerators = adan * theirs, ours * (_second_moment(gradients) + 1e-8)
    largest = np.max(np.abs(gradients), axis=0)
    np.testing.assert_allclose(*(n / largest for n in numerators), rtol=0, atol=1e-13)
    parts = optax.chain(
        optax.scale_by_optimistic_gradient(1.0, half), optax.scale_by_adam(half, B2)
    )
    np.testing.assert_allclose(_updates(parts, gradients), adan, rtol=0, atol=1e-13)


def test_complex_gradients_as_adam(x64):
    rng = np.random.default_rng(1)
    gradients = rng.standard_normal((50, 3)) + 1j * rng.standard_normal((50, 3))
    theirs = _updates(optax.scale_by_adam(), gradients)
    np.testing.assert_allclose(
        _updates(scale_by_rsadam(correction=0.0), gradients), theirs, rtol=0, atol=1e-13
    )
    exact = _reference(gradients, None, "zero")
    np.testing.assert_allclose(_updates(scale_by_rsadam(), gradients), exact, rtol=0, atol=1e-13)


MASKS = {
    "everywhere": None,
    "tree": {"w": True, "b": False},
    "function": lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
}


@pytest.mark.parametrize("mask", MASKS)
def test_weight_decay_is_adamws(mask, x64):
    rng = np.random.default_rng(2)
    draw = lambda: {"w": jnp.asarray(rng.standard_normal((3, 2))), "b": jnp.asarray(rng.random(2))}  # noqa: E731
    gradients = [draw() for _ in range(6)]
    ours = rsadam(0.1, correction=0.0, weight_decay=0.3, mask=MASKS[mask])
    theirs = optax.adamw(0.1, weight_decay=0.3, mask=MASKS[mask])
    paths = []
    start = draw()
    for optimizer in (ours, theirs):
        params = start
        state = optimizer.init(params)
        for g in gradients:
            updates, state = optimizer.update(g, state, params)
            params = optax.apply_updates(params, updates)
        paths.append(params)
    for mine, wanted in zip(*map(jax.tree.leaves, paths), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-13)


def test_weight_decay_as_schedule_and_as_array():
    params = {"w": jnp.array([2.0, -4.0], jnp.bfloat16), "frozen": None}
    zero = {"w": jnp.zeros(2, jnp.bfloat16), "frozen": None}
    halves = lambda count: 2.0 ** -(count + 1)  # noqa: E731
    optimizer = rsadam(0.5, weight_decay=halves)
    injected = optax.inject_hyperparams(rsadam, hyperparam_dtype="float32")(
        0.5, weight_decay=halves
    )
    for each in (optimizer, injected):
        state = each.init(params)
        for strength in (0.5, 0.25):
            updates, state = each.update(zero, state, params)
            assert updates["w"].dtype == jnp.bfloat16
            np.testing.assert_array_equal(updates["w"], [-strength, 2 * strength])
            assert updates["frozen"] is None
    with pytest.raises(ValueError, match="Weight decay needs the parameters"):
        optimizer.update(zero, optimizer.init(params))
    bad = rsadam(0.5, weight_decay=lambda _: jnp.ones(2))
    with pytest.raises(ValueError, match="weight_decay must be a schedule of scalars"):
        bad.update(zero, bad.init(params), params)
    rsadam(0.5).update(zero, rsadam(0.5).init(params))  # nothing decays: none are needed


def test_everything_can_be_injected(x64):
    gradients = _gradients(20)
    numbers = {"b1": B1, "b2": 0.9, "eps": 0.3, "eps_root": 0.2, "correction": 2.0}
    optimizer = optax.inject_hyperparams(rsadam, hyperparam_dtype=jnp.float64)(-1.0, **numbers)
    exact = _reference(gradients, 2.0, "zero", b2=0.9, eps=0.3, eps_root=0.2)
    np.testing.assert_allclose(_updates(optimizer, gradients), exact, rtol=0, atol=1e-13)
    schedules = {name: lambda _, value=value: value for name, value in numbers.items()}
    optimizer = optax.inject_hyperparams(rsadam, hyperparam_dtype=jnp.float64)(-1.0, **schedules)
    np.testing.assert_allclose(_updates(optimizer, gradients), exact, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("argument", "allowed"),
    [
        ("b1", "[0, 1)"),
        ("b2", "[0, 1)"),
        ("eps", "finite real number of 0 or more"),
        ("eps_root", "finite real number of 0 or more"),
        ("correction", "None or a real number in [0, b1/(1-b1)] = [0, 9]"),
    ],
)
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "1", jnp.ones(1), 1j], ids=repr)
def test_arguments(argument, allowed, value):
    for factory in (scale_by_rsadam, functools.partial(rsadam, 0.1)):
        with pytest.raises(ValueError, match=re.escape(f"{argument} must be ")) as error:
            factory(**{argument: value})
        assert allowed in str(error.value)
        assert repr(value) in str(error.value)


@pytest.mark.parametrize("value", [math.nan, "0.1", jnp.ones(1)], ids=repr)
def test_weight_decay_that_is_none(value):
    with pytest.raises(ValueError, match="weight_decay must be a finite real number or a sched"):
        rsadam(0.1, weight_decay=value)


@pytest.mark.parametrize("first_difference", ["one", None])
def test_first_difference(first_difference):
    with pytest.raises(ValueError, match="first_difference must be 'zero' or 'gradient'"):
        rsadam(0.1, first_difference=first_difference)


def test_it_minimises_as_adam_does():
    rosenbrock = lambda p: 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2  # noqa: E731
    quadratic = lambda p: jnp.sum(jnp.array([1.0, 100.0]) * p**2)  # noqa: E731
    rate = optax.cosine_decay_schedule(0.05, 2000)
    for f in (rosenbrock, quadratic):
        reached = []
        for optimizer in (optax.adam(rate), rsadam(rate)):
            state = optimizer.init(jnp.array([-1.0, 1.0]))

            def step(carry, _, f=f, optimizer=optimizer):
                params, state = carry
                updates, state = optimizer.update(jax.grad(f)(params), state, params)
                return (optax.apply_updates(params, updates), state), None

            run = jax.jit(functools.partial(jax.lax.scan, step, length=2000))
            (params, _), _ = run((jnp.array([-1.0, 1.0]), state), None)
            reached.append(float(f(params)))
        assert max(reached) < 1e-4, reached


@pytest.mark.parametrize(
    ("dtype", "large"), [("float16", 9e3), ("float32", 2e19), ("bfloat16", 1e20)]
)
@pytest.mark.parametrize("c", [None, 0.0])
def test_an_overflow_of_the_second_moment_stops_as_in_adam(dtype, large, c):
    # Its square is beyond the dtype: updates are 0 from then on, not NaN.
    ours, adam = (
        _updates(transformation, jnp.array([1, large, 1, 1], dtype))
        for transformation in (scale_by_rsadam(correction=c), optax.scale_by_adam())
    )
    np.testing.assert_array_equal(ours[2:], 0)
    np.testing.assert_array_equal(adam[2:], 0)

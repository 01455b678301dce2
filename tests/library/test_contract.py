"""The contract: every optimizer × everything it must work with, several devices apart.

Updates are compared with the float64 reference, so that no check passes merely by running.
"""

import re
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.library.optimizers import (
    DECAY,
    OPTIMIZERS,
    RATE,
    STEPS,
    assert_close,
    expected,
    make,
    run,
)

pytestmark = pytest.mark.parametrize("name", OPTIMIZERS)


def _gradients(steps=STEPS, dtype=jnp.float32, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"w": (3, 4), "b": [(4,), None, ()]}
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    draw = lambda shape: jnp.asarray(rng.standard_normal(shape), dtype)  # noqa: E731
    return [jax.tree.map(draw, shapes, is_leaf=is_shape) for _ in range(steps)]


def _avals(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)


def test_jit_equals_no_jit_and_the_reference(name):
    gradients = _gradients()
    optimizer = make(name)
    state = optimizer.init(gradients[0])
    plain = []
    for g in gradients:
        update, state = optimizer.update(g, state)
        plain.append(update)
    assert_close(plain, expected(name, gradients, rate=RATE))
    assert_close(run(optimizer, gradients), expected(name, gradients, rate=RATE))


def test_second_call_does_not_recompile(name):
    # Weakly typed parameters, as jnp.asarray(1.0) makes them, are the usual way to go wrong.
    params = {"strong": jnp.ones(3), "weak": jnp.asarray(1.0)}
    optimizer = make(name)

    update = jax.jit(optimizer.update)
    gradient = jax.tree.map(lambda p: jnp.ones(p.shape, p.dtype), params)
    state = optimizer.init(params)
    for _ in range(3):
        before = _avals(state)
        _, state = update(gradient, state)
        assert _avals(state) == before
    assert update._cache_size() == 1


@pytest.mark.parametrize("decay", [None, 0.5])
def test_inject_hyperparams(name, decay):
    gradients = _gradients()
    # A dtype is callable, and inject_hyperparams would take it for a schedule.
    factory = optax.inject_hyperparams(OPTIMIZERS[name][0], static_args="accumulator_dtype")
    hyperparameters = {} if decay is None else {"decay": decay}
    optimizer = factory(1.0, accumulator_dtype=jnp.float32, **hyperparameters)
    state = optimizer.init(gradients[0])
    traces = []

    @jax.jit
    def update(g, state):
        traces.append(None)
        return optimizer.update(g, state, g)

    wanted = expected(name, gradients, decay=decay or DECAY)
    for t, g in enumerate(gradients):
        rate = 0.5**t
        state.hyperparams["learning_rate"] = jnp.asarray(rate, jnp.float32)
        updates, state = update(g, state)
        assert_close(updates, jax.tree.map(lambda n, rate=rate: rate * n, wanted[t]))
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("hyperparam_dtype", "decay"), [(None, float(jnp.bfloat16(0.9))), (jnp.float32, 0.9)]
)
def test_inject_hyperparams_and_bfloat16(name, hyperparam_dtype, decay):
    gradients = _gradients(dtype=jnp.bfloat16)
    inject = optax.inject_hyperparams(OPTIMIZERS[name][0], hyperparam_dtype=hyperparam_dtype)
    optimizer = inject(1.0, decay=0.9, accumulator_dtype="float32")
    rounded = float(jnp.finfo(jnp.bfloat16).eps)
    for updates, wanted in zip(
        run(optimizer, gradients, gradients[0]), expected(name, gradients, decay), strict=True
    ):
        assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}
        assert_close(updates, wanted, atol=rounded)
    state = optimizer.init(gradients[0])
    assert float(state.hyperparams["decay"]) == pytest.approx(decay, rel=1e-7)


def test_schedule(name):
    gradients = _gradients()
    schedule = optax.piecewise_constant_schedule(1.0, {4: 0.5, 8: 0.5})
    wanted = expected(name, gradients)
    for t, updates in enumerate(run(make(name, schedule), gradients)):
        rate = 0.5 ** (t // 4)
        assert_close(updates, jax.tree.map(lambda n, rate=rate: rate * n, wanted[t]))


def test_chain_with_weight_decay(name):
    gradients = _gradients()
    params = _gradients(1, seed=1)[0]
    optimizer = optax.chain(optax.add_decayed_weights(0.1), make(name))
    decayed = [jax.tree.map(lambda g, p: g + 0.1 * p, g, params) for g in gradients]
    assert_close(run(optimizer, gradients, params), expected(name, decayed, rate=RATE))


def test_vmap(name):
    lanes = [_gradients(seed=seed) for seed in range(3)]
    optimizer = make(name)
    stack = lambda *leaves: jnp.stack(leaves)  # noqa: E731
    batched = [jax.tree.map(stack, *rows) for rows in zip(*lanes, strict=True)]
    state = jax.vmap(optimizer.init)(batched[0])
    for t, g in enumerate(batched):
        updates, state = jax.vmap(optimizer.update)(g, state)
        for lane, gradients in enumerate(lanes):
            wanted = expected(name, gradients, rate=RATE)[t]
            assert_close(jax.tree.map(lambda x, lane=lane: x[lane], updates), wanted)


def test_scan(name):
    gradients = _gradients()
    optimizer = make(name)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients)

    def body(state, g):
        updates, state = optimizer.update(g, state)
        return state, updates

    _, updates = jax.lax.scan(body, optimizer.init(gradients[0]), stacked)
    for t, wanted in enumerate(expected(name, gradients, rate=RATE)):
        assert_close(jax.tree.map(lambda x, t=t: x[t], updates), wanted)


def test_gradient_through_the_update(name, x64):
    # θ ↦ loss after five steps on a quadratic: linear in θ, so a unit step is its exact derivative.
    optimizer = make(name)
    curvature = jnp.array([1.0, 3.0])

    def final(params):
        state = optimizer.init(params)
        for _ in range(5):
            updates, state = optimizer.update(curvature * params, state, params)
            params = optax.apply_updates(params, updates)
        return params

    start = jnp.array([0.3, -0.7])
    jacobian = jax.jit(jax.jacrev(final))(start)
    for k in range(2):
        unit = jnp.zeros(2).at[k].set(1.0)
        np.testing.assert_allclose(jacobian[:, k], final(start + unit) - final(start), atol=1e-14)
    assert np.all(np.abs(np.diag(jacobian)) > 0.1)


def test_donated_buffers(name):
    gradients = _gradients()
    wanted = expected(name, gradients, rate=RATE)
    optimizer = make(name)
    state = optimizer.init(gradients[0])
    update = jax.jit(optimizer.update, donate_argnums=(0, 1))
    for t, g in enumerate(gradients):
        old = jax.tree.leaves(state)
        updates, state = update(g, state)
        assert_close(updates, wanted[t])
        # Nothing of the old state may be in use still; on CPU donation is honoured.
        assert all(leaf.is_deleted() for leaf in old)


@pytest.mark.parametrize("gradients_are_arguments", [False, True])
def test_donated_buffers_are_not_copied(name, gradients_are_arguments):
    optimizer = make(name)

    def step(params, state, given):
        gradients = given if gradients_are_arguments else jnp.cos(params * given) * given
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    params = jnp.ones(4096)
    donated = (0, 1, 2) if gradients_are_arguments else (0, 1)
    program = jax.jit(step, donate_argnums=donated, keep_unused=True)
    with warnings.catch_warnings():  # no result takes the place of the gradients
        warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
        compiled = program.lower(params, optimizer.init(params), params).compile()
    assert "[4096]" in compiled.as_text()
    assert not re.findall(r"= \w+\[4096\]\S* copy\(", compiled.as_text())


def test_masked(name):
    gradients = _gradients()
    mask = {"w": True, "b": [False, None, False]}
    updates = run(optax.masked(make(name), mask), gradients)
    for t, wanted in enumerate(expected(name, gradients, rate=RATE)):
        assert_close(updates[t]["w"], wanted["w"])
        chex.assert_trees_all_equal(updates[t]["b"], gradients[t]["b"])


def test_partition(name):
    gradients = _gradients()
    optimizer = optax.partition(
        {"ours": make(name), "frozen": optax.set_to_zero()},
        {"w": "ours", "b": ["frozen", None, "ours"]},
    )
    updates = run(optimizer, gradients)
    for t, wanted in enumerate(expected(name, gradients, rate=RATE)):
        assert_close(updates[t]["w"], wanted["w"])
        assert_close(updates[t]["b"][2], wanted["b"][2])
        np.testing.assert_array_equal(updates[t]["b"][0], 0.0)


def test_multi_steps(name):
    gradients = _gradients()
    optimizer = optax.MultiSteps(make(name), every_k_schedule=2).gradient_transformation()
    updates = run(optimizer, gradients)
    pairs = zip(gradients[::2], gradients[1::2], strict=True)
    means = [jax.tree.map(lambda a, b: (a + b) / 2, *pair) for pair in pairs]
    assert_close(updates[1::2], expected(name, means, rate=RATE))
    for skipped in updates[::2]:
        chex.assert_trees_all_equal(skipped, jax.tree.map(jnp.zeros_like, skipped))


def test_apply_if_finite(name):
    gradients = _gradients()
    broken = jax.tree.map(lambda g: g * jnp.nan, gradients[0])
    optimizer = optax.apply_if_finite(make(name), max_consecutive_errors=3)
    updates = run(optimizer, [*gradients[:5], broken, *gradients[5:]])
    assert_close(updates[:5] + updates[6:], expected(name, gradients, rate=RATE))
    chex.assert_trees_all_equal(updates[5], jax.tree.map(jnp.zeros_like, updates[5]))


def test_lookahead(name):
    # Fast weights take our steps; every third step both fall back to the slow ones' new place.
    gradients = _gradients()
    start = _gradients(1, seed=1)[0]
    optimizer = optax.lookahead(make(name), sync_period=3, slow_step_size=0.5)
    params = optax.LookaheadParams.init_synced(start)
    state = optimizer.init(params)
    fast = slow = jax.tree.map(lambda p: np.asarray(p, np.float64), start)
    for t, step in enumerate(expected(name, gradients, rate=RATE)):
        updates, state = jax.jit(optimizer.update)(gradients[t], state, params)
        params = optax.apply_updates(params, updates)
        fast = jax.tree.map(np.add, fast, step)
        if t % 3 == 2:
            fast = slow = jax.tree.map(lambda s, f: s + 0.5 * (f - s), slow, fast)
        assert_close(params.fast, fast)
        assert_close(params.slow, slow)


def test_tree_get(name):
    gradients = _gradients()
    optimizer = optax.chain(optax.clip_by_global_norm(1e6), make(name))
    state = optimizer.init(gradients[0])
    for g in gradients:
        _, state = optimizer.update(g, state)
    field = "m" if name.startswith("rsgdm") else "trace"
    chex.assert_trees_all_equal_shapes(optax.tree.get(state, field), gradients[0])
    if name.startswith("rsgdm"):
        assert int(optax.tree.get(state, "count")) == STEPS
    if name in ("rsgdm", "rsgdm_gradient"):
        chex.assert_trees_all_equal(optax.tree.get(state, "previous_gradient"), gradients[-1])


def test_map_params(name):
    params = _gradients(1)[0]
    optimizer = make(name)
    state = optimizer.init(params)
    mapped = optax.tree.map_params(optimizer, lambda leaf: leaf + 1.0, state)
    buffers = {"rsgdm": 3, "rsgdm_gradient": 3}.get(name, 1)
    changed = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(mapped))
    assert changed == buffers * sum(leaf.size for leaf in jax.tree.leaves(params))


def test_abstract_init(name):
    params = _gradients(1)[0]
    abstract = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params)
    optimizer = make(name)
    state = optimizer.init(params)
    chex.assert_trees_all_equal(optimizer.init(abstract), state)
    assert jax.eval_shape(optimizer.init, abstract) == jax.eval_shape(lambda: state)


def test_python_scalars_as_parameters(name):
    optimizer = make(name)
    state = optimizer.init({"a": 1.0})
    for t, wanted in enumerate(expected(name, [{"a": np.float32(t)} for t in range(5)], rate=RATE)):
        updates, state = optimizer.update({"a": jnp.float32(t)}, state)
        assert_close(updates, wanted)


def test_strict_dtype_promotion(name):
    with jax.numpy_dtype_promotion("strict"):
        gradients = _gradients(dtype=jnp.bfloat16)
        optimizer = make(name)
        state = optimizer.init(gradients[0])
        for g in gradients:
            updates, state = optimizer.update(g, state)
    wanted = expected(name, gradients, rate=RATE)[-1]
    assert_close(updates, wanted, atol=2 * RATE * float(jnp.finfo(jnp.bfloat16).eps))


DTYPES = {
    "float16": ["float16", "bfloat16", "float32"],
    "bfloat16": ["bfloat16", "float16", "float32"],
    "float32": ["float32", "bfloat16", "float64"],
    "float64": ["float64", "float32"],
    "complex64": ["complex64", "complex128"],
}
CASES = [(dtype, acc) for dtype, accs in DTYPES.items() for acc in (None, *accs)]


@pytest.mark.parametrize(("dtype", "accumulator_dtype"), CASES)
def test_dtypes(name, dtype, accumulator_dtype, x64):
    gradients = _gradients(dtype=dtype)
    optimizer = make(name, accumulator_dtype=accumulator_dtype)
    state = optimizer.init(gradients[0])
    before = _avals(state)
    buffer_dtype = jnp.dtype(accumulator_dtype or dtype)
    for leaf in jax.tree.leaves(state):
        assert leaf.dtype in (buffer_dtype, jnp.int32)
    update = jax.jit(optimizer.update)
    # The update is rounded to the gradient's dtype, twice (the average, its product with the
    # rate); every buffer to its own, with an error that a memory of ten steps adds up.
    eps, buffer_eps = (float(jnp.finfo(d).eps) for d in (dtype, buffer_dtype))
    for g, wanted in zip(gradients, expected(name, gradients, rate=RATE), strict=True):
        updates, state = update(g, state)
        assert _avals(state) == before
        for leaf, exact in zip(jax.tree.leaves(updates), jax.tree.leaves(wanted), strict=True):
            assert leaf.dtype == dtype
            wide = np.asarray(leaf, exact.dtype)
            atol = RATE * max(4 * buffer_eps, 8 * np.finfo(np.float32).eps)
            np.testing.assert_allclose(wide, exact, rtol=2 * eps, atol=atol)


@pytest.mark.parametrize(
    ("params_dtype", "gradient_dtype"), [("float32", "bfloat16"), ("bfloat16", "float32")]
)
def test_gradients_of_another_dtype_than_the_parameters(name, params_dtype, gradient_dtype):
    params = _gradients(1, params_dtype)[0]
    optimizer = make(name)
    state = optimizer.init(params)
    before = _avals(state)
    gradients = _gradients(3, gradient_dtype)
    for g, wanted in zip(gradients, expected(name, gradients, rate=RATE), strict=True):
        updates, state = optimizer.update(g, state, params)
        assert _avals(state) == before
        assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(gradient_dtype)}
        assert_close(updates, wanted, atol=2 * RATE * float(jnp.finfo(jnp.bfloat16).eps))


@pytest.mark.parametrize("number", [np.float64, float], ids=["numpy", "python"])
def test_gradients_that_are_not_jax_arrays(name, number):
    values = np.random.default_rng(0).standard_normal(STEPS)
    optimizer = make(name)
    state = optimizer.init({"a": number(1.0)})
    for t, wanted in enumerate(expected(name, [{"a": np.float64(v)} for v in values], rate=RATE)):
        updates, state = optimizer.update({"a": number(values[t])}, state)
        assert updates["a"].dtype == jnp.float32
        assert_close(updates, wanted)


def test_float16_does_not_overflow_in_the_average(name):
    # Heavy-ball buffers are 1/(1−β) times as large as the gradients.
    gradients = [{"a": np.full(3, 1e4, np.float16)} for _ in range(60)]
    updates = run(make(name, 1e-3), gradients)
    np.testing.assert_allclose(updates[-1]["a"], -10.0, rtol=0.05)

"""The contract: every optimizer × the transformations and wrappers it must work in.

Their states are in test_state.py, leaves of all kinds in test_leaves.py, several devices in
test_devices.py.

Updates are compared with the float64 reference, so that no check passes merely by running.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.library.optimizers import (
    DECAY,
    LINEAR,
    OPTIMIZERS,
    RATE,
    assert_close,
    expected,
    make,
    run,
)
from tests.library.trees import draw

pytestmark = pytest.mark.parametrize("name", OPTIMIZERS)


def test_jit_equals_no_jit_and_the_reference(name):
    gradients = draw()
    optimizer = make(name)
    state = optimizer.init(gradients[0])
    plain = []
    for g in gradients:
        update, state = optimizer.update(g, state)
        plain.append(update)
    assert_close(plain, expected(name, gradients, rate=RATE))
    assert_close(run(optimizer, gradients), expected(name, gradients, rate=RATE))


@pytest.mark.parametrize("decay", [None, 0.5])
def test_inject_hyperparams(name, decay):
    gradients = draw()
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
    gradients = draw(dtype=jnp.bfloat16)
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
    gradients = draw()
    schedule = optax.piecewise_constant_schedule(1.0, {4: 0.5, 8: 0.5})
    wanted = expected(name, gradients)
    for t, updates in enumerate(run(make(name, schedule), gradients)):
        rate = 0.5 ** (t // 4)
        assert_close(updates, jax.tree.map(lambda n, rate=rate: rate * n, wanted[t]))


def test_chain_with_weight_decay(name):
    gradients = draw()
    params = draw(1, seed=1)[0]
    optimizer = optax.chain(optax.add_decayed_weights(0.1), make(name))
    decayed = [jax.tree.map(lambda g, p: g + 0.1 * p, g, params) for g in gradients]
    assert_close(run(optimizer, gradients, params), expected(name, decayed, rate=RATE))


def test_vmap(name):
    lanes = [draw(seed=seed) for seed in range(3)]
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
    gradients = draw()
    optimizer = make(name)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients)

    def body(state, g):
        updates, state = optimizer.update(g, state)
        return state, updates

    _, updates = jax.lax.scan(body, optimizer.init(gradients[0]), stacked)
    for t, wanted in enumerate(expected(name, gradients, rate=RATE)):
        assert_close(jax.tree.map(lambda x, t=t: x[t], updates), wanted)


def test_gradient_through_the_update(name, x64):
    # θ ↦ θ after five steps on a quadratic. If it is linear, any step gives its derivative.
    half, atol = (1.0, 1e-14) if name in LINEAR else (1e-5, 1e-9)
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
        step = jnp.zeros(2).at[k].set(half)
        wanted = (final(start + step) - final(start - step)) / (2 * half)
        np.testing.assert_allclose(jacobian[:, k], wanted, rtol=0, atol=atol)
    assert np.all(np.abs(np.diag(jacobian)) > 0.1)


def test_masked(name):
    gradients = draw()
    mask = {"w": True, "b": [False, None, False]}
    updates = run(optax.masked(make(name), mask), gradients)
    for t, wanted in enumerate(expected(name, gradients, rate=RATE)):
        assert_close(updates[t]["w"], wanted["w"])
        chex.assert_trees_all_equal(updates[t]["b"], gradients[t]["b"])


def test_partition(name):
    gradients = draw()
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
    gradients = draw()
    optimizer = optax.MultiSteps(make(name), every_k_schedule=2).gradient_transformation()
    updates = run(optimizer, gradients)
    pairs = zip(gradients[::2], gradients[1::2], strict=True)
    means = [jax.tree.map(lambda a, b: (a + b) / 2, *pair) for pair in pairs]
    assert_close(updates[1::2], expected(name, means, rate=RATE))
    for skipped in updates[::2]:
        chex.assert_trees_all_equal(skipped, jax.tree.map(jnp.zeros_like, skipped))


def test_apply_if_finite(name):
    gradients = draw()
    broken = jax.tree.map(lambda g: g * jnp.nan, gradients[0])
    optimizer = optax.apply_if_finite(make(name), max_consecutive_errors=3)
    updates = run(optimizer, [*gradients[:5], broken, *gradients[5:]])
    assert_close(updates[:5] + updates[6:], expected(name, gradients, rate=RATE))
    chex.assert_trees_all_equal(updates[5], jax.tree.map(jnp.zeros_like, updates[5]))


def test_lookahead(name):
    # Fast weights take our steps; every third step both fall back to the slow ones' new place.
    gradients = draw()
    start = draw(1, seed=1)[0]
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


def test_extra_arguments_are_accepted_and_handed_on(name):
    # Solvers that optimize by line search or polyak steps pass these to every optimizer.
    gradients = draw(2)
    extra = {"value": 2.0, "grad": gradients[0], "value_fn": jnp.sum}

    def times_value(updates, state, params=None, *, value, **extra_args):
        return jax.tree.map(lambda u: value * u, updates), state

    scale = optax.GradientTransformationExtraArgs(optax.identity().init, times_value)
    wanted = expected(name, gradients, rate=RATE)
    for optimizer in (
        make(name),
        optax.inject_hyperparams(OPTIMIZERS[name][0])(RATE),
        optax.apply_if_finite(make(name), 3),
        optax.masked(make(name), {"w": True, "b": True}),
    ):
        assert isinstance(optimizer, optax.GradientTransformationExtraArgs)
        state = optimizer.init(gradients[0])
        for g, update in zip(gradients, wanted, strict=True):
            updates, state = optimizer.update(g, state, g, **extra)
            assert_close(updates, update)
    chain = optax.chain(make(name), scale)
    updates, _ = chain.update(gradients[0], chain.init(gradients[0]), gradients[0], **extra)
    assert_close(updates, jax.tree.map(lambda u: 2 * u, wanted[0]))


def test_under_the_strictest_settings(name):
    gradients = draw(3)
    optimizer = make(name, optax.linear_schedule(RATE, RATE, 9))
    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.debug_nans(True),
        jax.checking_leaks(),
    ):
        assert_close(run(optimizer, gradients), expected(name, gradients, rate=RATE))

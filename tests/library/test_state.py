"""The contract of every optimizer's state: constant, donated, looked into, kept and restored."""

import re
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.library.optimizers import (
    LINEAR,
    OPTIMIZERS,
    RATE,
    STEPS,
    assert_close,
    expected,
    make,
)
from tests.library.trees import avals, draw

pytestmark = pytest.mark.parametrize("name", OPTIMIZERS)


def test_second_call_does_not_recompile(name):
    # Weakly typed parameters, as jnp.asarray(1.0) makes them, are the usual way to go wrong.
    params = {"strong": jnp.ones(3), "weak": jnp.asarray(1.0)}
    optimizer = make(name)

    update = jax.jit(optimizer.update)
    gradient = jax.tree.map(lambda p: jnp.ones(p.shape, p.dtype), params)
    state = optimizer.init(params)
    for _ in range(3):
        before = avals(state)
        _, state = update(gradient, state)
        assert avals(state) == before
    assert update._cache_size() == 1


def test_donated_buffers(name):
    gradients = draw()
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


def test_tree_get(name):
    gradients = draw()
    optimizer = optax.chain(optax.clip_by_global_norm(1e6), make(name))
    state = optimizer.init(gradients[0])
    for g in gradients:
        _, state = optimizer.update(g, state)
    field = "c" if name.startswith(("rsgdm_compact", "rsadam")) else "m"
    field = "s" if name.startswith("linear") else field
    chex.assert_trees_all_equal_shapes(optax.tree.get(state, field), gradients[0])
    if name.startswith(("rs", "linear")):
        assert int(optax.tree.get(state, "count")) == STEPS
    if name in ("rsgdm", "rsgdm_bold"):
        chex.assert_trees_all_equal(optax.tree.get(state, "previous_gradient"), gradients[-1])


def test_map_params(name):
    params = draw(1)[0]
    optimizer = make(name)
    state = optimizer.init(params)
    mapped = optax.tree.map_params(optimizer, lambda leaf: leaf + 1.0, state)
    buffers = {"rsgdm": 3, "rsgdm_bold": 3, "rsadam": 2, "rsadam_bold": 2}.get(name, 1)
    changed = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(mapped))
    assert changed == buffers * sum(leaf.size for leaf in jax.tree.leaves(params))


def test_abstract_init(name):
    params = draw(1)[0]
    abstract = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params)
    optimizer = make(name)
    state = optimizer.init(params)
    chex.assert_trees_all_equal(optimizer.init(abstract), state)
    assert jax.eval_shape(optimizer.init, abstract) == jax.eval_shape(lambda: state)


def test_a_state_from_json_goes_on_to_the_bit(name, x64):
    # JSON makes Python's numbers of counters and scalars, and those are 64 bits wide here.
    gradients = draw(6, "bfloat16")
    for optimizer in (
        make(name),
        make(name, optax.linear_schedule(0.1, 0.5, 9)),
        optax.inject_hyperparams(OPTIMIZERS[name][0])(RATE, accumulator_dtype="float32"),
    ):
        state = optimizer.init(gradients[0])
        for g in gradients[:3]:
            _, state = optimizer.update(g, state, g)
        restored = jax.tree.map(
            lambda x: x.item() if x.ndim == 0 else np.asarray(x, np.asarray(x).dtype), state
        )
        for g in gradients[3:]:
            updates, state = optimizer.update(g, state, g)
            again, restored = optimizer.update(g, restored, g)
            chex.assert_trees_all_equal(again, updates)
            chex.assert_trees_all_equal(restored, state)
            ours = [getattr(s, "inner_state", s) for s in (restored, state)]
            chex.assert_trees_all_equal_dtypes(*ours)


def test_the_counter_stops_at_its_largest(name):
    # Overflown, it would come by zero again, where the first gradient is another one.
    gradients = draw(3)
    optimizer = make(name, lambda count: jnp.where(count < 0, jnp.nan, RATE))
    state = optimizer.init(gradients[0])
    _, state = optimizer.update(gradients[0], state)
    largest = jnp.iinfo(jnp.int32).max
    state = jax.tree.map(lambda x: x * 0 + largest if x.dtype == jnp.int32 else x, state)
    for g, wanted in zip(gradients[1:], expected(name, gradients, rate=RATE)[1:], strict=True):
        updates, state = optimizer.update(g, state)
        if name in LINEAR:  # else the count is in the numbers too, as in optax.adam
            assert_close(updates, wanted)
        assert all(leaf == largest for leaf in jax.tree.leaves(state) if leaf.dtype == jnp.int32)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(updates))

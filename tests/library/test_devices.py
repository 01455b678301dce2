"""Every optimizer on several devices: sharded, mapped, and committed to one of them.

There are eight virtual ones. Waiting for each step keeps them from starving each other.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.library.optimizers import OPTIMIZERS, RATE, STEPS, assert_close, expected, make

pytestmark = pytest.mark.parametrize("name", OPTIMIZERS)


def _sharded(axis_type):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(axis_type,))
    # Rows over the devices; each mode has its own normal form of trailing unsharded axes.
    padded = axis_type == AxisType.Explicit
    spec = {
        "w": PartitionSpec("x", *[None] * padded),
        "b": PartitionSpec(*[None] * padded),
    }
    return mesh, {k: NamedSharding(mesh, s) for k, s in spec.items()}


def _wide_gradients():
    rng = np.random.default_rng(0)
    return [
        {
            "w": rng.standard_normal((16, 3)).astype(np.float32),
            "b": rng.standard_normal(3).astype(np.float32),
        }
        for _ in range(STEPS)
    ]


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_sharding_over_eight_devices(name, axis_type):
    mesh, shardings = _sharded(axis_type)
    mesh_devices = set(mesh.devices.flat)
    gradients = _wide_gradients()
    optimizer = make(name, lambda _: RATE)  # a schedule, which has a counter too
    params = jax.device_put(gradients[0], shardings)
    abstract = jax.tree.map(
        lambda p, s: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=s), params, shardings
    )
    update = jax.jit(optimizer.update)
    for state in (optimizer.init(params), optimizer.init(abstract)):
        assert all(leaf.sharding.device_set == mesh_devices for leaf in jax.tree.leaves(state))
        before = jax.tree.map(lambda leaf: leaf.sharding, state)
        for g, wanted in zip(gradients, expected(name, gradients, rate=RATE), strict=True):
            updates, state = jax.block_until_ready(update(jax.device_put(g, shardings), state))
            assert_close(updates, wanted)
            assert updates["w"].sharding == shardings["w"]
            assert jax.tree.map(lambda leaf: leaf.sharding, state) == before
        rows = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (16, 3)]
        assert rows
        assert all(leaf.addressable_shards[0].data.shape == (2, 3) for leaf in rows)
    assert update._cache_size() == 1


def test_parameters_put_on_one_device(name):
    # Committed to it, as after jax.device_put; and not to the default one.
    device = jax.devices()[3]
    params = jax.device_put({"w": jnp.ones((4, 3))}, device)
    optimizer = make(name, lambda _: RATE)
    update = jax.jit(optimizer.update)
    state = optimizer.init(params)
    for _ in range(3):
        assert all(leaf.devices() == {device} for leaf in jax.tree.leaves(state))
        _, state = update(params, state)
    assert update._cache_size() == 1


def test_shard_map(name):
    mesh, _ = _sharded(AxisType.Auto)
    gradients = [g["w"] for g in _wide_gradients()]
    optimizer = make(name)
    state = optimizer.init(jnp.asarray(gradients[0]))
    rows, whole = PartitionSpec("x"), PartitionSpec()
    specs = jax.tree.map(lambda leaf: rows if leaf.ndim else whole, state)
    update = jax.jit(
        jax.shard_map(optimizer.update, mesh=mesh, in_specs=(rows, specs), out_specs=(rows, specs))
    )
    for g, wanted in zip(gradients, expected(name, gradients, rate=RATE), strict=True):
        updates, state = jax.block_until_ready(update(g, state))
        assert_close(updates, wanted)


def test_pmap(name):
    gradients = [g["w"].reshape(8, 2, 3) for g in _wide_gradients()]
    optimizer = make(name)
    state = jax.pmap(optimizer.init)(gradients[0])
    update = jax.pmap(optimizer.update)
    for g, wanted in zip(gradients, expected(name, gradients, rate=RATE), strict=True):
        updates, state = jax.block_until_ready(update(g, state))
        assert_close(updates, wanted)


def _mesh(axis_type):
    return jax.make_mesh((4, 2), ("x", "y"), axis_types=(axis_type,) * 2)


def _rows(steps=3):
    rng = np.random.default_rng(1)
    return list(rng.standard_normal((steps, 8, 4)).astype(np.float32))


UNEQUAL = {
    "replicated": PartitionSpec(None, None),
    "turned": PartitionSpec("y", "x"),
    "one axis": PartitionSpec(("x", "y"), None),
    "not put": None,
}


EAGER_AND_JIT = pytest.mark.parametrize("jit", [lambda f: f, jax.jit], ids=["eager", "jit"])


@EAGER_AND_JIT
@pytest.mark.parametrize("unequal", UNEQUAL)
def test_explicit_sharding_unequal_to_the_gradients(name, unequal, jit):
    mesh = _mesh(AxisType.Explicit)
    ours = NamedSharding(mesh, PartitionSpec("x", "y"))
    spec = UNEQUAL[unequal]
    gradients = _rows()
    params = jax.device_put(np.ones((8, 4), np.float32), ours)
    optimizer = make(name)
    if unequal == "replicated":  # a decay that is an array must not be in the way either
        optimizer = optax.inject_hyperparams(OPTIMIZERS[name][0])(RATE)

    @jit
    def step(g, state):
        updates, state = optimizer.update(g, state, params)
        return updates, state, optax.apply_updates(params, updates)

    state = optimizer.init(params)
    before = _shardings(state)
    for g, wanted in zip(gradients, expected(name, gradients, rate=RATE), strict=True):
        g = g if spec is None else jax.device_put(g, NamedSharding(mesh, spec))
        updates, state, after = step(g, state)
        assert_close(updates, wanted)
        assert after.sharding == ours
        assert _shardings(state) == before


def _shardings(state):
    """Of all leaves but what optax.inject_hyperparams itself keeps."""
    return jax.tree.map(lambda leaf: leaf.sharding, getattr(state, "inner_state", state))


@EAGER_AND_JIT
@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_numpy_state_with_sharded_gradients(name, axis_type, jit):
    # As from a checkpoint that keeps no shardings.
    ours = NamedSharding(_mesh(axis_type), PartitionSpec("x", "y"))
    gradients = _rows()
    optimizer = make(name)
    state = jax.tree.map(np.asarray, optimizer.init(gradients[0]))
    update = jit(optimizer.update)
    for g, wanted in zip(gradients, expected(name, gradients, rate=RATE), strict=True):
        updates, state = update(jax.device_put(g, ours), state)
        assert_close(updates, wanted)
        assert updates.sharding == ours


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_init_under_jit_with_out_shardings(name, axis_type):
    # What the docstring of scale_by_rsgdm shows.
    mesh = _mesh(axis_type)
    ours = NamedSharding(mesh, PartitionSpec("x", "y"))
    replicated = NamedSharding(mesh, PartitionSpec())
    params = {"w": jax.device_put(_rows()[0], ours)}
    optimizer = make(name, lambda _: RATE)
    shardings = optax.tree.map_params(
        optimizer,
        lambda _, sharding: sharding,
        jax.eval_shape(optimizer.init, params),
        {"w": ours},
        transform_non_params=lambda _: replicated,
    )
    state = jax.jit(optimizer.init, out_shardings=shardings)(params)
    wanted = optimizer.init(params)
    for leaf, eager in zip(jax.tree.leaves(state), jax.tree.leaves(wanted), strict=True):
        assert leaf.sharding.is_equivalent_to(eager.sharding, leaf.ndim)
        np.testing.assert_array_equal(leaf, eager)


@pytest.mark.parametrize("is_committed", [True, False])
def test_one_leaf_a_device(name, is_committed):
    last = jax.devices()[5] if is_committed else None
    devices = dict(zip("abc", [*jax.devices()[3:5], last], strict=True))
    gradients = [dict(zip("abc", g, strict=False)) for g in _rows()]
    put = lambda g: {k: jax.device_put(v, devices[k]) for k, v in g.items()}  # noqa: E731
    places = lambda tree: {k: (x.device, x.committed) for k, x in tree.items()}  # noqa: E731
    optimizer = make(name, lambda _: RATE)
    state = optimizer.init(put(gradients[0]))
    for g, wanted in zip(gradients, expected(name, gradients, rate=RATE), strict=True):
        updates, state = optimizer.update(put(g), state)
        assert_close(updates, wanted)
        buffers = [getattr(state[0], field) for field in state[0]._fields if field != "count"]
        assert all(places(tree) == places(put(g)) for tree in (updates, *buffers))
    counts = [leaf for leaf in jax.tree.leaves(state) if leaf.dtype == jnp.int32]
    assert counts
    assert not any(leaf.committed for leaf in counts)

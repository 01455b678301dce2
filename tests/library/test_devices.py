"""Every optimizer on several devices: sharded, mapped, and committed to one of them.

There are eight virtual ones. Waiting for each step keeps them from starving each other.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.library.optimizers import OPTIMIZERS, RATE, STEPS, assert_close, expected, make

pytestmark = pytest.mark.parametrize("name", OPTIMIZERS)


def _sharded(axis_type):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(axis_type,))
    # Rows over the devices; each mode has its own normal form of trailing unsharded axes.
    padded = axis_type == jax.sharding.AxisType.Explicit
    spec = {
        "w": jax.sharding.PartitionSpec("x", *[None] * padded),
        "b": jax.sharding.PartitionSpec(*[None] * padded),
    }
    return mesh, {k: jax.sharding.NamedSharding(mesh, s) for k, s in spec.items()}


def _wide_gradients():
    rng = np.random.default_rng(0)
    return [
        {
            "w": rng.standard_normal((16, 3)).astype(np.float32),
            "b": rng.standard_normal(3).astype(np.float32),
        }
        for _ in range(STEPS)
    ]


@pytest.mark.parametrize("axis_type", ["Auto", "Explicit"])
@pytest.mark.parametrize("rate", [RATE, lambda _: RATE], ids=["rate", "schedule"])
def test_sharding_over_eight_devices(name, axis_type, rate):
    mesh, shardings = _sharded(getattr(jax.sharding.AxisType, axis_type))
    mesh_devices = set(mesh.devices.flat)
    gradients = _wide_gradients()
    optimizer = make(name, rate)
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


@pytest.mark.parametrize("rate", [RATE, lambda _: RATE], ids=["rate", "schedule"])
def test_parameters_put_on_one_device(name, rate):
    # Committed to it, as after jax.device_put; and not to the default one.
    device = jax.devices()[3]
    params = jax.device_put({"w": jnp.ones((4, 3))}, device)
    optimizer = make(name, rate)
    update = jax.jit(optimizer.update)
    state = optimizer.init(params)
    for _ in range(3):
        assert all(leaf.devices() == {device} for leaf in jax.tree.leaves(state))
        _, state = update(params, state)
    assert update._cache_size() == 1


def test_shard_map(name):
    mesh, _ = _sharded(jax.sharding.AxisType.Auto)
    gradients = [g["w"] for g in _wide_gradients()]
    optimizer = make(name)
    state = optimizer.init(jnp.asarray(gradients[0]))
    rows, whole = jax.sharding.PartitionSpec("x"), jax.sharding.PartitionSpec()
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

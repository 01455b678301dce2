"""The contract, leaf by leaf: dtypes, containers, None, and what no average can hold.

Every optimizer here is one of `OPTIMIZERS`; updates are compared with the float64 reference.
"""

import datetime as dt
import re

import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from tests.library.optimizers import (
    ADAMS,
    LINEAR,
    OPTIMIZERS,
    RATE,
    STEPS,
    assert_close,
    expected,
    make,
)
from tests.library.trees import CONTAINERS, Frozen, Module, avals, draw

pytestmark = pytest.mark.parametrize("name", OPTIMIZERS)

BFLOAT16 = float(jnp.finfo(jnp.bfloat16).eps)


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers(name, container):
    trees = [CONTAINERS[container](g["w"], g["b"][0]) for g in draw(3)]
    optimizer = make(name)
    state = optimizer.init(trees[0])
    for tree, wanted in zip(trees, expected(name, trees, rate=RATE), strict=True):
        # Parameters of any other structure do not matter.
        updates, state = optimizer.update(tree, state, Frozen({"other": [jnp.sin, "x", None]}))
        assert_close(updates, wanted)
        assert jax.tree.structure(state) == jax.tree.structure(optimizer.init(trees[0]))


def test_a_model_with_functions_among_its_leaves(name):
    # As with Equinox: the filtered model has None in place of the function, so has the gradient.
    model = Module(jnp.ones((2, 3)), jnp.tanh, 3)
    arrays = Module(model.weight, None, 3)
    trees = [Module(g["w"][:2, :3], None, 3) for g in draw(3)]
    optimizer = make(name)
    state = optimizer.init(arrays)
    for tree, wanted in zip(trees, expected(name, trees, rate=RATE), strict=True):
        updates, state = optimizer.update(tree, state, model)
        assert_close(updates, wanted)
    with _refuses("parameter", ".activation", "type "):
        optimizer.init(model)


@pytest.mark.parametrize("jit", [lambda function: function, jax.jit])
def test_none_in_place_of_a_gradient(name, jit):
    gradients = draw(4)
    optimizer = make(name)
    update = jit(optimizer.update)
    state = optimizer.init(gradients[0])
    _, before = update(gradients[0], state)
    updates, state = update({**gradients[1], "b": None}, before)
    assert updates["b"] is None
    # What had no gradient is as if the step had not been; the rest goes on.
    for path, leaf in _named(before, "'b'").items():
        np.testing.assert_array_equal(_named(state, path)[path], leaf)
    wanted = expected(name, gradients, rate=RATE)
    without_second = expected(name, [gradients[0], *gradients[2:]], rate=RATE)
    for t in (2, 3):
        updates, state = update(gradients[t], state)
        assert_close(updates["w"], wanted[t]["w"])
        if name in LINEAR:  # else the tree's count is in the numbers too, as in optax.adam
            assert_close(updates["b"], without_second[t - 1]["b"])
    updates, after = update(None, state)
    assert updates is None
    chex.assert_trees_all_equal(_without_counts(after), _without_counts(state))


def _named(tree, *parts):
    """Leaves by path, of paths that have one of these parts."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    return {path: leaf for path, leaf in named.items() if any(part in path for part in parts)}


def _without_counts(state):
    return {path: leaf for path, leaf in _named(state, "").items() if "count" not in path}


REAL = ["float16", "bfloat16", "float32", "float64"]
COMPLEX = ["complex64", "complex128"]


@pytest.mark.parametrize("accumulator_dtype", [None, *REAL, *COMPLEX])
def test_dtypes(name, accumulator_dtype, x64):
    # Parameters of every dtype that the accumulators can follow, in one tree.
    dtypes = REAL if accumulator_dtype in REAL else REAL + COMPLEX
    drawn = {dtype: [g["w"] for g in draw(dtype=dtype, seed=1)] for dtype in dtypes}
    gradients = [{dtype: drawn[dtype][t] for dtype in dtypes} for t in range(STEPS)]
    optimizer = make(name, accumulator_dtype=accumulator_dtype)
    state = optimizer.init(gradients[0])
    before = avals(state)
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        own = getattr(path[-1], "key", "int32")  # the counter alone is in no dictionary
        assert leaf.dtype == (own if own == "int32" else accumulator_dtype or own)
    # Compiled for the two that matter most; compilation is what takes the time here.
    is_usual = accumulator_dtype in (None, "float32")
    update = jax.jit(optimizer.update) if is_usual else optimizer.update
    for g, wanted in zip(gradients, expected(name, gradients, rate=RATE), strict=True):
        with jax.numpy_dtype_promotion("strict"):
            updates, state = update(g, state)
        assert avals(state) == before
        for dtype in dtypes:
            # The update is rounded to the gradient's dtype, twice (the average, its product with
            # the rate); every buffer to its own, with an error that ten steps' memory adds up.
            eps, buffer_eps = (jnp.finfo(d).eps for d in (dtype, accumulator_dtype or dtype))
            assert updates[dtype].dtype == dtype
            np.testing.assert_allclose(
                np.asarray(updates[dtype], wanted[dtype].dtype),
                wanted[dtype],
                rtol=2 * float(eps),
                atol=RATE * max(4 * float(buffer_eps), 8 * np.finfo(np.float32).eps),
                err_msg=dtype,
            )


@pytest.mark.parametrize("params_dtype", REAL)
def test_gradients_of_another_dtype_than_the_parameters(name, params_dtype, x64):
    params = draw(1, params_dtype)[0]["w"]
    others = [dtype for dtype in REAL if dtype != params_dtype]
    gradients = [
        dict(zip(others, columns, strict=True))
        for columns in zip(*([g["w"] for g in draw(3, dtype)] for dtype in others), strict=True)
    ]
    wanted = expected(name, gradients, rate=RATE)
    injected = optax.inject_hyperparams(OPTIMIZERS[name][0], hyperparam_dtype="float32")(RATE)
    for optimizer in (make(name), injected):
        state = optimizer.init(dict.fromkeys(others, params))
        before = avals(state)
        for g, exact in zip(gradients, wanted, strict=True):
            with jax.numpy_dtype_promotion("strict"):
                updates, state = optimizer.update(g, state, g)
            assert avals(state) == before
            assert {dtype: u.dtype for dtype, u in updates.items()} == {
                dtype: jnp.dtype(dtype) for dtype in others
            }
            assert_close(updates, exact, atol=2 * RATE * BFLOAT16)


@pytest.mark.parametrize("number", [np.float64, float, np.array], ids=["numpy", "python", "array"])
def test_gradients_that_are_not_jax_arrays(name, number):
    values = np.random.default_rng(0).standard_normal(STEPS)
    optimizer = make(name)
    state = optimizer.init({"a": number(1.0)})
    before = avals(state)
    for t, wanted in enumerate(expected(name, [{"a": np.float64(v)} for v in values], rate=RATE)):
        updates, state = optimizer.update({"a": number(values[t])}, state)
        assert updates["a"].dtype == jnp.float32
        assert avals(state) == before
        assert_close(updates, wanted)


def test_float16_of_opposite_signs_does_not_overflow(name):
    # Heavy-ball buffers are 1/(1−β) times as large as the gradients, differences twice.
    values = [np.full(3, 6e4 * sign, np.float16) for sign in (*[1] * 30, *[-1] * 30, 1, -1)]
    if name in ADAMS:  # whose squares do, in a buffer of float16
        optimizer = make(name, 1e-3, accumulator_dtype="float32")
    else:
        optimizer = make(name, 1e-3)
    state = optimizer.init(values[0])
    for g, wanted in zip(values, expected(name, values, rate=1e-3), strict=True):
        updates, state = optimizer.update(g, state)
        np.testing.assert_allclose(updates, wanted, atol=0.25)


KEY = jax.eval_shape(lambda: jax.random.key(0))
UNFIT = {
    "int32": (jnp.arange(3), "dtype int32"),
    "numpy_int": (np.arange(3), "dtype int32"),
    "python_int": (1, "dtype int32"),
    "uint8": (jnp.zeros(2, jnp.uint8), "dtype uint8"),
    "int4": (np.zeros(2, ml_dtypes.int4), "dtype int4"),
    "bool": (jnp.ones(2, bool), "dtype bool"),
    "python_bool": (True, "dtype bool"),
    "float8": (jnp.ones(2, jnp.float8_e4m3fn), "dtype float8_e4m3fn"),
    "longdouble": (np.ones(2, np.longdouble), f"dtype {np.dtype(np.longdouble)}"),
    "float0": (np.zeros(2, jax.dtypes.float0), "dtype float0"),
    "abstract": (jax.ShapeDtypeStruct((2,), jnp.int16), "dtype int16"),
    "abstract_key": (KEY, "dtype key<fry>"),
    "text_array": (np.array(["a"]), "dtype <U1"),
    "object_array": (np.array([None]), "dtype object"),
    "date": (dt.date(2021, 7, 1), "type date"),
    "text": ("relu", "type str"),
    "function": (jnp.tanh, "type "),
    "class": (np.float32, "type type"),
    "dtype": (np.dtype("float32"), "type "),
}


def _refuses(*parts):
    return pytest.raises(ValueError, match="(?s)" + ".*".join(map(re.escape, parts)))


def _alone(error):
    """The message is one line, and says what to do."""
    message = str(error.value)
    assert "\n" not in message
    assert "optax.masked or optax.partition" in message


@pytest.mark.parametrize("kind", UNFIT)
def test_unfit_leaves_are_named(name, kind):
    leaf, what = UNFIT[kind]
    params = {"w": jnp.ones(2), "layer": [{"odd": leaf}]}
    for options in ({}, {"accumulator_dtype": "float32"}):
        optimizer = make(name, **options)
        with _refuses("the parameter at ['layer'][0]['odd'] is of", what) as error:
            optimizer.init(params)
        _alone(error)
    with _refuses("the parameter is of", what):
        optimizer.init(leaf)
    state = optimizer.init({"w": jnp.ones(2), "layer": [{"odd": jnp.ones(2)}]})
    with _refuses("the gradient at ['layer'][0]['odd'] is of", what) as error:
        optimizer.update(params, state)
    _alone(error)


def test_bytes_in_another_order_are_named(name):
    leaf = np.ones(2, np.dtype("float32").newbyteorder())
    with _refuses("the parameter at ['w'] is of dtype", "no such byte order: astype('float32')."):
        make(name).init({"w": leaf})
    with _refuses("is of dtype", "Only floating-point"):
        make(name).init({"w": leaf.astype(np.dtype("int32").newbyteorder())})


def test_a_typed_key_is_named_and_can_be_masked(name):
    params = {"w": jnp.ones(2), "key": jax.random.key(0), "steps": jnp.arange(2), "act": jnp.tanh}
    with _refuses("parameter at ['act']", "type"):
        make(name).init(params)
    with _refuses("parameter at ['key']", "dtype key<fry>"):
        make(name).init({"w": 1.0, "key": jax.random.key(0)})
    optimizer = optax.masked(make(name), {"w": True, "key": False, "steps": False, "act": False})
    gradients = [{**params, "w": g["w"]} for g in draw(3)]
    state = optimizer.init({**params, "w": gradients[0]["w"]})
    ours = expected(name, [g["w"] for g in gradients], rate=RATE)
    for g, wanted in zip(gradients, ours, strict=True):
        updates, state = optimizer.update(g, state, params)
        assert_close(updates["w"], wanted)


def test_gradients_that_do_not_fit_their_buffers(name):
    optimizer = make(name)
    params = {"w": jnp.ones(2), "b": None}
    state = optimizer.init(params)
    for g, said in [
        ({"w": jnp.ones(3), "b": None}, "['w'] is of shape (3,), its buffer shape (2,)"),
        ({"w": jnp.ones(()), "b": None}, "['w'] is of shape (), its buffer shape (2,)"),
        ({"w": jnp.ones(2), "b": jnp.ones(2)}, "['b'] is of shape (2,), its buffer None"),
        ({"w": jnp.ones(2) * 1j, "b": None}, "['w'] is of dtype complex64, its buffer"),
    ]:
        with _refuses("the gradient at ", said):
            optimizer.update(g, state)


def test_a_real_accumulator_for_complex_parameters(name):
    optimizer = make(name, accumulator_dtype=jnp.float32)
    params = {"real": jnp.ones(2), "spectrum": jnp.ones(2, jnp.complex64)}
    with _refuses("parameter at ['spectrum']", "complex64", "float32", "must be complex"):
        optimizer.init(params)

"""Conversions, by trajectories and against values that PyTorch computed."""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsgdm_optax import convert, nesterov, rsgdm, sgdm
from rsgdm_optax.convert import Qhm, TorchSgd

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "torch_sgd.json").read_text())
CASES = {str(case["arguments"]): case for case in GOLDEN["cases"]}
EMA = {"sgd": lambda rate, _decay: optax.sgd(rate), "sgdm": sgdm, "nesterov": nesterov}


def _path(optimizer, gradients):
    """Parameters along given gradients, from zero."""
    params = jnp.zeros(len(gradients[0]))
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    points = []
    for g in gradients:
        updates, state = update(jnp.asarray(g), state, params)
        params = optax.apply_updates(params, updates)
        points.append(np.asarray(params))
    return np.stack(points)


def _torch(case):
    arguments = dict(CASES[case]["arguments"])
    return TorchSgd(arguments.pop("lr"), **arguments)


@pytest.mark.parametrize("case", CASES)
def test_transformation_walks_pytorchs_path(case, x64):
    path = _path(_torch(case).transformation(), GOLDEN["gradients"])
    np.testing.assert_allclose(path, CASES[case]["path"], rtol=0, atol=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_qhm_form_of_pytorchs_path(case, x64):
    torch = _torch(case)
    path = _path(torch.to_qhm().transformation(), GOLDEN["gradients"])
    # What the undamped first step adds: γ·τ·μ^{t−1}·g₁ at step t.
    t = np.arange(len(path))
    dampening = torch.dampening if torch.momentum else 0.0
    undamped = np.cumsum(torch.learning_rate * dampening * torch.momentum**t)
    path = path - undamped[:, None] * np.array(GOLDEN["gradients"][0])
    np.testing.assert_allclose(path, CASES[case]["path"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("case", [case for case in CASES if "dampening" not in case])
def test_undampened_pytorch_is_optax_sgd(case, x64):
    torch = _torch(case)
    optimizer = optax.sgd(torch.learning_rate, torch.momentum, nesterov=torch.nesterov)
    path = _path(optimizer, GOLDEN["gradients"])
    np.testing.assert_allclose(path, CASES[case]["path"], rtol=0, atol=1e-14)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("method", EMA)
def test_methods_equal_their_qhm_and_pytorch_forms(method, decay, x64):
    wanted = _path(EMA[method](0.7, decay), GOLDEN["gradients"])
    place = convert.qhm(method, 0.7, decay)
    for form in (place, place.to_torch(), place.to_torch().to_qhm()):
        path = _path(form.transformation(), GOLDEN["gradients"])
        np.testing.assert_allclose(path, wanted, rtol=0, atol=1e-13)


def test_rsgdm_lacks_the_first_gradient_of_its_qhm_form(x64):
    decay, g = 0.9, np.array(GOLDEN["gradients"])
    path = _path(convert.qhm("rsgdm", 0.7, decay).transformation(), g)
    t = np.arange(1, len(g) + 1)
    lacking = -0.7 * np.cumsum((1 - decay) * decay**t)[:, None] * g[0]
    np.testing.assert_allclose(_path(rsgdm(0.7, decay), g), path - lacking, rtol=0, atol=1e-13)


def test_numbers():
    assert convert.qhm("sgdm", 0.5, 0.75).to_torch() == TorchSgd(0.125, 0.75, 0.0, False)
    assert convert.qhm("rsgdm", 0.5, 0.75) == convert.qhm("nesterov", 0.5, 0.75)
    assert convert.qhm("rsgdm", 0.5, 0.75) == Qhm(0.5, 0.75, 0.75)
    assert Qhm(0.1, 0.0, 0.7).to_torch() == TorchSgd(0.1)
    assert TorchSgd(0.1, 0.5, dampening=0.5).to_qhm() == Qhm(0.1, 0.5, 1.0)
    assert TorchSgd(0.1).to_qhm() == TorchSgd(0.1, dampening=0.5).to_qhm() == Qhm(0.1, 0.0, 0.0)


def test_numbers_of_numpy_and_jax_become_pythons():
    array = jnp.array(0.5)
    for given in (
        convert.qhm("sgdm", array, np.float64(0.5)),
        TorchSgd(np.float64(0.25), array, np.array(0.0)).to_qhm(),
        Qhm(np.array(0.25), np.float64(0.5), array).to_torch(),
    ):
        assert {type(number) for number in given} <= {float, bool}


@pytest.mark.parametrize(
    "form",
    [
        Qhm(0.1, 0.9, 0.7),
        Qhm(jnp.ones(()), 0.9, 0.7),
        TorchSgd(0.1, 0.9, 0.5),
        TorchSgd(jnp.ones(()), 0.9, nesterov=True),
        TorchSgd(optax.constant_schedule(0.1), 0.9),
    ],
)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "complex64"])
def test_dtypes_stay(form, dtype):
    params = {"w": jnp.ones((2, 3), dtype), "none": None}
    optimizer = form.transformation()
    state = optimizer.init(params)
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(state)]
    update = jax.jit(optimizer.update)
    for _ in range(3):
        updates, state = update(params, state)
        assert updates["w"].dtype == dtype
        assert [leaf.dtype for leaf in jax.tree.leaves(state)] == dtypes
    assert update._cache_size() == 1


@pytest.mark.parametrize(
    "form",
    [
        Qhm(np.float64(0.1), np.float64(0.9), np.array(0.7)),
        TorchSgd(np.array(0.1), np.float64(0.9), np.float64(0.5)),
        TorchSgd(np.float64(0.1), np.array(0.9), nesterov=True),
    ],
)
def test_numpy_numbers_promote_nothing(form):
    gradient = jnp.ones(2, jnp.bfloat16)
    optimizer = form.transformation()
    with jax.numpy_dtype_promotion("strict"):
        update, _ = optimizer.update(gradient, optimizer.init(gradient))
    assert update.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: convert.qhm("adam", 0.1, 0.9), "method must be .*got 'adam'"),
        (lambda: convert.qhm("sgdm", 0.1, 1.0), r"decay must be .*\[0, 1\), got 1.0"),
        (lambda: convert.qhm("sgdm", "a", 0.9), "learning_rate must be .*got 'a'"),
        (
            lambda: convert.qhm("sgdm", max, 0.9),
            "learning_rate must be a finite real number, got <built-in",
        ),
        (lambda: Qhm(0.1, 0.9, 0.5).to_torch(), r"nu must be 0, 1 or decay \(0.9\).*got 0.5"),
        (lambda: Qhm(0.1, 1.5, 0.5).transformation(), r"decay must be .*got 1.5"),
        (lambda: Qhm(0.1, 1.5, 1.0).to_torch(), r"decay must be .*got 1.5"),
        (lambda: Qhm(0.1, 1.0, 1.0).to_torch(), r"decay must be .*got 1.0"),
        (lambda: Qhm(0.1, math.nan, 1.0).to_torch(), r"decay must be .*got nan"),
        (lambda: Qhm("a", 0.9, 1.0).to_torch(), "learning_rate must be .*number, got 'a'"),
        (lambda: Qhm(max, 0.9, 1.0).to_torch(), "learning_rate must be .*number, got <built-in"),
        (lambda: Qhm("a", 0.9, 1.0).transformation(), "learning_rate must be .*got 'a'"),
        (lambda: Qhm(0.1, 0.9, math.nan).transformation(), "nu must be .*number, got nan"),
        (lambda: Qhm(0.1, 0.9, "x").transformation(), "nu must be .*number, got 'x'"),
        (lambda: Qhm(0.1, 0.0, "x").to_torch(), "nu must be .*number, got 'x'"),
        (lambda: TorchSgd("a").to_qhm(), "learning_rate must be .*number, got 'a'"),
        (lambda: TorchSgd(max).to_qhm(), "learning_rate must be .*number, got <built-in"),
        (lambda: TorchSgd("a").transformation(), "learning_rate must be .*schedule.*got 'a'"),
        (lambda: TorchSgd(0.1, jnp.array(1.0)).to_qhm(), r"momentum must be .*got Array\(1\."),
        (lambda: TorchSgd(0.1, 0.9, "a").to_qhm(), r"dampening must be .*\[0, 1\], got 'a'"),
        (lambda: TorchSgd(0.1, 1.0).to_qhm(), r"momentum must be .*\[0, 1\), got 1.0"),
        (
            lambda: TorchSgd(0.1, 0.9, 1.5).transformation(),
            r"dampening must be .*\[0, 1\], got 1.5",
        ),
        (lambda: TorchSgd(0.1, 0.9, 0.5, True).to_qhm(), "nesterov must be False unless"),
        (lambda: TorchSgd(0.1, 0.0, 0.0, True).to_qhm(), "nesterov must be False unless"),
        (lambda: TorchSgd(0.1, 0.9, 0.0, 1).to_qhm(), "nesterov must be True or False, got 1"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()

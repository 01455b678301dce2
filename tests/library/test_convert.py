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
from tests.library import reference

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
    for form in (place, place.to_torch().to_qhm()):
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


def test_a_share_outside_of_zero_and_one():
    # QHM takes any ν; the reference is Ma and Yarats' own two lines.
    for nu in (-0.5, 0.0, 0.3, 1.0, 1.5, jnp.array(0.3), jnp.array(1)):
        path = _path(Qhm(0.5, 0.9, nu).transformation(), GOLDEN["gradients"])
        steps = reference.qhm(np.array(GOLDEN["gradients"]), 0.9, float(nu))
        wanted = np.cumsum([-0.5 * n for n in steps], axis=0)
        np.testing.assert_allclose(path, wanted, rtol=0, atol=1e-5)


def test_traced_numbers():
    @jax.jit
    def update(rate, decay, nu):
        optimizer = Qhm(rate, decay, nu).transformation(accumulator_dtype="float32")
        return optimizer.update(jnp.ones(2, "bfloat16"), optimizer.init(jnp.ones(2, "bfloat16")))

    updates, state = update(0.5, 0.75, 0.5)
    assert updates.dtype == jnp.bfloat16
    assert optax.tree.get(state, "m").dtype == jnp.float32
    np.testing.assert_array_equal(updates, -0.5 * (0.5 + 0.5 * 0.25))
    # A number that PyTorch's form is computed from must be known.
    for build in (
        lambda x: TorchSgd(0.1, x).to_qhm(),
        lambda x: Qhm(x, 0.9, 1.0).to_torch(),
        lambda x: convert.qhm("sgdm", 0.1, x),
    ):
        with pytest.raises(ValueError, match=r"must be a .*number.*, got .*Trace"):
            jax.jit(build)(0.5)


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
        (lambda: Qhm(0.1, 0.9, jnp.ones(1)).transformation(), "nu must be .*number, got Array"),
        (lambda: Qhm(0.1, jnp.ones(1), 0.5).transformation(), "decay must be .*got Array"),
        (lambda: Qhm(jnp.ones(1), 0.9, 0.5).transformation(), "learning_rate .*got Array"),
        (lambda: Qhm(0.1, 0.0, "x").to_torch(), "nu must be .*number, got 'x'"),
        (lambda: TorchSgd("a").to_qhm(), "learning_rate must be .*number, got 'a'"),
        (lambda: TorchSgd(max).to_qhm(), "learning_rate must be .*number, got <built-in"),
        (lambda: TorchSgd(0.1, jnp.array(1.0)).to_qhm(), r"momentum must be .*got Array\(1\."),
        (lambda: TorchSgd(0.1, 0.9, "a").to_qhm(), r"dampening must be .*\[0, 1\], got 'a'"),
        (lambda: TorchSgd(0.1, 1.0).to_qhm(), r"momentum must be .*\[0, 1\), got 1.0"),
        (
            lambda: TorchSgd(0.1, 0.9, 1.5).to_qhm(),
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

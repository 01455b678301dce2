"""Conversions, by their own paths and against values that PyTorch computed."""

import inspect
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax
from rsgdm_optax import linear
from tests.library.test_linear_methods import METHODS

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "torch_sgd.json").read_text())
CASES = {str(case["arguments"]): case for case in GOLDEN["cases"]}
TARGETS = [
    *("optax.sgd", "torch.optim.SGD", "heavy_ball", "sgd", "sgdm", "nesterov", "rsgdm", "qhm"),
    *("pid", "pid_paper", "mars", "lion", "adan", "grokfast", "gpa", "aggmo", "ogda"),
]


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


@pytest.mark.parametrize("case", CASES)
def test_pytorchs_path(case, x64):
    arguments = dict(CASES[case]["arguments"])
    rate = arguments.pop("lr")
    method = linear.heavy_ball(**arguments)
    path = _path(method.transformation(rate), GOLDEN["gradients"])
    np.testing.assert_allclose(path, CASES[case]["path"], rtol=0, atol=1e-13)
    # There and back, by way of the paper's family: the same arguments, or others to the same end.
    there = linear.convert(method, "torch.optim.SGD", rate)
    assert there.lost == ()
    assert there.learning_rate == pytest.approx(rate)
    path = _path(
        linear.heavy_ball(**there.arguments).transformation(there.learning_rate),
        GOLDEN["gradients"],
    )
    np.testing.assert_allclose(path, CASES[case]["path"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("case", [case for case in CASES if "dampening" not in case])
def test_undampened_pytorch_is_optax_sgd(case, x64):
    arguments = dict(CASES[case]["arguments"])
    rate = arguments.pop("lr")
    there = linear.convert(linear.heavy_ball(**arguments), "optax.sgd", rate)
    assert there.lost == ()
    path = _path(optax.sgd(there.learning_rate, **there.arguments), GOLDEN["gradients"])
    np.testing.assert_allclose(path, CASES[case]["path"], rtol=0, atol=1e-14)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", ["sgdm", "nesterov"])
def test_ema_forms_are_pytorchs_at_another_rate(name, decay, x64):
    there = linear.convert(getattr(linear, name)(decay), "optax.sgd", 0.7)
    assert there.lost == ()
    wanted = _path(getattr(rsgdm_optax, name)(0.7, decay), GOLDEN["gradients"])
    found = _path(optax.sgd(there.learning_rate, **there.arguments), GOLDEN["gradients"])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)
    assert there.learning_rate == pytest.approx(0.7 * (1 - decay))


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("name", METHODS)
def test_every_pair(name, to):
    # Nothing lost: the same weights, all of them. Something lost: not the same, as the words say.
    method = METHODS[name][0]
    there = linear.convert(method, to, 0.3)
    assert there.learning_rate * there.method.gain == pytest.approx(0.3 * method.gain)
    off = max(
        np.abs(there.learning_rate * there.method.weights(t) - 0.3 * method.weights(t)).max()
        for t in range(1, 30)
    )
    scale = 0.3 * np.abs(method.weights(1)).max()
    if there.lost:
        assert off > 1e-12 * scale
        assert all(
            words.startswith(("pole: ", "correction: ", "first gradient: ")) for words in there.lost
        )
    else:
        assert off <= 1e-12 * max(scale, 0.3 * method.gain)
    # What has once been converted loses nothing more on the same way.
    again = linear.convert(there.method, to, there.learning_rate)
    assert again.lost == ()
    assert again.learning_rate == pytest.approx(there.learning_rate)


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("through", ["qhm", "mars", "gpa"])
def test_there_and_back(through, to):
    # From each family to one that holds every weight and has no start of its own, and back again.
    exact = {
        "optax.sgd": linear.heavy_ball(0.9, nesterov=True),
        "torch.optim.SGD": linear.heavy_ball(0.9),
        "heavy_ball": linear.heavy_ball(0.9),
        "sgd": linear.sgd(),
        "sgdm": linear.sgdm(0.9),
        "nesterov": linear.nesterov(0.9),
        "rsgdm": linear.rsgdm(0.9, 2.0, "gradient"),
        "qhm": linear.qhm(0.9, 0.7),
        "pid_paper": linear.pid_paper(0.9, 3.0),
        "mars": linear.mars(0.95, 0.025),
        "lion": linear.lion(0.9, 0.99),
        "gpa": linear.gpa(0.9, 0.8),
        "aggmo": linear.aggmo(0.9),
    }
    loses = {  # their start; and of OGDA, which has no memory, everything
        "pid": (linear.pid(0.9, 1.0, 10.0), "first gradient"),
        "grokfast": (linear.grokfast(0.9, 2.0), "first gradient"),
        "adan": (linear.adan(0.9), "first gradient"),
        "ogda": (linear.ogda(), "correction"),
    }
    if to in loses:
        method, kind = loses[to]
        assert [words.split(":")[0] for words in linear.convert(method, through).lost] == [kind]
        return
    there = linear.convert(exact[to], through, 0.5)
    assert there.lost == ()
    back = linear.convert(there.method, to, there.learning_rate)
    assert back.lost == ()
    assert back.learning_rate == pytest.approx(0.5)
    for field in ("gain", "pole", "correction"):
        wanted = getattr(exact[to], field)
        assert getattr(back.method, field) == pytest.approx(wanted, abs=1e-13)


def test_losses_have_names():
    def lost(method, to):
        return linear.convert(method, to).lost

    assert lost(linear.rsgdm(0.9), "nesterov") == (
        "first gradient: its weights 0.1, 0 in the first two updates become 0.19, 0.081",
    )
    assert lost(linear.qhm(0.9, 0.7), "sgdm") == ("correction: 2.7 becomes 0",)
    assert lost(linear.nesterov(0.9), "sgd") == (
        "pole: 0.9 becomes 0",
        "correction: 0.9 becomes 0",
    )
    assert lost(linear.ogda(), "qhm") == ("correction: 1 becomes 0",)
    assert lost(linear.sgdm(0.9), "grokfast")[0].startswith("correction: 0 becomes 8.99999e-06")
    assert lost(linear.lion(0.99, 0.5), "lion") == ()
    assert lost(linear.rsgdm(0.9, -1.5), "lion")[0].startswith("correction: -1.5 becomes -1")
    assert lost(linear.rsgdm(0.9), "adan") == ()
    assert lost(linear.qhm(0.9, 0.0), "sgd") == ()


def test_numbers():
    there = linear.convert(linear.rsgdm(0.9), "torch.optim.SGD", 1.0)
    assert there.learning_rate == pytest.approx(0.1)  # fact 6: α·(1−β)
    assert there.arguments == {"momentum": 0.9, "dampening": 0.0, "nesterov": True}
    dampened = linear.convert(linear.heavy_ball(0.9, 0.5), "torch.optim.SGD", 1.0)
    assert dampened.arguments["dampening"] == pytest.approx(0.5)
    # MARS's γ is 1 − ν, Lion's b1 is ν·b2.
    assert linear.convert(linear.qhm(0.95, 0.975), "mars").arguments["gamma"] == pytest.approx(
        0.025
    )
    assert linear.convert(linear.lion(0.9, 0.99), "qhm").arguments["nu"] == pytest.approx(
        0.9 / 0.99
    )
    # Grokfast's λ is ν/(1−ν).
    nu = linear.convert(linear.grokfast(0.98, 2.0), "qhm").arguments["nu"]
    assert nu == pytest.approx(2 / 3)
    # The weight of RSGDM's correction in Nesterov momentum is β.
    there = linear.convert(linear.heavy_ball(0.9, nesterov=True), "rsgdm", 0.1)
    assert there.arguments == {
        "decay": 0.9,
        "correction": pytest.approx(0.9),
        "first_difference": "gradient",
    }
    assert there.learning_rate == pytest.approx(1.0)


def test_arguments_are_the_constructors():
    for to in TARGETS:
        there = linear.convert(linear.rsgdm(0.9), to)
        name = to if "." not in to else "heavy_ball"
        constructor = getattr(linear, name)
        assert set(there.arguments) <= set(inspect.signature(constructor).parameters)
        assert constructor(**there.arguments) == there.method


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: linear.convert(linear.sgd(), "adam"), "to must be 'optax.sgd' or .*got 'adam'"),
        (lambda: linear.convert(linear.sgd, "qhm"), "method must be a LinearMomentum, got <func"),
        (lambda: linear.convert(linear.sgd(), "qhm", "a"), "learning_rate must be .*got 'a'"),
        (lambda: linear.convert(linear.sgd(), "qhm", max), "learning_rate must be .*got <built"),
        (
            lambda: jax.jit(lambda x: linear.convert(linear.sgdm(x), "qhm"))(0.5),
            "pole must be .*got .*Trace",
        ),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


FACTORIES = {
    "optax.sgd": optax.sgd,
    "sgdm": rsgdm_optax.sgdm,
    "nesterov": rsgdm_optax.nesterov,
    "rsgdm": rsgdm_optax.rsgdm,
}


@pytest.mark.parametrize("to", FACTORIES)
@pytest.mark.parametrize("name", METHODS)
def test_the_optimizer_itself_takes_the_arguments(name, to, x64):
    """And has the weights that the conversion promises, up to rounding."""
    there = linear.convert(METHODS[name][0], to, 0.1)
    optimizer = FACTORIES[to](there.learning_rate, **there.arguments)
    found = linear.impulse_response(optimizer, 5).weights
    for t in range(1, 6):
        expected = -there.learning_rate * there.method.weights(t)
        np.testing.assert_allclose(found[t - 1, :t], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("method", [linear.ogda(), linear.lion(0.95, 0.9)])
def test_a_correction_beyond_rsgdms_range_is_named(method):
    there = linear.convert(method, "rsgdm")
    assert there.lost[0].startswith(f"correction: {method.correction:.6g} becomes ")

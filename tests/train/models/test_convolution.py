"""The CPU's convolutions against XLA's, in float64, for every layer of the networks; the switch."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.train.commands import status
from tests.train.conftest import run_study, small
from tests.train.outcomes import arrays, metrics
from train import cifar
from train.engine.steps import Network
from train.models.cpu_convolution import VARIABLE, choose, compiler_options, convolution
from train.models.resnet import MODELS

# Odd sides, uneven padding, strides and kernels that no network here has.
AWKWARD = [
    ((2, 7, 5, 3), (3, 3, 3, 4), 2, ((1, 1), (1, 1))),
    ((2, 7, 8, 3), (1, 1, 3, 4), 2, ((0, 0), (0, 0))),
    ((2, 11, 10, 2), (3, 3, 2, 3), 3, ((1, 1), (1, 1))),
    ((2, 9, 9, 2), (5, 3, 2, 3), 2, ((2, 1), (0, 2))),
    ((2, 7, 7, 2), (2, 2, 2, 3), 3, ((0, 0), (0, 0))),
    ((2, 6, 6, 2), (1, 1, 2, 3), 2, ((1, 1), (1, 1))),
]


def _arguments(images, kernel):
    """What Flax passes beside stride and padding."""
    return {
        "lhs_dilation": (1, 1),
        "rhs_dilation": (1, 1),
        "dimension_numbers": lax.conv_dimension_numbers(images, kernel, ("NHWC", "HWIO", "NHWC")),
        "feature_group_count": 1,
        "precision": None,
        "out_sharding": None,
    }


def _layers(name, side, channels):
    """Every shape among a network's layers, with two images a batch."""
    found = {}

    def record(images, kernel, strides, padding, **rest):
        assert rest == _arguments(images.shape, kernel.shape)
        found[(images.shape, kernel.shape, strides[0], tuple(padding))] = None
        return lax.conv_general_dilated(images, kernel, strides, padding, **rest)

    make = functools.partial(MODELS[name], channels=channels, classes=10)
    network = Network(make, convolution=record)
    apply = functools.partial(network.apply, training=True)
    images = jax.ShapeDtypeStruct((2, side, side, channels), jnp.float32)
    jax.eval_shape(apply, *jax.eval_shape(network.init, jax.random.key(0)), images)
    return list(found)


def _outputs(function, layer, options):
    """The layer's output, and its gradients of a random linear function of it."""
    images, kernel, stride, padding = layer
    rest = _arguments(images, kernel)
    rng = np.random.default_rng(0)
    x, k = (jnp.asarray(rng.standard_normal(shape)) for shape in (images, kernel))

    @functools.partial(jax.jit, compiler_options=options)
    def run(x, k, y_gradient):
        y, back = jax.vjp(lambda x, k: function(x, k, (stride, stride), padding, **rest), x, k)
        return y, *back(y_gradient)

    y = jax.eval_shape(lambda: lax.conv_general_dilated(x, k, (stride, stride), padding, **rest))
    return run(x, k, jnp.asarray(rng.standard_normal(y.shape)))


def _check(layer):
    ours = _outputs(convolution, layer, compiler_options())
    xlas = _outputs(lax.conv_general_dilated, layer, None)
    for a, b in zip(ours, xlas, strict=True):
        assert a.dtype == jnp.float64
        # Sums of up to 4608 products, in another order.
        tolerance = 1e-13 * float(jnp.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=str(layer))


@pytest.mark.slow
@pytest.mark.parametrize("layer", AWKWARD, ids=str)
def test_layers_that_no_network_has_equal_xlas(layer, x64):
    _check(layer)


@pytest.mark.parametrize(
    ("name", "side", "channels"),
    [
        ("resnet8", 8, 1),
        pytest.param("resnet8", 28, 1, marks=pytest.mark.slow),
        pytest.param("resnet8", 32, 3, marks=pytest.mark.slow),
        pytest.param("resnet18", 32, 3, marks=pytest.mark.slow),
        pytest.param("resnet50", 32, 3, marks=pytest.mark.slow),
    ],
)
def test_layers_and_gradients_equal_xlas(name, side, channels, x64):
    layers = _layers(name, side, channels)
    assert len(layers) >= 6
    for layer in layers:
        _check(layer)


@pytest.mark.parametrize(
    "changes",
    [
        {"rhs_dilation": (2, 2)},
        {"feature_group_count": 2},
        {"dimension_numbers": lax.conv_dimension_numbers((2, 2, 8, 8), (4, 2, 3, 3), None)},
    ],
    ids=str,
)
def test_what_no_network_here_asks_for_is_xlas(changes):
    images, kernel = (2, 8, 8, 4), (3, 3, 4 // changes.get("feature_group_count", 1), 4)
    if "dimension_numbers" in changes:
        images, kernel = (2, 4, 8, 8), (4, 4, 3, 3)
    rest = _arguments((2, 8, 8, 4), (3, 3, 4, 4)) | changes
    rng = np.random.default_rng(0)
    x, k = (rng.standard_normal(shape).astype(np.float32) for shape in (images, kernel))
    ours, xlas = (
        f(x, k, (2, 2), [(1, 1), (1, 1)], **rest) for f in (convolution, lax.conv_general_dilated)
    )
    np.testing.assert_array_equal(ours, xlas)


def test_only_one_cpu_device_has_it(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    cpus = jax.devices("cpu")
    assert choose(cpus[:1], "jit") == "fast"
    assert choose(cpus[:2], "jit") == "xla"
    assert choose(cpus[:1], "pmap") == "xla"
    monkeypatch.setenv(VARIABLE, "xla")
    assert choose(cpus[:1], "jit") == "xla"


@pytest.mark.slow
def test_switched_off_a_study_is_the_same_up_to_rounding(tmp_path, monkeypatch):
    losses, parameters = {}, {}
    for choice in ("fast", "xla"):
        monkeypatch.setenv(VARIABLE, choice)
        study = tmp_path / choice
        run_study(small(study, optimizers=("rsgdm",), seeds=(0, 1), epochs=1))
        run = study / "rsgdm-seed0"
        losses[choice] = metrics(run)[0]["train_loss"]
        parameters[choice] = arrays(run)["params.stem.kernel.value"]
        assert json.loads((run / "environment.json").read_text())[-1]["convolution"] == choice
    # Or the switch does nothing.
    assert not np.array_equal(parameters["fast"], parameters["xla"])
    # Two steps of 128: float32's rounding, little magnified yet.
    assert losses["fast"] == pytest.approx(losses["xla"], rel=1e-5)


def test_an_unknown_choice(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(VARIABLE, "yes")
    options = ["--preset", "demo", "--output", tmp_path / "study"]
    assert status(cifar, options, monkeypatch) == 2
    assert f"{VARIABLE}: 'yes' is unknown; allowed: fast, xla" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

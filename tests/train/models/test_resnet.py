"""The networks against NumPy, and their sizes and initial weights."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import signal

from train.models.resnet import MODELS, BatchNorm


@pytest.fixture(scope="module")
def model() -> nnx.Module:
    # Layer by layer every shape would be compiled by itself.
    return nnx.jit(lambda: MODELS["resnet8"](nnx.Rngs(0), channels=1, classes=10))()


@pytest.mark.parametrize(
    ("name", "channels", "classes", "size"),
    [
        *(("resnet8", 3, 10, 78_042), ("resnet8", 1, 10, 77_754)),
        *(("resnet18", 3, 10, 11_173_962), ("resnet50", 3, 100, 23_705_252)),
    ],
)
def test_parameter_count(name, channels, classes, size):
    model = nnx.eval_shape(lambda: MODELS[name](nnx.Rngs(0), channels=channels, classes=classes))
    leaves = jax.tree.leaves(nnx.state(model, nnx.Param))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == size
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


def test_initial_weights_are_uniform_up_to_one_over_root_fan_in(model):
    # Of n uniform values on ±b the largest is above b·(1 − 10/n), save once in e¹⁰ times.
    for path, value in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        weights = np.asarray(value[...])
        if path[-1] == "kernel":
            bound = 1 / np.sqrt(weights[..., 0].size)
            assert bound * (1 - 10 / weights.size) < np.max(np.abs(weights)) <= bound
            assert abs(weights.mean()) < 6 * bound / np.sqrt(3 * weights.size)
        elif path[0] == "head":
            assert 0 < np.max(np.abs(weights)) <= 1 / np.sqrt(64)
        else:
            np.testing.assert_array_equal(weights, 1.0 if path[-1] == "scale" else 0.0)


def _convolve(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Cross-correlation with zero padding of half the kernel on both sides."""
    pad = kernel.shape[0] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    out = [
        [
            sum(
                signal.correlate2d(image[..., i], kernel[..., i, o], "valid")
                for i in range(kernel.shape[2])
            )[::stride, ::stride]
            for o in range(kernel.shape[3])
        ]
        for image in x
    ]
    return np.moveaxis(np.array(out), 1, -1)


def _normalise(x: np.ndarray) -> np.ndarray:
    """BatchNorm as it is before training: scale 1, bias 0, the batch's statistics."""
    return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)


def test_forward_pass_in_training_mode_equals_numpy(model):
    kernels = {
        path: np.asarray(value[...], np.float64)
        for path, value in nnx.to_flat_state(nnx.state(model, nnx.Param))
    }
    images = np.random.default_rng(0).standard_normal((4, 8, 8, 1))
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    x = relu(_normalise(_convolve(images, kernels["stem", "kernel"], 1)))
    for k, stride in enumerate((1, 2, 2)):
        y = relu(
            _normalise(_convolve(x, kernels["blocks", k, "convolutions", 0, "kernel"], stride))
        )
        y = _normalise(_convolve(y, kernels["blocks", k, "convolutions", 1, "kernel"], 1))
        if stride == 2:
            shortcut = kernels["blocks", k, "shortcut", 0, "kernel"]
            x = _normalise(_convolve(x, shortcut, stride))
        x = relu(x + y)
    logits = x.mean((1, 2)) @ kernels["head", "kernel"] + kernels["head", "bias"]
    # The network computes in float32, the reference in float64.
    ours = nnx.jit(lambda model, images: model(images))(model, jnp.asarray(images, jnp.float32))
    np.testing.assert_allclose(ours, logits, rtol=0, atol=2e-5)


def test_batch_norm_keeps_pytorchs_running_statistics():
    rng = np.random.default_rng(0)
    norm = BatchNorm(3, rngs=nnx.Rngs(0))
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(5):
        x = 2 + 3 * rng.standard_normal((2, 2, 2, 3))
        norm(jnp.asarray(x, jnp.float32))
        mean = 0.9 * mean + 0.1 * x.mean((0, 1, 2))
        var = 0.9 * var + 0.1 * x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(norm.mean[...], mean, rtol=1e-5)
    np.testing.assert_allclose(norm.var[...], var, rtol=1e-5)
    norm.eval()
    x = rng.standard_normal((1, 1, 1, 3))
    wanted = (x - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(norm(jnp.asarray(x, jnp.float32)), wanted, rtol=1e-4)
    np.testing.assert_allclose(norm.var[...], var, rtol=1e-5)  # evaluation changes nothing

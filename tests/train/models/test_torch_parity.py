"""The networks against PyTorch's, from the same weights, in float64.

Logits and gradients in training mode, running averages after three steps, evaluation mode.

The golden values are made by tests/golden/make_torch_resnet.py.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from tests.golden.formula import RATE, STEPS, batch, weights
from train.engine.steps import Network
from train.models.cpu_convolution import compiler_options, convolution
from train.models.resnet import MODELS, BatchNorm

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "torch_resnet.json").read_text())


def _layers(model):
    """Layers with weights in the order of PyTorch's construction."""
    pairs = [(model.stem, model.norm)]
    for block in model.blocks:
        pairs += zip(block.convolutions, block.norms, strict=True)
        if len(block.shortcut):
            pairs.append(tuple(block.shortcut))
    return [layer for pair in pairs for layer in pair] + [model.head]


def _fill(model):
    """Sets every weight by the formula, in float64."""
    for k, layer in enumerate(_layers(model)):
        if isinstance(layer, BatchNorm):
            shape = layer.scale[...].shape
            layer.scale.set_value(jnp.asarray(weights(shape, k, "scale")))
            layer.bias.set_value(jnp.asarray(weights(shape, k, "bias")))
            layer.mean.set_value(layer.mean[...].astype(jnp.float64))
            layer.var.set_value(layer.var[...].astype(jnp.float64))
            continue
        shape = layer.kernel[...].shape  # (…, in, out); PyTorch has (out, in, …)
        kernel = weights((shape[-1], shape[-2], *shape[:-2]), k, "kernel")
        layer.kernel.set_value(jnp.asarray(np.moveaxis(kernel, (0, 1), (-1, -2))))
        if layer.bias is not None:
            layer.bias.set_value(jnp.asarray(weights((shape[-1],), k, "bias")))


def _norms(graph, gradients, batch_stats):
    """Each parameter's gradient norm in PyTorch's order: weight, then bias."""
    found = []
    for layer in _layers(nnx.merge(graph, gradients, batch_stats)):
        first = layer.scale if isinstance(layer, BatchNorm) else layer.kernel
        found.append(float(jnp.linalg.norm(first[...])))
        if layer.bias is not None:
            found.append(float(jnp.linalg.norm(layer.bias[...])))
    return found


@pytest.mark.parametrize("fast", [False, True], ids=["xla", "fast"])
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n != "resnet8")) for n in GOLDEN["cases"]],
)
def test_same_weights_same_network(name, fast, x64):
    shape, golden = GOLDEN["shapes"][name], GOLDEN["cases"][name]
    size, channels, side = GOLDEN["size"], shape["channels"], shape["side"]
    # Layer by layer every shape would be compiled by itself.
    model = nnx.jit(lambda: MODELS[name](nnx.Rngs(0), channels=channels, classes=10))()
    _fill(model)
    graph, params, batch_stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    network = Network(
        lambda rngs: MODELS[name](rngs, channels=channels, classes=10),
        convolution=convolution if fast else None,
    )
    options = compiler_options() if fast else None
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)  # noqa: E731

    def loss_fn(params, batch_stats, images, labels):
        logits, batch_stats = network.apply(params, batch_stats, images, training=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), (logits, batch_stats)

    gradient = jax.jit(jax.grad(loss_fn, has_aux=True), compiler_options=options)
    for step in range(STEPS):
        images, labels = batch(step, size, channels, side)
        gradients, (logits, batch_stats) = gradient(params, batch_stats, images, labels)
        close(logits, golden["logits"][step])
        close(_norms(graph, gradients, batch_stats), golden["gradient_norms"][step])
        params = jax.tree.map(lambda p, g: p - RATE * g, params, gradients)
    norms = [
        layer
        for layer in _layers(nnx.merge(graph, params, batch_stats))
        if isinstance(layer, BatchNorm)
    ]
    close([norm.mean[...][:3] for norm in norms], golden["means"])
    close([norm.var[...][:3] for norm in norms], golden["variances"])
    images, _ = batch(STEPS, size, channels, side)
    apply = jax.jit(network.apply, static_argnames="training", compiler_options=options)
    close(apply(params, batch_stats, images, training=False)[0], golden["evaluation"])

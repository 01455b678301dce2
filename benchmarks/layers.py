"""The time of a network's convolutions by themselves, here and in PyTorch: what limits a step.

python benchmarks/layers.py [--quick]

Every convolution of one step, alone: forward, gradient of its input (but for the images), gradient
of its kernel. PyTorch is compared with where it is installed, with channels-last arrays.
"""

import functools
import importlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.timing import Spread, Timed, interleaved, parse, report, timed
from train.engine.steps import Network
from train.models.cpu_convolution import compiler_options, convolution
from train.models.resnet import MODELS

BATCH = 128
# Networks, image sides, channels, rounds.
CASES = [("resnet8", 28, 1, 15), ("resnet18", 32, 3, 5)]
PASSES = ("forward", "input gradients", "kernel gradients")
# Shape of the images, shape of the kernel, stride.
Layer = tuple[tuple[int, ...], tuple[int, ...], int]


def layers(name: str, side: int, channels: int) -> Counter[Layer]:
    """A network's convolutions, and how often each occurs."""
    found: Counter[Layer] = Counter()

    def record(
        images: jax.Array, kernel: jax.Array, strides: Sequence[int], *rest: Any, **more: Any
    ) -> jax.Array:
        found[images.shape, kernel.shape, strides[0]] += 1
        return lax.conv_general_dilated(images, kernel, strides, *rest, **more)

    make = functools.partial(MODELS[name], channels=channels, classes=10)
    network = Network(make, convolution=record)
    images = jax.ShapeDtypeStruct((BATCH, side, side, channels), jnp.float32)
    params = jax.eval_shape(network.init, jax.random.key(0))
    found.clear()  # of what initialisation did
    jax.eval_shape(functools.partial(network.apply, training=True), *params, images)
    return found


def ours(layer: Layer) -> list[Timed]:
    """Measures the three passes."""
    images, kernel, stride = layer
    margin = kernel[0] // 2
    random = np.random.default_rng(0)
    x, k = (jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in (images, kernel))

    def forward(x: jax.Array, k: jax.Array) -> jax.Array:
        numbers = lax.conv_dimension_numbers(x.shape, k.shape, ("NHWC", "HWIO", "NHWC"))
        return convolution(
            x, k, (stride, stride), ((margin, margin),) * 2, dimension_numbers=numbers
        )

    def program(function: Callable[..., Any], *arguments: jax.Array) -> Timed:
        compiled = jax.jit(function, compiler_options=compiler_options())
        return timed(lambda: jax.block_until_ready(compiled(*arguments)))

    g = jnp.ones_like(forward(x, k))
    return [
        program(forward, x, k),
        program(lambda x, k, g: jax.vjp(lambda x: forward(x, k), x)[1](g), x, k, g),
        program(lambda x, k, g: jax.vjp(lambda k: forward(x, k), k)[1](g), x, k, g),
    ]


def pytorchs(layer: Layer) -> list[Timed]:
    """Measures the three passes in PyTorch."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as many as XLA takes
    (n, height, width, channels), (size, _, _, filters), stride = layer
    last = torch.channels_last
    x = torch.randn(n, channels, height, width).contiguous(memory_format=last)
    k = torch.randn(filters, channels, size, size).contiguous(memory_format=last)
    forward = functools.partial(torch.conv2d, x, k, None, stride, size // 2)
    g = torch.ones_like(forward())

    def backward(which: list[bool]) -> Timed:
        pair = [stride] * 2, [size // 2] * 2, [1, 1], False, [0, 0], 1
        gradient = torch.ops.aten.convolution_backward
        return timed(lambda: gradient(g, x, k, None, *pair, which))

    return [timed(forward), backward([True, False, False]), backward([False, True, False])]


def main() -> None:
    """Times every network's layers."""
    options = parse("layers.py", "Time convolutions alone, against PyTorch's.")
    sides = {"ours": ours} | ({"PyTorch": pytorchs} if find_spec("torch") else {})
    rows = []
    for name, side, channels, rounds in CASES[:1] if options.quick else CASES:
        zero = np.zeros(2 if options.quick else rounds)
        seconds = {(label, part): zero for label in sides for part in PASSES}
        flops = dict.fromkeys(PASSES, 0.0)
        for layer, count in layers(name, side, channels).items():
            images, kernel, stride = layer
            outputs = -(-images[1] // stride) * -(-images[2] // stride)
            parts = [p for p in PASSES if p != "input gradients" or images[3] != channels]
            for part in parts:
                flops[part] += count * 2.0 * BATCH * outputs * np.prod(kernel)
            measures = {
                (label, part): measure
                for label, passes in sides.items()
                for part, measure in zip(PASSES, passes(layer), strict=True)
                if part in parts
            }
            for key, values in interleaved(measures, len(zero)).items():
                seconds[key] = seconds[key] + count * values
        for part in PASSES:
            row: dict[str, Any] = {
                "convolutions of": f"{name}, {side}×{side}×{channels}",
                "pass": part,
                "GFLOP": f"{flops[part] / 1e9:.3g}",
            }
            for label in sides:
                row[f"{label}, ms"] = Spread.of(1e3 * seconds[label, part])
                row[f"{label}, GFLOP/s"] = Spread.of(flops[part] / seconds[label, part] / 1e9)
            rows.append(row)
    report(options, rows)


if __name__ == "__main__":
    main()

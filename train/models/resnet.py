"""Residual networks for 32×32 and smaller images, as the usual PyTorch CIFAR ones.

With the same weights they compute the same logits, in training and in
evaluation mode; the initial weights are drawn as PyTorch's defaults draw them.
Images are N×H×W×C, kernels H×W×in×out.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx


class OneValueError(ValueError):
    """A channel that has one value in the whole batch has no variance to train with."""


class BatchNorm(nnx.BatchNorm):
    """Batch normalisation with PyTorch's running variance: divided by n − 1, not n.

    Raises:
      OneValueError: in training, if there is one value a channel, as PyTorch does.
    """

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        # PyTorch calls its momentum 0.1. The two-pass variance does not cancel.
        super().__init__(channels, momentum=0.9, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        before = self.var[...]
        y: jax.Array = super().__call__(x)
        if not self.use_running_average:
            n = math.prod(x.shape[:-1])
            if self.axis_name is not None:  # x is one device's share of the batch
                n *= jax.lax.axis_size(self.axis_name)
            if n == 1:
                raise OneValueError(
                    f"a BatchNorm layer would have one value for each of its {x.shape[-1]} channels"
                )
            kept = self.momentum * before
            self.var[...] = kept + (self.var[...] - kept) * (n / (n - 1))
        return y


# Uniform on ±1/√fan_in: PyTorch's default for convolutions and dense layers alike.
_uniform_fan_in = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _convolution(
    channels_in: int, channels_out: int, size: int, stride: int, rngs: nnx.Rngs
) -> nnx.Conv:
    return nnx.Conv(
        channels_in,
        channels_out,
        (size, size),
        strides=stride,
        padding=size // 2,  # explicit: "SAME" pads strided layers on one side only
        use_bias=False,
        kernel_init=_uniform_fan_in,
        rngs=rngs,
    )


class _Block(nnx.Module):
    """Convolutions, each normalised, and the shortcut around them."""

    def __init__(self, layers: Sequence[tuple[int, int, int, int]], rngs: nnx.Rngs):
        self.convolutions: nnx.List[nnx.Conv] = nnx.List()
        self.norms: nnx.List[BatchNorm] = nnx.List()
        for layer in layers:
            self.convolutions.append(_convolution(*layer, rngs))
            self.norms.append(BatchNorm(layer[1], rngs=rngs))
        channels_in, channels_out = layers[0][0], layers[-1][1]
        stride = math.prod(layer[3] for layer in layers)
        # Where shapes change; elsewhere the shortcut is the input itself.
        self.shortcut: nnx.List[nnx.Conv | BatchNorm] = nnx.List()
        if stride != 1 or channels_in != channels_out:
            self.shortcut.append(_convolution(channels_in, channels_out, 1, stride, rngs))
            self.shortcut.append(BatchNorm(channels_out, rngs=rngs))

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x
        for k, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(convolution(nnx.relu(y) if k else y))
        for layer in self.shortcut:
            x = layer(x)
        return nnx.relu(y + x)


class BasicBlock(_Block):
    """Two 3×3 convolutions."""

    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int, rngs: nnx.Rngs):
        super().__init__([(channels_in, width, 3, stride), (width, width, 3, 1)], rngs)


class Bottleneck(_Block):
    """A 3×3 convolution between two of 1×1, the last four times as wide."""

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int, rngs: nnx.Rngs):
        layers = [(channels_in, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        super().__init__(layers, rngs)


class ResNet(nnx.Module):
    """A 3×3 stem without pooling, stages of blocks, global average pooling, a dense layer."""

    def __init__(
        self,
        rngs: nnx.Rngs,
        *,
        block: type[BasicBlock | Bottleneck],
        widths: Sequence[int],
        counts: Sequence[int],
        channels: int,
        classes: int,
    ):
        self.stem = _convolution(channels, widths[0], 3, 1, rngs)
        self.norm = BatchNorm(widths[0], rngs=rngs)
        self.blocks: nnx.List[BasicBlock | Bottleneck] = nnx.List()
        channels_in = widths[0]
        for stage, (width, count) in enumerate(zip(widths, counts, strict=True)):
            for k in range(count):
                stride = 2 if stage > 0 and k == 0 else 1
                self.blocks.append(block(channels_in, width, stride, rngs))
                channels_in = width * block.expansion
        bound = 1 / math.sqrt(channels_in)
        self.head = nnx.Linear(
            channels_in,
            classes,
            kernel_init=_uniform_fan_in,
            bias_init=lambda key, shape, dtype: jax.random.uniform(
                key, shape, dtype, -bound, bound
            ),
            rngs=rngs,
        )

    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits, N×classes, for normalised images."""
        x = nnx.relu(self.norm(self.stem(images)))
        for block in self.blocks:
            x = block(x)
        logits: jax.Array = self.head(jnp.mean(x, axis=(1, 2)))
        return logits


# Each takes rngs, channels and classes.
MODELS: dict[str, Callable[..., ResNet]] = {
    "resnet8": functools.partial(ResNet, block=BasicBlock, widths=(16, 32, 64), counts=(1, 1, 1)),
    "resnet18": functools.partial(
        ResNet, block=BasicBlock, widths=(64, 128, 256, 512), counts=(2, 2, 2, 2)
    ),
    "resnet50": functools.partial(
        ResNet, block=Bottleneck, widths=(64, 128, 256, 512), counts=(3, 4, 6, 3)
    ),
}

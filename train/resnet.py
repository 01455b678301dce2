"""Residual networks for 32×32 and smaller images, as the usual PyTorch CIFAR ones.

With the same weights they compute the same logits, in training and in
evaluation mode; the initial weights are drawn as PyTorch's defaults draw them.
Images are N×H×W×C, kernels H×W×in×out.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx


class BatchNorm(nnx.BatchNorm):
    """Batch normalisation with PyTorch's running variance: divided by n − 1, not n."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        # Flax's momentum 0.9 is PyTorch's 0.1. The two-pass variance does not cancel.
        super().__init__(channels, momentum=0.9, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        before = self.var[...]
        y: jax.Array = super().__call__(x)
        if not self.use_running_average:
            n = math.prod(x.shape[:-1])
            kept = self.momentum * before
            self.var[...] = kept + (self.var[...] - kept) * (n / max(n - 1, 1))
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


class BasicBlock(nnx.Module):
    """Two 3×3 convolutions and the shortcut around them."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, rngs: nnx.Rngs):
        self.conv1 = _convolution(channels_in, channels_out, 3, stride, rngs)
        self.norm1 = BatchNorm(channels_out, rngs=rngs)
        self.conv2 = _convolution(channels_out, channels_out, 3, 1, rngs)
        self.norm2 = BatchNorm(channels_out, rngs=rngs)
        changes = stride != 1 or channels_in != channels_out
        self.shortcut = nnx.data(
            nnx.Sequential(
                _convolution(channels_in, channels_out, 1, stride, rngs),
                BatchNorm(channels_out, rngs=rngs),
            )
            if changes
            else None
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    """A 3×3 stem without pooling, stages of blocks, global average pooling, a dense layer."""

    def __init__(
        self,
        widths: Sequence[int],
        blocks: Sequence[int],
        *,
        channels: int,
        classes: int,
        rngs: nnx.Rngs,
    ):
        self.stem = _convolution(channels, widths[0], 3, 1, rngs)
        self.norm = BatchNorm(widths[0], rngs=rngs)
        self.blocks: nnx.List[BasicBlock] = nnx.List()
        width_in = widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for k in range(count):
                stride = 2 if stage > 0 and k == 0 else 1
                self.blocks.append(BasicBlock(width_in, width, stride, rngs))
                width_in = width
        bound = 1 / math.sqrt(width_in)
        self.head = nnx.Linear(
            width_in,
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


def _resnet8(rngs: nnx.Rngs, *, channels: int, classes: int) -> ResNet:
    return ResNet((16, 32, 64), (1, 1, 1), channels=channels, classes=classes, rngs=rngs)


MODELS: dict[str, Callable[..., ResNet]] = {"resnet8": _resnet8}

"""Convolutions on one CPU device: compiler options, and two kinds of layer written out.

XLA takes its CPU convolutions from YNNPACK unless told otherwise (jaxlib 0.10). Those ran layers
of up to 64 channels on one core of two; Eigen's divide every layer. The options below leave only
reductions, as BatchNorm's, to YNNPACK, which is faster at them (docs/performance.md).

XLA takes the input gradient of a strided convolution as a convolution of the output gradient with
zeros put between its pixels, three in four at stride 2, and multiplies by them. `convolution`
sorts the input's pixels by their remainder modulo the stride: each class is a convolution of its
own, with the taps that reach it and no zeros. A 1×1 convolution is a matrix product.

Accelerators have their vendor's kernels. A batch that jit divides over several devices needs the
partitioner's rules, which know XLA's own convolution. RSGDM_CONVOLUTION=xla switches all of this
off. It changes rounding alone, so it is no part of a study's identity; but a run is resumed bit
for bit only with the same choice, which environment.json keeps.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from train.common.errors import InputError

VARIABLE = "RSGDM_CONVOLUTION"
CHOICES = ("fast", "xla")
_OPTIONS: dict[str, bool | int | float | str] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"
}
_NHWC = lax.conv_dimension_numbers((1,) * 4, (1,) * 4, ("NHWC", "HWIO", "NHWC"))
_DEFAULTS: dict[str, Any] = {
    "lhs_dilation": (1, 1),
    "rhs_dilation": (1, 1),
    "feature_group_count": 1,
    "precision": None,
    "out_sharding": None,
}
_Padding = tuple[tuple[int, int], ...]


def choose(devices: Sequence[jax.Device], parallel: str) -> str:
    """The environment's choice, "fast" if it makes none; "xla" on other than one CPU device.

    pmap takes no compiler options: under it too, it is "xla".

    Raises:
      InputError: if the environment says neither.
    """
    choice = os.environ.get(VARIABLE, "fast")
    if choice not in CHOICES:
        raise InputError(f"{VARIABLE}: {choice!r} is unknown; allowed: {', '.join(CHOICES)}")
    one_cpu = len(devices) == 1 and devices[0].platform == "cpu"
    return choice if one_cpu and parallel == "jit" else "xla"


@functools.cache
def compiler_options() -> dict[str, bool | int | float | str] | None:
    """For `jax.jit` on a CPU; None where jaxlib does not know the option, and needs it not."""
    try:
        jax.jit(lambda x: x, compiler_options=_OPTIONS).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return None
    return _OPTIONS


def convolution(
    images: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]] | str,
    *,
    dimension_numbers: lax.ConvDimensionNumbers,
    **rest: Any,
) -> jax.Array:
    """Takes the place of `lax.conv_general_dilated` in `flax.nnx.Conv`.

    Differentiable in reverse, once. Whatever is not among our networks' convolutions (dilated,
    grouped, of other layouts or dimensions) is left to XLA as a whole.
    """
    stride = window_strides[0]
    if (
        dimension_numbers != _NHWC
        or not rest.items() <= _DEFAULTS.items()
        or window_strides != (stride, stride)
        or isinstance(padding, str)
    ):
        rest["dimension_numbers"] = dimension_numbers
        return lax.conv_general_dilated(images, kernel, window_strides, padding, **rest)
    if kernel.shape[:2] == (1, 1) and not any(map(any, padding)):
        return images[:, ::stride, ::stride] @ kernel[0, 0]
    if stride == 1 or stride > min(kernel.shape[:2]):  # then some pixels meet no tap
        return _plain(images, kernel, stride, tuple(padding))
    return _strided(images, kernel, stride, tuple(padding))


def _plain(images: jax.Array, kernel: jax.Array, stride: int, padding: _Padding) -> jax.Array:
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=_NHWC
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _strided(images: jax.Array, kernel: jax.Array, stride: int, padding: _Padding) -> jax.Array:
    return _plain(images, kernel, stride, padding)


def _strided_forward(
    images: jax.Array, kernel: jax.Array, stride: int, padding: _Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _plain(images, kernel, stride, padding), (images, kernel)


def _strided_backward(
    stride: int, padding: _Padding, saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved
    _, kernel_gradient = jax.vjp(lambda k: _plain(images, k, stride, padding), kernel)
    return (
        _input_gradient(kernel, gradient, stride, padding, images.shape),
        kernel_gradient(gradient)[0],
    )


_strided.defvjp(_strided_forward, _strided_backward)


def _input_gradient(
    kernel: jax.Array, gradient: jax.Array, stride: int, padding: _Padding, shape: Sequence[int]
) -> jax.Array:
    """The gradient with respect to images of `shape`, class by class of their pixels."""
    n, height, width, channels = shape
    sizes = (-(-height // stride), -(-width // stride))
    transposed = jnp.swapaxes(kernel, 2, 3)

    def pixels(remainders: tuple[int, int]) -> jax.Array:
        """Rows and columns with these remainders after division by the stride."""
        taps, pads = [], []
        for axis, remainder in enumerate(remainders):
            # Pixel stride·a + remainder meets tap first + stride·t from output a + shift − t.
            shift, first = divmod(remainder + padding[axis][0], stride)
            count = len(range(first, kernel.shape[axis], stride))
            taps.append(slice(first, None, stride))
            low = count - 1 - shift
            pads.append((low, sizes[axis] + count - 1 - low - gradient.shape[1 + axis]))
        reaching = jnp.flip(transposed[taps[0], taps[1]], (0, 1))
        return _plain(gradient, reaching, 1, tuple(pads))

    rows = [jnp.stack([pixels((p, q)) for q in range(stride)], 3) for p in range(stride)]
    full = jnp.stack(rows, 2).reshape(n, sizes[0] * stride, sizes[1] * stride, channels)
    return full[:, :height, :width]

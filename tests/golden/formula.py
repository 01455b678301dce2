"""Weights and data made by formulas, so that PyTorch and JAX start from the same without files."""

import numpy as np

STEPS = 3
RATE = 0.05


def _spread(count: int, layer: int) -> np.ndarray:
    """Numbers in [−1, 1) that look random, float64: fractional parts of multiples of √2 and √3."""
    k = np.arange(1, count + 1)
    return 2 * np.mod(k * np.sqrt(2) + k * k * np.sqrt(3) + layer * np.sqrt(5), 1.0) - 1


def weights(shape: tuple[int, ...], layer: int, kind: str) -> np.ndarray:
    """The weights of the layer-th layer with weights: kernel (out, in, …), scale, or bias."""
    values = _spread(int(np.prod(shape)), layer).reshape(shape)
    if kind == "kernel":
        return values * np.sqrt(3 / np.prod(shape[1:]))
    return 1 + 0.3 * values if kind == "scale" else 0.2 * values


def batch(step: int, size: int, channels: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Images N×H×W×C, float64, and labels of one step."""
    images = _spread(size * channels * side * side, 100 + step)
    return images.reshape(size, side, side, channels), (np.arange(size) * 3 + step) % 10

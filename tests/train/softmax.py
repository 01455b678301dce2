"""Softmax regression twice: as a network in float64, and by hand in NumPy."""

import jax.numpy as jnp
import numpy as np
from flax import nnx


class Linear(nnx.Module):
    """A model small enough to differentiate by hand; of 8×8 images."""

    def __init__(self, rngs: nnx.Rngs, *, channels: int, classes: int):
        self.dense = nnx.Linear(64 * channels, classes, param_dtype=jnp.float64, rngs=rngs)
        self.use_running_average = False

    def __call__(self, images):
        return self.dense(images.reshape(len(images), -1))


def parameters(network, keys) -> np.ndarray:
    """The network's initial parameters as one vector: bias, then kernel."""
    params, _ = network.init(keys.parameters)
    dense = params["dense"]
    return np.concatenate([dense["bias"][...].ravel(), dense["kernel"][...].ravel()])


def gradient(theta: np.ndarray, data, chosen: np.ndarray, weight_decay: float) -> np.ndarray:
    """Of the mean loss over the chosen training examples, with coupled weight decay."""
    batch = data.train.take(chosen)
    # Normalised in float32, as in training.
    x = ((batch.images.astype(np.float32) - data.mean) / data.std).reshape(len(chosen), -1)
    logits = x.astype(np.float64) @ theta[10:].reshape(64, 10) + theta[:10]
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    error = (p - np.eye(10)[batch.labels]) / len(chosen)
    by_hand = np.concatenate([error.sum(0), (x.T @ error).ravel()])
    return by_hand + weight_decay * theta

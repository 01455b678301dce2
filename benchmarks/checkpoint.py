"""Seconds that a checkpoint adds to an epoch, and that going on from it takes.

python benchmarks/checkpoint.py
"""

import functools
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from rsgdm_optax import rsgdm
from train.checkpoints import Checkpoints
from train.resnet import MODELS
from train.steps import Keys, Network, TrainState
from train.table import markdown_table

REPEATS = 7


def _state(model: str) -> TrainState:
    network = Network(functools.partial(MODELS[model], channels=3, classes=10))
    params, batch_stats = jax.jit(network.init)(Keys.of_seed(0).parameters)
    return TrainState(jnp.int32(0), params, batch_stats, rsgdm(0.1).init(params))


def _seconds(model: str) -> list[str]:
    state = jax.block_until_ready(_state(model))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    saves, restores = [], []
    with tempfile.TemporaryDirectory() as folder:
        for epochs in range(1, REPEATS + 2):
            metrics = [{"epoch": epoch + 1} for epoch in range(epochs)]
            start = time.perf_counter()
            Checkpoints(Path(folder)).save(state, metrics)
            saved = time.perf_counter()
            Checkpoints(Path(folder)).restore(state)
            if epochs > 1:  # the first warms up
                saves.append(saved - start)
                restores.append(time.perf_counter() - saved)
    return [model, f"{size / 1e6:.1f}", _spread(saves), _spread(restores)]


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} … {max(seconds):.2f})"


if __name__ == "__main__":
    header = ["model, with rsgdm's three buffers", "MB", "save, s", "go on, s"]
    print(markdown_table(header, [_seconds(model) for model in MODELS]))

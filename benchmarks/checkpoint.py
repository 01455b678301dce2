"""The time that a checkpoint adds to an epoch, and that going on from it takes.

python benchmarks/checkpoint.py [--quick]
"""

import functools
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Spread, parse, report
from rsgdm_optax import rsgdm
from train.engine.steps import Keys, Network, TrainState
from train.models.resnet import MODELS
from train.runs.checkpoints import Checkpoints


def initial(model: str) -> TrainState:
    """A state with rsgdm's three buffers."""
    network = Network(functools.partial(MODELS[model], channels=3, classes=10))
    params, batch_stats = jax.jit(network.init)(Keys.of_seed(0).parameters)
    return TrainState(jnp.int32(0), params, batch_stats, rsgdm(0.1).init(params))


def measure(model: str, rounds: int) -> dict[str, Any]:
    """Saves and restores in turn."""
    state = jax.block_until_ready(initial(model))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    saves, restores = [], []
    with tempfile.TemporaryDirectory() as folder:
        for epochs in range(1, rounds + 2):
            metrics = [{"epoch": epoch + 1} for epoch in range(epochs)]
            start = time.perf_counter()
            Checkpoints(Path(folder)).save(state, metrics)
            saved = time.perf_counter()
            Checkpoints(Path(folder)).restore(state, epochs)
            if epochs > 1:  # the first warms up
                saves.append(saved - start)
                restores.append(time.perf_counter() - saved)
    return {
        "model, with rsgdm's three buffers": model,
        "MB": f"{size / 1e6:.1f}",
        "save, s": Spread.of(np.array(saves)),
        "resume, s": Spread.of(np.array(restores)),
    }


def main() -> None:
    """Times every model."""
    options = parse("checkpoint.py", "Time a checkpoint, and going on from it.")
    models = ["resnet8"] if options.quick else list(MODELS)
    report(options, [measure(model, 2 if options.quick else 9) for model in models])


if __name__ == "__main__":
    main()

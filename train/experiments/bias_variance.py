r"""Bias and variance of SGDM's m and RSGDM's n against the full-batch gradient, in training.

python train/experiments/bias_variance.py --preset demo --no-augment --train-examples 1280 \
    --optimizers sgdm --seeds 5 --output runs/correction

An optimizer trains; its parameters θ₀, θ₁, … are the path. Along this one path, held fixed,

G_t   the full-batch gradient at θ_{t−1}: the mean over the batches of one partition of all training
      examples, the same partition at every step. BatchNorm takes its statistics from each batch, so
      batches of training's own size are what a full batch can mean; the gradient of one huge batch
      would be another function's. Without BatchNorm G_t = E g_t exactly; with it, up to what other
      partitions of the same examples would give.
E m   the average of G_1 … G_t: m is linear in the gradients, so this is its expectation over
      batches at fixed parameters. Likewise E n, and E N for Nesterov momentum.
m, n  of `REPLICAS` independent orders of batches, each of permuted epochs as in training, give the
      variance, and the bias once more, from draws in place of expectations.

Augmentation must be off: an expectation over crops is no finite sum. The examples must be whole
batches, so that an epoch leaves none out. Weight decay is part of every gradient, as in training.
"""

if __name__ == "__main__":  # this checkout's packages come before others of their names
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from train.common.entrypoint import start

    start(__file__)

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

import rsgdm_optax
from train.common.errors import InputError
from train.engine.recipe import Recipe
from train.experiments.measurement import Subject, measure_all, options, significant
from train.runs.measurements import BIAS_VARIANCE, Numbers

REPLICAS = 8

Vector = npt.NDArray[np.float64]


def correction(subject: Subject) -> Callable[[int], Numbers]:
    """Bias, variance and direction of each estimate at every step of one training after the other.

    The estimates are what sgd, sgdm, rsgdm and nesterov step along: g, m, n and N.
    """
    run, trainer = subject.run, subject.trainer
    recipe = Recipe(run, subject.dataset)
    if run.augment:
        raise InputError("augment: True; a full-batch gradient has no crops: give --no-augment")
    if len(subject.dataset.train) % run.batch_size:
        raise InputError(
            f"train_examples: {len(subject.dataset.train)} is no multiple of the batch size "
            f"{run.batch_size}; an epoch would leave examples out of the full batch"
        )
    averages = rsgdm_optax.scale_by_rsgdm(run.decay)  # its state holds g and m, and with z, n
    # These two train nothing: their states keep what becomes of the gradients at given parameters.
    watching, adding = (
        optax.chain(optax.add_decayed_weights(run.weight_decay), kept, optax.set_to_zero())
        for kept in (averages, optax.trace(1.0))
    )
    drive = trainer.single_step(run)
    watch, add = (trainer.single_step(run, optimizer) for optimizer in (watching, adding))

    def measure(seed: int) -> Numbers:
        keys = trainer.keys(seed)
        path = trainer.start(subject.seeded(seed))
        # Augmentation is off, which leaves its randomness to the partition and the replicas.
        partition, *orders = (
            keys._replace(order=key) for key in jax.random.split(keys.augmentation, 1 + REPLICAS)
        )
        replicas = [trainer.start(subject.seeded(seed), watching) for _ in orders]
        empty = adding.init(path.params)
        expected = averages.init(path.params)
        rows: list[Numbers] = []
        gradients: list[Vector] = []
        for _ in range(recipe.steps):
            here = path._replace(step=jnp.int32(0), opt_state=empty)
            for _ in range(recipe.steps_per_epoch):
                here = add(here, partition)
            total = optax.tree.get(here.opt_state, "trace")
            full = optax.tree.scale(1 / recipe.steps_per_epoch, total)
            _, expected = averages.update(full, expected)
            replicas = [
                watch(replica._replace(params=path.params), order)
                for replica, order in zip(replicas, orders, strict=True)
            ]
            drawn = [_estimates(replica.opt_state[1], run.decay) for replica in replicas]
            gradients.append(_vector(full))
            rows.append(_row(gradients, _estimates(expected, run.decay), drawn, run.decay))
            path = drive(path, keys)
        return {
            "learning_rate": recipe.alpha,
            "steps_per_epoch": recipe.steps_per_epoch,
            "replicas": REPLICAS,
            "step": list(range(1, recipe.steps + 1)),
            **_columns(rows),
        }

    return measure


def _estimates(state: rsgdm_optax.ScaleByRsgdmState, decay: float) -> dict[str, Vector]:
    g, m, z = (_vector(tree) for tree in (state.previous_gradient, state.m, state.z))
    return {"g": g, "m": m, "n": m + decay * z, "N": decay * m + (1 - decay) * g}


def _vector(tree: Any) -> Vector:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(np.float64)


def _row(
    gradients: list[Vector],
    expected: dict[str, Vector],
    drawn: list[dict[str, Vector]],
    decay: float,
) -> Numbers:
    """One step's numbers, G_t being the last of the gradients.

    Equation (5) of the paper parts the bias of m: E m − G = −βᵗ·G + (1−β)·ξ, the undebiased start
    and the lag. Equation (8) does so for n, with ς.
    """
    gradient, t = gradients[-1], len(gradients)
    change = gradient - gradients[-2] if t > 1 else np.zeros_like(gradient)
    start = -(decay**t) * gradient
    row: Numbers = {
        "gradient_squared": _squared(gradient),
        "change_squared": _squared(change),
        "start_squared": _squared(start),
        "xi_squared": _squared(expected["m"] - gradient - start),  # of (1−β)·ξ
        "sigma_squared": _squared(expected["n"] - gradient - start),  # of (1−β)·ς
    }
    for name, mean in expected.items():
        values = np.stack([replica[name] for replica in drawn])
        variance = float(np.sum(np.var(values, axis=0, ddof=1)))
        row[name] = {
            "bias_squared": _squared(mean - gradient),
            # Of the mean over the replicas, less what their noise adds on average.
            "bias_squared_drawn": _squared(values.mean(axis=0) - gradient) - variance / len(drawn),
            "variance": variance,
            "behind": float(np.dot(gradient - mean, change)),
            "cosine": _cosine(mean, gradient),
            "cosine_drawn": float(np.mean([_cosine(value, gradient) for value in values])),
        }
    return row


def _squared(vector: Vector) -> float:
    return float(np.dot(vector, vector))


def _cosine(a: Vector, b: Vector) -> float:
    return float(np.dot(a, b)) / math.sqrt(_squared(a) * _squared(b))


def _columns(rows: list[Numbers]) -> Numbers:
    """One list a quantity in place of one entry a step."""
    return {
        name: _columns([row[name] for row in rows])
        if isinstance(first, dict)
        else [significant(row[name]) for row in rows]
        for name, first in rows[0].items()
    }


def main() -> int:
    """Measures what the options say; returns the exit status."""
    config = options(
        "bias_variance.py",
        "Measure bias and variance of m and n against the full-batch gradient along a training.",
    )
    measure_all(BIAS_VARIANCE, config, correction)
    return 0

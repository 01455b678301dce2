"""The time of an optimizer's update and its application, against Optax's Nesterov momentum.

python benchmarks/update.py [--quick]

Parameters, state and gradients are donated, so that results take the place of what they replace.
"copy" writes the parameters' bytes from one buffer into another. The share of its speed that an
update reaches counts each array it reads and each it writes once.
"""

import functools
import time
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import optax

import rsgdm_optax
from benchmarks.timing import Spread, Timed, interleaved, parse, report
from train.engine.steps import Network
from train.models.resnet import MODELS

RATE = 0.01
BASE = "optax.sgd, nesterov"
# Each with how many arrays of the parameters' size one update reads and writes: parameters,
# gradients and buffers are read; parameters and buffers are written.
OPTIMIZERS: dict[str, tuple[optax.GradientTransformation, int]] = {
    BASE: (optax.sgd(RATE, 0.9, nesterov=True), 5),
    "optax.sgd, momentum": (optax.sgd(RATE, 0.9), 5),
    "optax.adam": (optax.adam(RATE), 7),
    "sgdm": (rsgdm_optax.sgdm(RATE), 5),
    "nesterov": (rsgdm_optax.nesterov(RATE), 5),
    "rsgdm, one buffer": (rsgdm_optax.rsgdm(RATE, compact=True), 5),
    "rsgdm, one buffer, c = 4": (rsgdm_optax.rsgdm(RATE, correction=4.0, compact=True), 5),
    "rsgdm, three buffers": (rsgdm_optax.rsgdm(RATE), 9),
}


def trees(*, quick: bool) -> dict[str, Any]:
    """Shapes of parameters: a network's, and as many in one array."""
    found = {}
    for name in ("resnet8",) if quick else ("resnet18",):
        make = functools.partial(MODELS[name], channels=3, classes=10)
        params, _ = jax.eval_shape(Network(make).init, jax.random.key(0))
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        found[name] = params
        found[f"one array of {size:,}"] = jax.ShapeDtypeStruct((size,), jnp.float32)
    return found


def random_like(shapes: Any) -> Any:
    """Arrays of these shapes."""
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    arrays = [
        jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, arrays)


copied = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))


def update(optimizer: optax.GradientTransformation, params: Any, gradients: Any) -> Timed:
    """Measures one update; the next one goes on from it."""

    # The gradients come last: of equal shapes JAX gives an output the first one donated, and a
    # buffer that changed its place would have to be copied.
    @functools.partial(jax.jit, donate_argnums=(0, 1, 2), keep_unused=True)
    def step(params: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    now = [copied(params), optimizer.init(params)]

    def measure() -> float:
        mine = jax.block_until_ready(copied(gradients))
        start = time.perf_counter()
        now[:] = jax.block_until_ready(step(*now, mine))
        return time.perf_counter() - start

    return measure


def copy(params: Any) -> Timed:
    """Measures a copy of the parameters into a buffer that exists."""
    now = [copied(params)]

    # Adding what is not known to be zero keeps XLA from returning the input.
    @functools.partial(jax.jit, donate_argnums=0, keep_unused=True)
    def step(target: Any, source: Any, zero: jax.Array) -> Any:
        del target
        return jax.tree.map(lambda s: s + zero, source)

    zero = jnp.float32(0)

    def measure() -> float:
        start = time.perf_counter()
        now[0] = jax.block_until_ready(step(now[0], params, zero))
        return time.perf_counter() - start

    return measure


def main() -> None:
    """Times every optimizer on every tree."""
    options = parse("update.py", "Time optimizer updates against Optax's Nesterov momentum.")
    # No result takes the gradients' place; they are donated all the same, and JAX says so.
    warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
    rows = []
    for name, shapes in trees(quick=options.quick).items():
        params, gradients = random_like(shapes), random_like(shapes)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
        measures = {
            label: update(optimizer, params, gradients)
            for label, (optimizer, _) in OPTIMIZERS.items()
        }
        seconds = interleaved(measures | {"copy": copy(params)}, 3 if options.quick else 100)
        speed = 2 * size / seconds["copy"]
        for label, (_, arrays) in OPTIMIZERS.items():
            rows.append(
                {
                    "parameters": name,
                    "optimizer": label,
                    "ms": Spread.of(1e3 * seconds[label]),
                    "ratio": Spread.of(seconds[label] / seconds[BASE]),
                    "MB": f"{arrays * size / 1e6:.1f}",
                    "share of copy speed": Spread.of(arrays * size / seconds[label] / speed),
                }
            )
        rows.append(
            {
                "parameters": name,
                "optimizer": "copy",
                "ms": Spread.of(1e3 * seconds["copy"]),
                "ratio": Spread.of(seconds["copy"] / seconds[BASE]),
                "MB": f"{2 * size / 1e6:.1f}",
                "share of copy speed": "1",
            }
        )
    report(options, rows)


if __name__ == "__main__":
    main()

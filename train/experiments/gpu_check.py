"""What can only be checked on a GPU: precision, speed and memory of each preset's training.

python train/experiments/gpu_check.py
"""

if __name__ == "__main__":  # this checkout's packages come before others of their names
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from train.common.entrypoint import start

    start(__file__)

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rsgdm_optax
from train.common.arguments import Parser
from train.common.errors import InputError
from train.common.progress import say
from train.common.screen import print_table, screen
from train.data import sources
from train.data.dataset import Dataset, select
from train.data.npz import Arrays
from train.data.sources import Source
from train.engine import backend
from train.engine.epochs import Trainer
from train.study.config import Config
from train.study.presets import PRESETS
from train.study.runner import matmul_precision
from train.study.validation import check


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    value: str
    holds: bool


def products() -> Iterator[Check]:
    """Errors of a matrix product, relative to the largest element, against float64."""
    a, b = np.random.default_rng(0).normal(size=(2, 1024, 1024)).astype(np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    for precision, limit in (("float32", 3e-6), ("tensorfloat32", 1e-2)):
        with jax.default_matmul_precision(precision):
            error = float(np.abs(jnp.asarray(a) @ jnp.asarray(b) - exact).max())
        error /= float(np.abs(exact).max())
        yield Check(f"{precision} products", f"error {error:.1e}, at most {limit:g}", error < limit)


def updates() -> Iterator[Check]:
    """A hundred updates by every optimizer of the library, against the same on the CPU."""
    gradients = np.random.default_rng(1).normal(size=(100, 1000)).astype(np.float32)

    def path(optimizer: optax.GradientTransformation, device: jax.Device) -> np.ndarray:
        given = jax.device_put(gradients, device)
        state = optimizer.init(given[0])

        def step(state: Any, gradient: jax.Array) -> tuple[Any, jax.Array]:
            updates, state = optimizer.update(gradient, state)
            return state, updates

        return np.asarray(jax.jit(lambda *args: jax.lax.scan(step, *args)[1])(state, given))

    for name in ("sgdm", "nesterov", "rsgdm"):
        optimizer = getattr(rsgdm_optax, name)(1.0)
        here, cpu = (path(optimizer, d) for d in (backend.devices()[0], backend.devices("cpu")[0]))
        error = float(np.abs(here - cpu).max() / np.abs(cpu).max())
        yield Check(f"{name} updates", f"{error:.1e} from the CPU's, at most 1e-06", error < 1e-6)


def epochs(name: str, config: Config, dataset: Dataset) -> Iterator[Check]:
    """Two epochs of each optimizer: the second must not need more memory than the first."""
    config = config.replace(epochs=2, seeds=(0, 1))
    check(config)
    device = backend.devices()[0]
    trainer = Trainer(dataset)
    for run in config.runs(dataset.fingerprint):
        with jax.default_matmul_precision(matmul_precision(config)):
            ends = []
            for epoch in trainer.epochs(run, trainer.start(run), 0):
                in_use = (device.memory_stats() or {}).get("bytes_in_use", 0)
                ends.append((in_use, epoch.metrics))
                say(f"{run.name}, epoch {len(ends)}")
        (first, _), (last, metrics) = ends[0], ends[-1]
        peak = (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
        loss, speed = (metrics[key] or math.nan for key in ("train_loss", "images_per_second"))
        yield Check(
            f"{name}: {run.arm}, {run.dtype}",
            f"{speed:,.0f} images/s, loss {loss:.3f}, memory "
            f"{first / 2**30:.2f}, then {last / 2**30:.2f} of {peak / 2**30:.2f} GiB",
            math.isfinite(loss) and last <= first * 1.01,
        )


def checks(*, rehearse: bool) -> Iterator[Check]:
    """Every check in turn."""
    found = backend.devices()
    stats = found[0].memory_stats() or {}
    yield Check(
        "devices",
        f"{len(found)} × {found[0].device_kind}, {stats.get('bytes_limit', 0) / 2**30:.0f} GiB",
        holds=rehearse or jax.default_backend() == "gpu",
    )
    yield from products()
    yield from updates()
    for name in ("cifar10", "cifar100", "fashion_mnist"):
        config = PRESETS[name]
        if rehearse:
            config = config.replace(model="resnet8")
        dataset = select(_source(config.run.dataset, rehearse=rehearse), None, 0)
        yield from epochs(name, config, dataset)
        if name == "cifar10":
            low = config.replace(dtype="bfloat16")
            yield from epochs(name, low, dataset)


def _source(name: str, *, rehearse: bool) -> Source:
    """The data if they are at hand, else noise of the same shapes: speed does not depend on it."""
    if sources.is_here(name, None):
        source = sources.read(name, None, unverified_archive=False)
    else:
        source = sources.stand_in(name)
    if rehearse:
        parts = zip(source.arrays, (256, 256, 100, 100), strict=True)
        source = source._replace(arrays=Arrays(*(array[:n] for array, n in parts)))
    random = np.random.default_rng(0)
    for images in source.arrays[::2]:
        if not images.any():
            images[:] = random.integers(0, 256, images.shape, dtype=np.uint8)
    return source


def main() -> int:
    """Runs the checks and prints their table; 1 if one does not hold."""
    parser = Parser(prog="gpu_check.py", description="Check what only a GPU can show.")
    parser.add_argument(
        "--rehearse", action="store_true", help="on few examples and whatever device there is"
    )
    rehearse = parser.parse_args().rehearse
    first = backend.devices()[0]
    if jax.default_backend() != "gpu" and not rehearse:
        raise InputError(
            f"there is no GPU that JAX sees, only {first.device_kind}; install the "
            "extra cuda12 or cuda13, or try the checks themselves with --rehearse"
        )
    done = list(checks(rehearse=rehearse))
    rows = [(each.name, each.value, "yes" if each.holds else "NO") for each in done]
    print_table(screen(), ("check", "value", "holds"), rows)
    return 0 if all(each.holds for each in done) else 1

"""A process of its own: trains studies on some of its virtual CPU devices.

python -m tests.train.child '{"cpus": 8, "jobs": [{"devices": 8, "config": {"output": ...}}]}'

Started by test_parallel.py, for the number of devices is fixed when JAX starts.
"""

import json
import sys

import jax
import jax.numpy as jnp
import pytest

from tests.train.conftest import small
from train import steps, study, trainer
from train.parallel import Pmap


def _in_float64(patch: pytest.MonkeyPatch) -> None:
    """Parameters, statistics, optimizer state and sums; so everything computed from them."""
    init, zero = steps.Network.init, steps.Sums.zero

    def wide(tree):
        return jax.tree.map(
            lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
        )

    patch.setattr(steps.Network, "init", lambda self, key: wide(init(self, key)))
    patch.setattr(steps.Sums, "zero", lambda: wide(zero()))


# Faults that a comparison with one device must find.
MUTANTS = {
    "sum for mean": lambda patch: patch.setattr(Pmap, "mean", Pmap.total),
    "no mean": lambda patch: patch.setattr(Pmap, "mean", lambda _, shares: shares),
    "BatchNorm of each device": lambda patch: patch.setattr(
        steps.Network,
        "apply",
        lambda *args, axis_name=None, _apply=steps.Network.apply, **options: _apply(
            *args, **options
        ),
    ),
    "each device's own n": lambda patch: patch.setattr(jax.lax, "axis_size", lambda _: 1),
    "all on the first share": lambda patch: patch.setattr(
        Pmap,
        "share",
        lambda self, batch: jax.tree.map(lambda x: x[: len(x) // len(self.devices)], batch),
    ),
}


def _train(devices: int, config: dict, mutant: str | None = None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (study, trainer):
            patch.setattr(module, "devices", lambda: tuple(jax.devices()[:devices]))
        if jax.config.jax_enable_x64:
            _in_float64(patch)
        if mutant is not None:
            MUTANTS[mutant](patch)
        study.run_study(small(**config))


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    jax.config.update("jax_num_cpu_devices", task["cpus"])
    jax.config.update("jax_enable_x64", task["float64"])
    for job in task["jobs"]:
        _train(**job)

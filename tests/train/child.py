"""Trains small studies on some of this process's virtual CPU devices.

python -m tests.train.child '{"cpus": 8, "float64": true, "jobs": [{"devices": 8, ...}]}'

test_parallel.py starts it as a process of its own: the number of devices is fixed when JAX
starts, and what hangs can be killed.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from tests.train.conftest import small
from tests.train.networks import TINY
from train.common import entrypoint, jax_settings
from train.engine import multihost, steps
from train.engine.parallel import Pmap
from train.models.resnet import MODELS
from train.runs.settings import RunConfig
from train.study import runner as study


class Stopped(BaseException):
    """Ends a study where a kill would."""


def _in_float64(patch: pytest.MonkeyPatch) -> None:
    """Parameters, statistics, optimizer state and sums; so everything computed from them."""

    def wide(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any) -> Any:
            return jax.tree.map(
                lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x,
                make(*args),
            )

        return made

    patch.setattr(steps.Network, "init", wide(steps.Network.init))
    patch.setattr(steps.Sums, "zero", staticmethod(wide(steps.Sums.zero)))


def after(epochs: int, act: Callable[[], None]) -> Callable[..., None]:
    """Acts when so many epochs were trained; the last of them has no checkpoint yet."""
    left = iter(range(epochs - 1, -1, -1))

    def acting(_run: RunConfig, _metrics: dict[str, Any]) -> None:
        if next(left) == 0:
            act()

    return acting


def _stop() -> None:
    raise Stopped


def _apply_alone(apply: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: apply(*args, **options | {"axis_name": None})


# Faults of the divided step that the comparison with one device must find.
MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a sum for the mean": lambda patch: patch.setattr(Pmap, "pmean", Pmap.psum),
    "no mean": lambda patch: patch.setattr(Pmap, "pmean", lambda _, shares: shares),
    "no total": lambda patch: patch.setattr(Pmap, "psum", lambda _, shares: shares),
    "BatchNorm of each device's own": lambda patch: patch.setattr(
        steps.Network, "apply", _apply_alone(steps.Network.apply)
    ),
    "n of each device's own": lambda patch: patch.setattr(jax.lax, "axis_size", lambda _: 1),
    "the same share for all": lambda patch: patch.setattr(
        Pmap,
        "shard",
        lambda self, batch: jax.tree.map(lambda x: x[: len(x) // len(self.devices)], batch),
    ),
}


def train(
    config: dict[str, Any],
    *,
    devices: int,
    mutant: str | None = None,
    stop_after: int | None = None,
    die_after: int | None = None,
    report: bool = False,
    network: Callable[..., Any] = TINY,
) -> None:
    """Trains one study of a small network, on the first devices."""
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Stopped):
        patch.setitem(MODELS, "resnet8", network)
        if jax.config.jax_enable_x64:
            patch.setitem(jax_settings.NUMBERS, "jax_enable_x64", value=True)
            _in_float64(patch)
        if not report:  # its figures take longer than the training
            patch.setattr("train.report.report.build_report", lambda *_, **__: None)
        if mutant is not None:
            MUTANTS[mutant](patch)
        options: dict[str, Any] = {}
        if stop_after is not None:
            options["after_epoch"] = after(stop_after, _stop)
        if die_after is not None:
            options["after_epoch"] = after(die_after, lambda: os.kill(os.getpid(), signal.SIGKILL))
        study.run_study(small(**config), tuple(jax.devices()[:devices]), **options)


def main() -> int:
    task = json.loads(sys.argv[1])
    jax.config.update("jax_num_cpu_devices", task["cpus"])
    jax.config.update("jax_enable_x64", task["float64"])
    # Once for all jobs: processes can meet only once.
    with multihost.distributed_session(small("", **task.get("processes", {})).execution):
        for job in task["jobs"]:
            train(**job)
    return 0


if __name__ == "__main__":
    entrypoint.run("child", main)

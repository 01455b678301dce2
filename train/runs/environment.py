"""What a run ran on: versions, device, commit."""

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib
import numpy as np
import optax

import rsgdm_optax

ROOT = Path(__file__).resolve().parents[2]
# As the packages themselves have it: this checkout need not be installed.
_VERSIONS = {
    package.__name__: package.__version__ for package in (rsgdm_optax, jax, jaxlib, flax, optax, np)
}


def environment(
    *, devices: Sequence[jax.Device], parallel: str, matmul_precision: str, convolution: str
) -> dict[str, Any]:
    """The facts that a figure may depend on, beside the settings."""
    return {
        "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit(ROOT),
        "python": platform.python_version(),
        "packages": dict(_VERSIONS),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "cores": len(cores()),
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "processes": jax.process_count(),
        "convolution": convolution,
        "parallel": parallel,
        "matmul_precision": matmul_precision,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def cores() -> list[int]:
    """The cores that this process may use: all of them where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def commit(checkout: Path) -> str | None:
    """The checkout's commit, with a mark if files differ from it; None if git does not know it."""
    # GIT_DIR and the like name another repository; so may a folder around the checkout.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=checkout, env=env, capture_output=True, check=True
        )
        return os.fsdecode(done.stdout).strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != checkout.resolve():
            return None
        return git("describe", "--always", "--abbrev=40", "--dirty")
    except (OSError, subprocess.CalledProcessError):
        return None

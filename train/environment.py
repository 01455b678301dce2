"""What a run ran on: versions, device, commit."""

import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

_PACKAGES = ("rsgdm_optax", "jax", "jaxlib", "flax", "optax", "numpy")


def environment(
    *, devices: Sequence[jax.Device], parallel: str, matmul_precision: str, convolution: str
) -> dict[str, Any]:
    """The facts that a figure may depend on, beside the settings."""
    return {
        "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "processes": jax.process_count(),
        "convolution": convolution,
        "parallel": parallel,
        "matmul_precision": matmul_precision,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _commit() -> str | None:
    """The checkout's commit, with a mark if files differ from it; None outside of git."""
    describe = ["git", "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(
            describe, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()

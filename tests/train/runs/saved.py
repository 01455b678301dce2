"""Checkpoints to break: what they hold, and how their files fail."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from train.engine.steps import TrainState
from train.runs.checkpoints import Checkpoints

EPOCHS = 9


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES = {
    "flipped bit": flip,
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "missing": lambda path: path.unlink(),
}


class Momentum(NamedTuple):
    count: np.ndarray
    m: dict


def state_of(epoch: int) -> TrainState:
    rng = np.random.default_rng(epoch)
    weights = {
        "w": rng.standard_normal((3, 2)).astype(np.float32),
        "half": rng.standard_normal(4).astype(jax.numpy.bfloat16),
    }
    norm = {"mean": rng.standard_normal(2)}
    return TrainState(np.int32(epoch), weights, norm, (Momentum(np.int32(epoch), weights), ()))


def metrics_of(epoch: int) -> list[dict]:
    return [{"epoch": k + 1, "alpha": 0.1, "test_loss": 1 / 3} for k in range(epoch)]


def restore(folder: Path, template: TrainState | None = None):
    return Checkpoints(folder).restore(template or state_of(0), EPOCHS)


def assert_restores(folder: Path, epoch: int) -> None:
    state, metrics = restore(folder)
    assert jax.tree.structure(state) == jax.tree.structure(state_of(epoch))
    for found, wanted in zip(jax.tree.leaves(state), jax.tree.leaves(state_of(epoch)), strict=True):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert found.tobytes() == wanted.tobytes()
    assert metrics == metrics_of(epoch)


def everything(folder: Path) -> dict[str, bytes | str]:
    """Every file below a folder with its content, links with their targets."""
    found: dict[str, bytes | str] = {}
    for parent, folders, files in os.walk(folder):  # not by pathlib, which tests make fail
        for name in (*folders, *files):
            path = os.path.join(parent, name)  # noqa: PTH118
            key = os.path.relpath(path, folder)
            if os.path.islink(path):  # noqa: PTH114
                found[key] = f"link to {os.readlink(path)}"  # noqa: PTH115
            elif name in folders:
                found[key] = "folder"
            else:
                with open(path, "rb") as file:  # noqa: PTH123
                    found[key] = file.read()
    return found


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_args, **_options):
        raise error

    return fail


def write_sums(path: Path) -> None:
    """Makes a checkpoint's checksums anew, by the command sha256sum."""
    files = sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
    files.remove("SHA256SUMS")
    done = subprocess.run(["sha256sum", *files], cwd=path, capture_output=True, check=True)
    (path / "SHA256SUMS").write_bytes(done.stdout)

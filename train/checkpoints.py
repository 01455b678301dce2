"""A run's checkpoints: training goes on from the newest that is whole.

epoch-K/   state/  metrics.json  SHA256SUMS

Orbax writes the arrays. It does not notice a bit that flips later, so every file has its
checksum, in the format of the command sha256sum.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from train.errors import InputError
from train.progress import warn
from train.steps import TrainState

KEPT = 3  # while a run goes on; one once it is done
_PREFIX = "epoch"
_SUMS = "SHA256SUMS"

# Orbax tells of every stage, and asyncio once more of what fails; we get it as an exception.
for _name in ("absl", "asyncio"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Checkpoints:
    """The checkpoints in one folder, one an epoch at most."""

    def __init__(self, folder: Path):
        self._folder = folder.absolute()
        # Of several processes only the first calls: Orbax is not to wait for the others.
        alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
        handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
        self._orbax = ocp.Checkpointer(handler, multiprocessing_options=alone)

    def save(self, state: TrainState, metrics: list[dict[str, Any]]) -> None:
        """Keeps the state after the last epoch of `metrics`, and drops what is too old.

        Raises:
          InputError: if it cannot be written; the earlier ones stay.
        """
        epoch = len(metrics)
        arrays = jax.device_get(_named(state))
        # Orbax writes some of the arrays twice; it does not fail calmly on a disk that is full.
        needed = 2 * sum(array.nbytes for array in arrays.values()) + 2**20
        self._folder.mkdir(exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise InputError(
                f"{self._folder}: No space left for the checkpoint of epoch {epoch}: it needs "
                f"{needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free; make room, and the same "
                "command goes on"
            )
        path = self._path(epoch)
        partial = path.with_name(f".{path.name}.partial")
        try:
            self._orbax.save(partial / "state", args=ocp.args.StandardSave(arrays))
            (partial / "metrics.json").write_text(json.dumps(metrics))
            sums = (f"{_sha256(partial / name)}  {name}\n" for name in _files(partial))
            (partial / _SUMS).write_text("".join(sums))
            partial.rename(path)
        except Exception as error:  # a failing disk shows as whatever the storage layer makes of it
            raise InputError(
                f"{self._folder}: the checkpoint of epoch {epoch} cannot be written: "
                f"{_line(error)}; mend that, and the same command goes on"
            ) from None
        self.keep(KEPT)

    def restore(self, template: TrainState) -> tuple[TrainState, list[dict[str, Any]]] | None:
        """The newest state that is whole, on the host, and the metrics up to it, or None.

        A damaged one is named in a warning and removed.
        """
        # What a killed save leaves: never read, but it takes room.
        for path in self._folder.glob(f".{_PREFIX}-*.partial"):
            shutil.rmtree(path, ignore_errors=True)
        for epoch in reversed(self._epochs()):
            path = self._path(epoch)
            try:
                return self._read(path, epoch, template)
            except Exception as error:  # as many kinds as there are ways to be damaged
                warn(f"{path}: damaged, {_line(error)}; removed")
                shutil.rmtree(path)
        return None

    def keep(self, newest: int) -> None:
        """Removes all but the newest checkpoints."""
        for epoch in self._epochs()[:-newest]:
            shutil.rmtree(self._path(epoch))

    def _read(
        self, path: Path, epoch: int, template: TrainState
    ) -> tuple[TrainState, list[dict[str, Any]]]:
        _check_files(path)  # first: Orbax makes much noise about files that it cannot read
        metrics = json.loads((path / "metrics.json").read_text())
        if len(metrics) != epoch:
            raise ValueError(f"it holds {len(metrics)} epochs")
        named = _named(template)
        # As arrays of the host: the devices may be others than those that they come from.
        wanted = {name: np.empty(leaf.shape, leaf.dtype) for name, leaf in named.items()}
        arrays = self._orbax.restore(path / "state", args=ocp.args.StandardRestore(wanted))
        leaves = [arrays[name] for name in named]
        state: TrainState = jax.tree.unflatten(jax.tree.structure(template), leaves)
        return state, metrics

    def _epochs(self) -> list[int]:
        names = (path.name.partition("-") for path in self._folder.glob(f"{_PREFIX}-*"))
        return sorted(int(number) for _, _, number in names if number.isdigit())

    def _path(self, epoch: int) -> Path:
        return self._folder / f"{_PREFIX}-{epoch}"


def _named(state: TrainState) -> dict[str, Any]:
    """The leaves of a state by their places in it."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _files(folder: Path) -> list[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if path.name != _SUMS)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_files(folder: Path) -> None:
    """Raises if a file is not as it was written, is missing, or was not there."""
    lines = (folder / _SUMS).read_text().splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in sorted({*sums, *_files(folder)}):
        if name not in sums:
            raise ValueError(f"{name} is not in {_SUMS}")
        if _sha256(folder / name) != sums[name]:
            raise ValueError(f"{name} has another checksum")


def _line(error: Exception) -> str:
    text = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {text[0]}"[:200]

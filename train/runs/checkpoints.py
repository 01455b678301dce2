"""A run's checkpoints: training goes on from the newest that is whole.

epoch-K/   state/  metrics.json  SHA256SUMS

Orbax writes the arrays. It does not notice a bit that flips later, so every file has its
checksum, in the format of the command sha256sum. A checkpoint whose files are not those that were
written is damaged: it is renamed epoch-K.damaged, and the one before is used. Whatever else goes
wrong, in a disk, in memory or between versions, says nothing of the files: it ends the program.
"""

import hashlib
import itertools
import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from train.common.errors import InputError
from train.common.progress import warn
from train.runs.formats import FORMAT, figures

State = TypeVar("State")  # a tree of arrays
KEPT = 3  # while a run goes on; one once it is done
_SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^\0\n]+)\n")
_UNCHANGED = "nothing was changed; without it, the run goes on from the one before"

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

    def save(self, state: Any, metrics: list[dict[str, Any]]) -> None:
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
        path, partial = self._path(epoch), self._partial(epoch)
        try:
            self._orbax.save(partial / "state", args=ocp.args.StandardSave(arrays))
            content = json.dumps({"format": FORMAT, "epochs": metrics})
            (partial / "metrics.json").write_text(content)
            sums = (f"{_sha256(partial / name)}  {name}\n" for name in _files(partial))
            (partial / _SUMS).write_text("".join(sums), encoding="utf-8")
            partial.rename(path)
        except Exception as error:  # a failing disk shows as whatever the storage layer makes of it
            raise InputError(
                f"{self._folder}: the checkpoint of epoch {epoch} cannot be written: "
                f"{_line(error)}; mend that, and the same command goes on"
            ) from None
        self.keep(KEPT)

    def restore(self, template: State, epochs: int) -> tuple[State, list[dict[str, Any]]] | None:
        """The newest state that is whole, on the host, and the metrics up to it, or None.

        Damaged ones are renamed, with a warning.

        Args:
          template: a state of the same shapes and dtypes.
          epochs: how many the run has.

        Raises:
          InputError: if one cannot be read, or does not fit. Nothing has been changed then.
        """
        damaged: dict[Path, str] = {}
        restored, path = None, self._folder
        try:
            for epoch in reversed(self._epochs()):
                path = self._path(epoch)
                if epoch > epochs:
                    raise InputError(f"the run has {epochs} epochs")
                damage = _damage(path)
                if damage is None:
                    restored = self._read(path, epoch, template)
                    break
                damaged[path] = damage
        except InputError as error:
            raise InputError(f"{path}: does not fit: {error}; {_UNCHANGED}") from None
        except Exception as error:  # as many kinds as there are layers down to the disk
            raise InputError(f"{path}: cannot be read: {_line(error)}; {_UNCHANGED}") from error
        for path, damage in damaged.items():
            _set_aside(path, damage)
        # What a killed save leaves: never read, but it takes room.
        for path in self._folder.glob(".epoch-*.partial"):
            shutil.rmtree(path, ignore_errors=True)
        return restored

    def keep(self, newest: int) -> None:
        """Removes all but the newest checkpoints."""
        for epoch in self._epochs()[:-newest]:
            # Under another name first: a removal that is killed leaves no damaged checkpoint.
            partial = self._path(epoch).rename(self._partial(epoch))
            if partial.is_symlink():
                partial.unlink()
            else:
                shutil.rmtree(partial, ignore_errors=True)

    def _read(self, path: Path, epoch: int, template: State) -> tuple[State, list[dict[str, Any]]]:
        metrics = _metrics((path / "metrics.json").read_text())
        if len(metrics) != epoch:
            raise InputError(f"metrics.json has {len(metrics)} epochs")
        # Without a template of Orbax's: it would cast to other dtypes, and overlook other shapes.
        arrays = self._orbax.restore(path / "state", args=ocp.args.StandardRestore())
        named = _named(template)
        for name in [*named, *arrays]:
            there, here = (_kind(leaves.get(name)) for leaves in (arrays, named))
            if there != here:
                raise InputError(f"{name} is {there} there and {here} here")
        leaves = [arrays[name] for name in named]
        state: State = jax.tree.unflatten(jax.tree.structure(template), leaves)
        return state, metrics

    def _epochs(self) -> list[int]:
        # Not glob, which takes a folder that cannot be read for an empty one.
        paths = self._folder.iterdir() if os.path.lexists(self._folder) else []
        found = (re.fullmatch(r"epoch-([1-9][0-9]*)", path.name) for path in paths)
        return sorted(int(match[1]) for match in found if match)

    def _path(self, epoch: int) -> Path:
        return self._folder / f"epoch-{epoch}"

    def _partial(self, epoch: int) -> Path:
        return self._folder / f".epoch-{epoch}.partial"


def _named(state: Any) -> dict[str, Any]:
    """The leaves of a state by their places in it."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _files(folder: Path) -> list[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if path.name != _SUMS)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damage(folder: Path) -> str | None:
    """What is not as it was written, or None. Files that were not written do not matter.

    Raises:
      OSError: if a file cannot be read.
    """
    if folder / _SUMS not in folder.iterdir():
        return f"{_SUMS} is missing"
    text = (folder / _SUMS).read_bytes().decode(errors="replace")
    lines: list[tuple[str, str]] = _LINE.findall(text)
    if not lines or "".join(f"{digest}  {name}\n" for digest, name in lines) != text:
        return f"{_SUMS} is not as it was written"
    for digest, name in lines:
        try:
            found = _sha256(folder / name)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return f"{name} is missing"
        if found != digest:
            return f"{name} has another checksum"
    return None


def _set_aside(path: Path, damage: str) -> None:
    numbered = (f"{path.name}.damaged-{k}" for k in itertools.count(2))
    new = next(
        name
        for name in itertools.chain([f"{path.name}.damaged"], numbered)
        if not os.path.lexists(path.with_name(name))
    )
    try:
        path.rename(path.with_name(new))
    except OSError as error:
        raise InputError(
            f"{path}: damaged, {damage}; it cannot be renamed {new}: {error.strerror}"
        ) from None
    warn(f"{path}: damaged, {damage}; renamed {new}")


def _metrics(text: str) -> list[dict[str, Any]]:
    """The epochs in a metrics.json of any format."""
    match json.loads(text):
        case list(epochs):
            return [figures(epoch) for epoch in epochs]
        case {"format": int(number), "epochs": list(epochs)} if number <= FORMAT:
            return [figures(epoch) for epoch in epochs]
        case {"format": int(number)} if number > FORMAT:
            raise InputError(
                f"metrics.json was written by a newer version, in format {number}; this one reads "
                f"up to {FORMAT}"
            )
        case _:
            raise InputError("metrics.json is in an unknown format")


def _kind(leaf: Any) -> str:
    return "missing" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"


def _line(error: Exception) -> str:
    text = next(iter(str(error).splitlines()), "")
    return ": ".join(filter(None, (type(error).__name__, text)))[:200]

"""Where images come from: by name, from scikit-learn, an archive, the network, or a file."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from train import archives, npz, tfds
from train.errors import InputError
from train.npz import Arrays
from train.progress import warn
from train.stratify import stratified


class Source(NamedTuple):
    """A data set whole, before a study selects its examples."""

    arrays: Arrays
    classes: int
    can_flip: bool  # whether a mirrored image still shows its class


class Named(NamedTuple):
    """What is known of a data set before its files are there."""

    classes: int
    train_examples: int
    test_examples: int
    image_shape: tuple[int, int, int]


# The sets that have official archives. Their images may be flipped.
NAMED = {
    "cifar10": Named(10, 50_000, 10_000, (32, 32, 3)),
    "cifar100": Named(100, 50_000, 10_000, (32, 32, 3)),
    "fashion_mnist": Named(10, 60_000, 10_000, (28, 28, 1)),
}
DATASETS = (*NAMED, "digits", "npz:FILE")


def read(name: str, data_dir: str | None, *, unverified_archive: bool) -> Source:
    """Reads a data set by name; see `DATASETS`.

    Raises:
      InputError: if it is not there, or not as it must be.
    """
    if name in NAMED:
        arrays = _named(name, data_dir, unverified_archive=unverified_archive)
        return Source(arrays, NAMED[name].classes, can_flip=True)
    if name == "digits":
        return Source(_digits(), 10, can_flip=False)
    arrays = npz.read(Path(name.removeprefix("npz:")))
    return Source(arrays, int(arrays.y_train.max()) + 1, can_flip=False)


def is_here(name: str, data_dir: str | None) -> bool:
    """Whether a data set can be read without downloading it."""
    return name not in NAMED or data_dir is not None or _cache(f"{name}.npz").exists()


def stand_in(name: str) -> Source:
    """Black images in the numbers and shapes of a data set that has not been downloaded."""
    known = NAMED[name]
    splits: list[np.ndarray] = []
    for n in (known.train_examples, known.test_examples):
        labels = np.arange(n, dtype=np.int32) % known.classes
        splits += [np.zeros((n, *known.image_shape), np.uint8), labels]
    return Source(Arrays(*splits), known.classes, can_flip=True)


def fingerprint(arrays: Arrays) -> str:
    """Tells data sets apart: half of a SHA-256 over shapes, images and labels."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def _cache(name: str) -> Path:
    """Where a data set's decoded arrays are kept, or what is downloaded."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "rsgdm_optax" / name


def _named(name: str, data_dir: str | None, *, unverified_archive: bool) -> Arrays:
    archive = None
    if data_dir is not None:
        if not Path(data_dir).is_dir():
            raise InputError(f"data_dir: {data_dir} is not a folder")
        archive = archives.find(name, Path(data_dir))
    if unverified_archive and archive is None:
        where = "no --data-dir is given" if data_dir is None else f"{data_dir} holds none"
        raise InputError(f"unverified_archive: {where}; expected {archives.names(name)}")
    if archive is not None and archive.altered:
        altered = ", ".join(path.name for path in archive.altered)
        if not unverified_archive:
            raise InputError(
                f"{data_dir}: {altered}: not the official checksum, so truncated or altered; fetch "
                "it again, or accept it with --unverified-archive"
            )
        warn(f"{data_dir}: {altered}: not the official checksum; used as it is")
        return archive.decode().in_own_order()
    cached = _cache(f"{name}.npz")
    arrays = _cached(cached)
    if arrays is not None:
        return arrays
    if archive is not None:
        _keep(cached, lambda path: npz.write(path, archive.decode().in_own_order()))
    else:
        folder = Path(data_dir) if data_dir is not None else _cache("tensorflow_datasets")
        _keep(cached, lambda path: tfds.prepare(name, folder, path))
    return npz.read(cached)


def _cached(path: Path) -> Arrays | None:
    if not path.exists():
        return None
    try:
        return npz.read(path)
    except InputError as error:
        warn(f"{error}; it is made again")
        return None


def _keep(path: Path, write: Callable[[Path], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; make room there, or name another place for "
            "the arrays by XDG_CACHE_HOME"
        ) from None


def _digits() -> Arrays:
    """1,797 handwritten digits of 8×8 pixels, 0 to 16; every fourth of a class is for testing."""
    from sklearn import datasets  # imported where used: it takes longer than everything else here

    bunch = datasets.load_digits()
    images, labels = bunch.images.astype(np.uint8)[..., None], bunch.target.astype(np.int32)
    test = stratified(labels, len(labels) // 4, "test examples", keep=1)
    train = np.setdiff1d(np.arange(len(labels)), test)
    return Arrays(images[train], labels[train], images[test], labels[test])

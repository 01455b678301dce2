"""Where images come from: by name, from scikit-learn, official files, the network, or a file."""

import hashlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from train.common.errors import InputError, reason
from train.common.progress import warn
from train.data import archives, cache, npz, tfds
from train.data.filetype import shown, some
from train.data.npz import Arrays
from train.data.sampling import stratified


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


# The sets that have official files. Their images may be flipped.
NAMED = {
    "cifar10": Named(10, 50_000, 10_000, (32, 32, 3)),
    "cifar100": Named(100, 50_000, 10_000, (32, 32, 3)),
    "fashion_mnist": Named(10, 60_000, 10_000, (28, 28, 1)),
}
# Those that come with a package: nothing is downloaded. To add one, add it here.
BUNDLED: dict[str, Callable[[], Source]] = {"digits": lambda: _digits()}


def read(name: str, data_dir: str | None, *, unverified_archive: bool) -> Source:
    """Reads a data set by name: one of `NAMED` or `BUNDLED`, or npz:FILE.

    Raises:
      InputError: if it is not there, or not as it must be.
    """
    if name in NAMED:
        arrays = _named(name, data_dir, unverified_archive=unverified_archive)
        return Source(arrays, NAMED[name].classes, can_flip=True)
    if name in BUNDLED:
        return BUNDLED[name]()
    arrays = npz.read(_path(name.removeprefix("npz:")))
    return Source(arrays, int(arrays.y_train.max()) + 1, can_flip=False)


def is_here(name: str, data_dir: str | None) -> bool:
    """Whether a data set can be read without downloading it."""
    return name not in NAMED or data_dir is not None or cache.is_kept(name)


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


def _path(text: str) -> Path:
    """The path that an option gives, in which a shell may have left `~`."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path's own fails without a home


def _named(name: str, data_dir: str | None, *, unverified_archive: bool) -> Arrays:
    if data_dir is None:
        if unverified_archive:
            raise InputError(
                f"unverified_archive: no --data-dir is given; expected {archives.expected(name)}"
            )
        return _through_tfds(name, cache.folder() / "tensorflow_datasets")
    folder = _path(data_dir)
    if not data_dir or not folder.is_dir():
        raise InputError(
            f"data_dir: {shown(data_dir) or repr('')} is not a folder; give the one that holds "
            f"the files of {name}"
        )
    copy = archives.find(name, folder)
    if copy is not None:
        return _from_files(name, copy, unverified_archive=unverified_archive)
    if tfds.prepared(name, folder) and not unverified_archive:
        return _through_tfds(name, folder)
    held = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    raise InputError(
        f"{'unverified_archive' if unverified_archive else 'data_dir'}: {shown(folder)} holds none "
        f"of the files of {name}, but {some(held)}; expected {archives.expected(name)}"
    )


def _from_files(name: str, copy: archives.Copy, *, unverified_archive: bool) -> Arrays:
    if copy.altered:
        what = f"{copy.place}: {', '.join(copy.altered)}: not the official checksum of {name}"
        if not unverified_archive:
            raise InputError(
                f"{what}, so truncated, altered or another data set's; fetch it again, or accept "
                "it with --unverified-archive"
            )
        warn(f"{what}; used as it is")
        return copy.decode().in_own_order()
    arrays = cache.read(name)
    if arrays is None:
        arrays = copy.decode().in_own_order()
        cache.keep(name, arrays)
    return arrays


def _through_tfds(name: str, folder: Path) -> Arrays:
    arrays = cache.read(name)
    if arrays is not None:
        return arrays
    target = cache.path(name)
    try:
        cache.check_free(name)
        with cache.locked(name):  # another process may have made it in the meantime
            if not cache.is_kept(name) or cache.read(name) is None:
                tfds.prepare(name, folder, target)
    except OSError as error:
        raise InputError(
            f"{shown(error.filename or target)}: {reason(error)}; make room there, or "
            "name another place for the arrays by XDG_CACHE_HOME"
        ) from None
    return npz.read(target)


def _digits() -> Source:
    """1,797 handwritten digits of 8×8 pixels, 0 to 16; every fourth of a class is for testing."""
    # What scikit-learn's `load_digits` reads, without the second or two that its import takes.
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    lines = np.loadtxt(file, np.uint8, delimiter=",")
    images, labels = lines[:, :-1].reshape(-1, 8, 8, 1), lines[:, -1].astype(np.int32)
    test = stratified(labels, len(labels) // 4, "test examples", keep=1)
    train = np.setdiff1d(np.arange(len(labels)), test)
    arrays = Arrays(images[train], labels[train], images[test], labels[test])
    return Source(arrays, 10, can_flip=False)

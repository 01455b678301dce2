"""Images and labels as four arrays in one .npz file: read, checked, written."""

import hashlib
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from train.errors import InputError

LEAST_SIDE, MOST_SIDE = 8, 64


class Arrays(NamedTuple):
    """Images, uint8 N×H×W×C, and labels, int32 N, to train and to test on."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def in_own_order(self) -> "Arrays":
        """The examples in an order that they decide, not whoever delivers them."""
        splits = []
        for images, labels in (self[:2], self[2:]):
            keys = [
                hashlib.blake2b(image).digest() + label.tobytes()
                for image, label in zip(images, labels, strict=True)
            ]
            order = sorted(range(len(keys)), key=keys.__getitem__)
            splits += [images[order], labels[order]]
        return Arrays(*splits)


def read(path: Path) -> Arrays:
    """Reads and checks a file; a missing channel axis is added, labels become int32.

    Raises:
      InputError: naming the array and what is wrong with it.
      OSError: if the file cannot be read.
    """
    try:
        with path.open("rb") as opened:  # NumPy leaves a damaged file open
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: holds one array without a name; write it with np.savez")
            missing = [name for name in Arrays._fields if name not in file.files]
            if missing:
                held = ", ".join(file.files) or "nothing"
                raise InputError(f"{path}: lacks {', '.join(missing)}; it holds {held}")
            arrays = [_member(path, file, name) for name in Arrays._fields]
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not an .npz file") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is no .npz file, or damaged: {_line(error)}") from None
    return check(str(path), *arrays)


def _member(path: Path, file: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        array: np.ndarray = file[name]  # the zip file's checksum of it is compared here
    except Exception as error:  # damage shows as whatever zipfile, zlib and NumPy stumble over
        if isinstance(error, MemoryError | OSError):
            raise
        raise InputError(f"{path}: {name} cannot be read: {_line(error)}") from None
    return array


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def write(path: Path, arrays: Arrays) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays._asdict())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check(
    name: str, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray
) -> Arrays:
    """The arrays in the form that `Arrays` describes.

    Raises:
      InputError: naming `name`, the array and what is wrong with it.
    """
    for key, images in (("x_train", x_train), ("x_test", x_test)):
        if images.dtype != np.uint8:
            raise InputError(f"{name}: {key} is {images.dtype}; images must be uint8")
        if images.ndim not in (3, 4):
            raise InputError(
                f"{name}: {key} has the shape {images.shape}; allowed are N×H×W and N×H×W×C"
            )
        if len(images) == 0:
            raise InputError(f"{name}: {key} is empty")
        if not all(LEAST_SIDE <= side <= MOST_SIDE for side in images.shape[1:3]):
            raise InputError(
                f"{name}: {key} has images of {images.shape[1]}×{images.shape[2]}; height and "
                f"width must be {LEAST_SIDE} to {MOST_SIDE}"
            )
        if images.ndim == 4 and images.shape[3] not in (1, 3):
            raise InputError(f"{name}: {key} has {images.shape[3]} channels; 1 and 3 are allowed")
    for key, labels, images in (("y_train", y_train, x_train), ("y_test", y_test, x_test)):
        if not np.issubdtype(labels.dtype, np.integer):
            raise InputError(f"{name}: {key} is {labels.dtype}; labels must be integers")
        if labels.shape != (len(images),):
            raise InputError(
                f"{name}: {key} has the shape {labels.shape}; there are {len(images)} images"
            )
        if labels.min() < 0:
            raise InputError(f"{name}: {key} holds {labels.min()}; labels are 0 to K-1")
    classes = np.unique(y_train)
    if classes[-1] >= len(classes):
        absent = int(np.setdiff1d(np.arange(len(classes)), classes)[0])
        raise InputError(
            f"{name}: y_train holds {classes[-1]} but not {absent}; labels are 0 to K-1, each used"
        )
    if y_test.max() > classes[-1]:
        raise InputError(
            f"{name}: y_test holds {y_test.max()}; the labels of y_train end at {classes[-1]}"
        )
    x_train, x_test = (x if x.ndim == 4 else x[..., None] for x in (x_train, x_test))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise InputError(
            f"{name}: x_test has images of {'×'.join(map(str, x_test.shape[1:]))}, "
            f"x_train of {'×'.join(map(str, x_train.shape[1:]))}"
        )
    return Arrays(x_train, y_train.astype(np.int32), x_test, y_test.astype(np.int32))

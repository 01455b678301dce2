"""Images and labels as four arrays in one .npz file: read, checked, written."""

import contextlib
import errno
import hashlib
import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from train.common.errors import InputError, reason
from train.common.files import whole_file
from train.common.progress import say
from train.data.filetype import HEAD, describe, shown, some

LEAST_SIDE, MOST_SIDE = 8, 64

_MEDMNIST = ("train_images", "train_labels", "test_images", "test_labels")
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


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
    """Reads and checks a file, of our own names or of MedMNIST's.

    A missing channel axis is added; labels become int32, of N×1 or N.

    Raises:
      InputError: naming the file or array and what is wrong with it.
    """
    name = shown(path)
    try:
        if path.is_dir():
            raise InputError(f"{name}: is a folder, not an .npz file")
        if not path.exists():
            raise InputError(f"{name}: does not exist")
        if not path.is_file():
            raise InputError(f"{name}: is a pipe or a device, not an .npz file")
        with path.open("rb") as file:
            head = file.read(HEAD)
            if not head.startswith(b"PK\x03\x04"):
                raise InputError(
                    f"{name}: is {describe(head)}, not an .npz file; write it with np.savez"
                )
            with _or_say(f"{name}: is a truncated or damaged zip file"):
                archive = zipfile.ZipFile(file)
            names = _names(name, archive)
            arrays = [_member(name, archive, key) for key in names]
    except OSError as error:
        raise InputError(f"{name}: {reason(error)}") from None
    return check(name, *arrays, names=names)


@contextlib.contextmanager
def _or_say(what: str) -> Iterator[None]:
    """Damage shows as whatever zipfile, zlib and NumPy stumble over."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place outside the file
            raise
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{what}: {line}") from None


def _names(name: str, archive: zipfile.ZipFile) -> Sequence[str]:
    """The names of the four arrays in a file."""
    held = [member.removesuffix(".npy") for member in archive.namelist()]
    missing = [key for key in Arrays._fields if key not in held]
    if not missing:
        return Arrays._fields
    if set(_MEDMNIST) <= set(held):
        if "val_images" in held:
            say(f"{name}: val_images and val_labels are left aside")
        return _MEDMNIST
    if all(f"arr_{k}" in held for k, _ in enumerate(Arrays._fields)):
        named = ", ".join(f"{key}=a['arr_{k}']" for k, key in enumerate(Arrays._fields))
        raise InputError(
            f"{name}: its arrays have no names; if they are in this order, name them by: "
            f"a = np.load({name!r}); np.savez('named.npz', {named})"
        )
    raise InputError(f"{name}: lacks {', '.join(missing)}; it holds {some(held)}")


def _member(name: str, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """One array, after its header has been compared with its size."""
    with _or_say(f"{name}: {key} cannot be read"):
        info = archive.getinfo(f"{key}.npy")
        with archive.open(info) as file:
            shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
            size = info.file_size - file.tell()
        if dtype.hasobject:
            raise InputError(f"{name}: {key} holds Python objects, not numbers")
        if size != math.prod(shape) * dtype.itemsize:
            raise InputError(
                f"{name}: {key} is damaged: it has {size} bytes for {dtype} of the shape {shape}"
            )
        with archive.open(info) as file:  # its checksum is compared when the end is reached
            array: np.ndarray = np.lib.format.read_array(file)
    return array


def write(path: Path, arrays: Arrays, stamp: bytes = b"") -> None:
    """Writes a file whole or not at all; `stamp` stands among its first bytes."""
    held: dict[str, Any] = {"stamp": np.bytes_(stamp)} if stamp else {}
    with whole_file(path) as file:
        np.savez(file, **held, **arrays._asdict())


def check(
    name: str,
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    *,
    names: Sequence[str] = Arrays._fields,
) -> Arrays:
    """The arrays in the form that `Arrays` describes.

    Raises:
      InputError: naming `name`, the array by its name of `names`, and what is wrong with it.
    """
    for key, images in ((names[0], x_train), (names[2], x_test)):
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
    for key, labels, images in ((names[1], y_train, x_train), (names[3], y_test, x_test)):
        if labels.dtype.kind not in "iu":
            raise InputError(f"{name}: {key} is {labels.dtype}; labels must be integers")
        if labels.shape not in ((len(images),), (len(images), 1)):
            raise InputError(
                f"{name}: {key} has the shape {labels.shape}; there are {len(images)} images, "
                "each with one label"
            )
        if labels.min() < 0:
            raise InputError(f"{name}: {key} holds {labels.min()}; labels are 0 to K-1")
    classes = np.unique(y_train)
    if classes[-1] >= len(classes):
        absent = int(np.setdiff1d(np.arange(len(classes)), classes)[0])
        raise InputError(
            f"{name}: {names[1]} holds {classes[-1]} but not {absent}; labels are 0 to K-1, "
            "each used"
        )
    if y_test.max() > classes[-1]:
        raise InputError(
            f"{name}: {names[3]} holds {y_test.max()}; the labels of {names[1]} end at "
            f"{classes[-1]}"
        )
    x_train, x_test = (
        np.ascontiguousarray(x if x.ndim == 4 else x[..., None]) for x in (x_train, x_test)
    )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise InputError(
            f"{name}: {names[2]} has images of {'×'.join(map(str, x_test.shape[1:]))}, "
            f"{names[0]} of {'×'.join(map(str, x_train.shape[1:]))}"
        )
    y_train, y_test = (y.astype(np.int32).reshape(-1) for y in (y_train, y_test))
    return Arrays(x_train, y_train, x_test, y_test)

"""Folders of made-up files of the named data sets, for --data-dir, and what is said of them."""

from pathlib import Path

import numpy as np
import pytest

from tests.train import made_up
from train.common.errors import InputError
from train.data import npz, sources

SHAPES = {"cifar10": (32, 32, 3), "cifar100": (32, 32, 3), "fashion_mnist": (28, 28, 1)}
CLASSES = {"cifar10": 10, "cifar100": 100, "fashion_mnist": 10}


def arrays(name: str) -> npz.Arrays:
    return made_up.arrays(200, 100, SHAPES[name], CLASSES[name])


def files(name: str, version: str, data: npz.Arrays) -> dict[str, bytes]:
    if version == "idx":
        return made_up.idx_files(data)
    make = made_up.binary_batches if version == "binary" else made_up.python_batches
    return make(name, data)


def lay(folder: Path, place: str, files: dict[str, bytes]) -> None:
    """Puts files into a folder, or packs them if the place has no slash at its end."""
    if place.endswith("/") or not place:
        made_up.unpacked(folder / place, files)
    else:
        made_up.packed(folder / place, "inside", files)


def read(name: str, folder: Path, *, unverified: bool = False) -> npz.Arrays:
    return sources.read(name, str(folder), unverified_archive=unverified).arrays


def refused(name: str, folder: Path, *, unverified: bool = False) -> str:
    """The one line in which a folder is refused."""
    with pytest.raises(InputError) as error:
        read(name, folder, unverified=unverified)
    assert "\n" not in str(error.value)
    return str(error.value)


def pairs(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((i.tobytes(), int(k)) for i, k in zip(images, labels, strict=True))

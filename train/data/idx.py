"""Images and labels in four IDX files, as MNIST and its successors are published."""

import math
import struct
from collections.abc import Mapping

import numpy as np

from train.common.errors import InputError
from train.data.npz import Arrays, check


def decode(place: str, files: Mapping[str, bytes]) -> Arrays:
    """The arrays of four files: training images, their labels, test images, their labels.

    Raises:
      InputError: naming the file and what is wrong with it.
    """
    arrays = [
        _array(f"{place}: {name}", content, dimensions)
        for (name, content), dimensions in zip(files.items(), (3, 1, 3, 1), strict=True)
    ]
    return check(place, *arrays)


def _array(name: str, content: bytes, dimensions: int) -> np.ndarray:
    """An array of bytes in IDX format: a magic number, big-endian sizes, the bytes."""
    start = 4 + 4 * dimensions
    header = struct.unpack(f">{1 + dimensions}I", content[:start].ljust(start, b"\0"))
    if header[0] != 0x0800 + dimensions:
        raise InputError(f"{name}: is no IDX file of bytes in {dimensions} dimensions")
    shape = header[1:]
    if len(content) - start != math.prod(shape):
        raise InputError(
            f"{name}: has {len(content) - start} bytes of data for the shape {shape}; "
            "truncated or damaged"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)

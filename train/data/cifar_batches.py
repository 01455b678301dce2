"""The batches of CIFAR-10 and CIFAR-100: their binary version and their Python version.

Both hold the same images and labels: 3,072 bytes an image, its red, green and blue planes.
"""

import dataclasses
import io
import pickle
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from train.common.errors import InputError
from train.data.npz import Arrays

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


class _Batch(NamedTuple):
    planes: np.ndarray  # uint8 N×3072
    labels: np.ndarray  # N


@dataclasses.dataclass(frozen=True)
class Binary:
    """Records of label bytes, the last of which counts, and an image."""

    label_bytes: int
    classes: int

    def __call__(self, place: str, files: Mapping[str, bytes]) -> Arrays:
        """The arrays of some training batches and, last, one to test on.

        Raises:
          InputError: naming the file and what is wrong with it.
        """
        record = self.label_bytes + _PIXELS
        batches = []
        for name, content in files.items():
            if not content or len(content) % record:
                raise InputError(
                    f"{place}: {name} has {len(content)} bytes, not a multiple of {record}"
                )
            rows = np.frombuffer(content, np.uint8).reshape(-1, record)
            batches.append(_Batch(rows[:, self.label_bytes :], rows[:, self.label_bytes - 1]))
        return _arrays(place, batches, self.classes)


@dataclasses.dataclass(frozen=True)
class Python:
    """Dictionaries pickled by Python 2.

    A pickle may run code when it is read: give only files whose checksum is the official one.
    """

    labels: str
    classes: int

    def __call__(self, place: str, files: Mapping[str, bytes]) -> Arrays:
        """The arrays of some training batches and, last, one to test on.

        Raises:
          InputError: if a file holds something else than the official ones do.
        """
        batches = []
        for name, content in files.items():
            try:
                held = _Unpickler(io.BytesIO(content), encoding="bytes").load()
                batch = _Batch(held[b"data"].reshape(-1, _PIXELS), np.array(held[self._key]))
            except Exception as error:  # a pickle can stumble over anything
                raise InputError(f"{place}: {name} is no batch of CIFAR: {error}") from None
            batches.append(batch)
        return _arrays(place, batches, self.classes)

    @property
    def _key(self) -> bytes:
        return self.labels.encode()


class _Unpickler(pickle.Unpickler):
    """Makes what the official batches hold, text, lists and arrays, and nothing else."""

    _MAKERS = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        # Python 2 wrote 0 and 1 for the switches, of which NumPy 2.4.0 to 2.4.4 warn.
        ("numpy", "dtype"): lambda kind, align, copy: np.dtype(kind, bool(align), bool(copy)),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._MAKERS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self._MAKERS[module, name]


def _arrays(place: str, batches: list[_Batch], classes: int) -> Arrays:
    """All batches but the last one to train on, the last one to test on."""
    splits: list[np.ndarray] = []
    for part in (batches[:-1], batches[-1:]):
        images = np.empty((sum(len(batch.labels) for batch in part), _SIDE, _SIDE, 3), np.uint8)
        start = 0
        for batch in part:
            planes = batch.planes.reshape(-1, 3, _SIDE, _SIDE)
            images[start : start + len(planes)] = planes.transpose(0, 2, 3, 1)
            start += len(planes)
        labels = np.concatenate([batch.labels for batch in part]).astype(np.int32)
        if labels.max() >= classes:
            raise InputError(f"{place}: holds the label {labels.max()} of {classes} classes")
        splits += [images, labels]
    return Arrays(*splits)

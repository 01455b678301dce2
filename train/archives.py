"""The official archives of CIFAR-10, CIFAR-100 and Fashion-MNIST, read with NumPy alone.

CIFAR's is the binary version; Fashion-MNIST's four files may be gzipped or not. What
counts is the SHA-256 of CIFAR's archive, and of Fashion-MNIST's decompressed bytes: these
stay the same when somebody compresses them again, as Debian's dataset-fashion-mnist does.
"""

import dataclasses
import gzip
import hashlib
import io
import math
import struct
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from train.errors import InputError
from train.npz import Arrays, check


@dataclasses.dataclass(frozen=True)
class Archive:
    """An archive in memory."""

    files: dict[Path, bytes]
    altered: list[Path]  # files that are not the official ones
    decode: Callable[[], Arrays]


def find(name: str, folder: Path) -> Archive | None:
    """The archive of a data set if it lies in the folder.

    Raises:
      InputError: if a part of it is missing or cannot be decompressed.
    """
    official, decode = _OFFICIAL[name]
    paths = [_path(folder, file) for file in official]
    if not any(paths):
        return None
    for file, path in zip(official, paths, strict=True):
        if path is None:
            raise InputError(f"{folder}: lacks {file}, without which {name} is not complete")
    files = {path: _bytes(path) for path in paths if path is not None}
    altered = [
        path
        for (path, content), sha256 in zip(files.items(), official.values(), strict=True)
        if hashlib.sha256(content).hexdigest() != sha256
    ]
    return Archive(files, altered, lambda: decode(list(files.items())))


def names(name: str) -> str:
    """What the archive's files are called."""
    return ", ".join(_OFFICIAL[name][0])


def _path(folder: Path, file: str) -> Path | None:
    for path in (folder / file, folder / file.removesuffix(".gz")):
        # A .tar.gz is checked and read as it is.
        if path.is_file() and (path.name == file or not file.endswith(".tar.gz")):
            return path
    return None


def _bytes(path: Path) -> bytes:
    if path.suffix != ".gz" or path.suffixes[-2:] == [".tar", ".gz"]:
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: truncated or damaged, {error}; fetch it again") from None


@dataclasses.dataclass(frozen=True)
class _Cifar:
    """Records of label bytes, the last of which counts, then red, green and blue planes."""

    train: Sequence[str]
    test: Sequence[str]
    label_bytes: int
    classes: int

    def __call__(self, files: list[tuple[Path, bytes]]) -> Arrays:
        ((path, content),) = files
        try:
            # Decompressed whole, so that gzip's own checksum is compared.
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as tar:
                members = {
                    Path(member.name).name: tar.extractfile(member).read()  # type: ignore[union-attr]
                    for member in tar
                    if member.isfile()
                }
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise InputError(f"{path}: truncated or damaged, {error}; fetch it again") from None
        x_train, y_train = self._split(path, members, self.train)
        x_test, y_test = self._split(path, members, self.test)
        return Arrays(x_train, y_train, x_test, y_test)

    def _split(
        self, path: Path, members: dict[str, bytes], names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        record = self.label_bytes + 3 * 32 * 32
        for name in names:
            size = len(members.get(name, b""))
            if not size or size % record:
                raise InputError(
                    f"{path}: its member {name} has {size} bytes, not a multiple of {record}"
                )
        rows = np.concatenate([np.frombuffer(members[name], np.uint8) for name in names])
        rows = rows.reshape(-1, record)
        labels = rows[:, self.label_bytes - 1]
        if labels.max() >= self.classes:
            raise InputError(f"{path}: holds the label {labels.max()} of {self.classes} classes")
        planes = rows[:, self.label_bytes :].reshape(-1, 3, 32, 32)
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int32)


def _idx(path: Path, content: bytes, dimensions: int) -> np.ndarray:
    """An array of bytes in IDX format: a magic number, big-endian sizes, the bytes."""
    start = 4 + 4 * dimensions
    header = struct.unpack(f">{1 + dimensions}I", content[:start].ljust(start, b"\0"))
    if header[0] != 0x0800 + dimensions:
        raise InputError(f"{path}: is no IDX file of bytes in {dimensions} dimensions")
    shape = header[1:]
    if len(content) - start != math.prod(shape):
        raise InputError(
            f"{path}: has {len(content) - start} bytes of data for the shape {shape}; "
            "truncated or damaged"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _fashion_mnist(files: list[tuple[Path, bytes]]) -> Arrays:
    arrays = [_idx(*file, dimensions) for file, dimensions in zip(files, (3, 1, 3, 1), strict=True)]
    return check(str(files[0][0].parent), *arrays)


# Name, then file → SHA-256, then what makes arrays of them.
_OFFICIAL: dict[str, tuple[dict[str, str], Callable[[list[tuple[Path, bytes]]], Arrays]]] = {
    "cifar10": (
        {
            "cifar-10-binary.tar.gz": (
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
            )
        },
        _Cifar([f"data_batch_{k}.bin" for k in range(1, 6)], ["test_batch.bin"], 1, 10),
    ),
    "cifar100": (
        {
            "cifar-100-binary.tar.gz": (
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
            )
        },
        _Cifar(["train.bin"], ["test.bin"], 2, 100),
    ),
    "fashion_mnist": (
        {
            "train-images-idx3-ubyte.gz": (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
            ),
            "train-labels-idx1-ubyte.gz": (
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
            ),
        },
        _fashion_mnist,
    ),
}

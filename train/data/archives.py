"""Finds the official files of a data set in a folder, packed or unpacked, and checks them.

What counts is the SHA-256 of each file that holds images or labels, unpacked: it stays the same
when somebody packs the files again.
"""

import dataclasses
import functools
import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from train.common.errors import InputError, reason
from train.data.filetype import HEAD, describe, shown
from train.data.npz import Arrays
from train.data.official import VERSIONS, Version

_LARGEST = 2**29  # bytes unpacked, three times what the largest version has


@dataclasses.dataclass(frozen=True)
class Copy:
    """A copy of a data set's files in memory, whole if not official."""

    place: str  # the archive or the folder, for messages
    files: Mapping[str, bytes]
    altered: list[str]  # files whose checksum is not the official one
    version: Version

    def decode(self) -> Arrays:
        """The arrays, in the order of the files."""
        return self.version.decode(self.place, self.files)


def find(name: str, folder: Path) -> Copy | None:
    """The first copy in the folder that is official, else the first that is whole.

    Raises:
      InputError: if what lies there is incomplete, damaged or an altered pickle.
    """
    whole: list[Copy] = []
    refused: list[InputError] = []
    for version in VERSIONS[name]:
        for place, read in _places(version, folder):
            try:
                copy = _checked(name, version, shown(place), read())
            except InputError as error:
                refused.append(error)
                continue
            except OSError as error:
                refused.append(InputError(f"{shown(place)}: {reason(error)}"))
                continue
            if not copy.altered:
                return copy
            whole.append(copy)
    if not whole and refused:
        raise refused[0]
    return whole[0] if whole else None


def expected(name: str) -> str:
    """What is looked for, in words."""
    archives = [version.archives[0] for version in VERSIONS[name] if version.archives]
    if archives:
        return f"{' or '.join(archives)}, packed or unpacked"
    return ", ".join(f"{file}.gz" for version in VERSIONS[name] for file in version.files)


def _places(
    version: Version, folder: Path
) -> Iterator[tuple[Path, Callable[[], dict[str, bytes]]]]:
    """Folders and archives that hold at least one of the files, and how each is read."""
    for place in (folder / name for name in version.folders):
        paths = {file: path for file in version.files if (path := _spelt(place, file))}
        if paths:
            yield place, functools.partial(_unpacked, paths)
    for path in (folder / name for name in version.archives):
        if path.is_file():
            yield path, functools.partial(_packed, path, version.files)


def _spelt(place: Path, file: str) -> Path | None:
    """A file under its name, or another by which it goes about."""
    for name in (file, file.replace("-idx", ".idx")):
        for path in (place / name, place / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def _checked(name: str, version: Version, place: str, files: dict[str, bytes]) -> Copy:
    for file in version.files:
        if file not in files:
            raise InputError(f"{place}: lacks {file}, without which {name} is not complete")
    altered = [
        _described(file, files[file])
        for file, sha256 in version.files.items()
        if hashlib.sha256(files[file]).hexdigest() != sha256
    ]
    if altered and version.is_pickled:
        raise InputError(
            f"{place}: {', '.join(altered)}: not the official checksum, and a pickle may run code "
            "when it is read; fetch it again, or give the binary version or npz:FILE"
        )
    return Copy(place, {file: files[file] for file in version.files}, altered, version)


def _described(file: str, content: bytes) -> str:
    kind = describe(content[:HEAD])
    return file if kind in ("of an unknown type", "a pickle") else f"{file} ({kind})"


def _unpacked(paths: Mapping[str, Path]) -> dict[str, bytes]:
    return {file: _bytes(path) for file, path in paths.items()}


def _packed(path: Path, names: Mapping[str, str]) -> dict[str, bytes]:
    """The files of some names in an archive, whatever folder they are in."""
    content = _bytes(path)
    files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                name = Path(member.name).name
                if member.isfile() and member.size < _LARGEST and name in names:
                    files[name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, ValueError, OverflowError) as error:  # of a member's damaged numbers
        kind = describe(content[:HEAD])
        raise _damaged(path, error if kind == "a tar archive" else f"it is {kind}") from None
    return files


def _bytes(path: Path) -> bytes:
    """A file's content, decompressed if need be."""
    with path.open("rb") as file:
        is_compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        source = gzip.GzipFile(fileobj=file) if is_compressed else file
        try:
            content = source.read(_LARGEST)  # to the end, where gzip compares its checksum
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _damaged(path, error) from None
    if len(content) == _LARGEST:
        raise InputError(f"{shown(path)}: has more than {_LARGEST} bytes, so it is something else")
    return content


def _damaged(path: Path, why: object) -> InputError:
    return InputError(f"{shown(path)}: truncated or damaged, {why}; fetch it again")

"""What messages say of files: their names, and what one is by its first bytes."""

import os
import re
from collections.abc import Sequence

# Enough of a file to tell what it is.
HEAD = 512

_MAGIC = {
    b"\x93NUMPY": "a single array (.npy)",
    b"PK\x03\x04": "a zip file",
    b"PK\x05\x06": "an empty zip file",
    b"\x1f\x8b": "gzip data",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ\x00": "xz data",
    b"\x28\xb5\x2f\xfd": "zstd data",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"MATLAB 5.0 MAT-file": "a MATLAB file",
    b"PAR1": "a Parquet file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"version https://git-lfs": "a Git LFS pointer (git lfs pull fetches the file itself)",
}
_HTML = re.compile(rb"\s*(<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)
# Protocols 2 to 5 begin with their number, 0 and 1 with their first object.
_PICKLE = re.compile(rb"\x80[\x02-\x05]|\([dl]p\d+\n|[}\]]q\x00|c\w[\w.]*\n\w+\n")


def shown(path: str | os.PathLike[str]) -> str:
    """A path as a message can show it: on one line, and whatever bytes its name is made of."""
    name = os.fspath(path)
    return name if name.isprintable() else ascii(name)


def some(names: Sequence[str]) -> str:
    """The first few of many names."""
    few = ", ".join(map(shown, names[:6])) or "nothing"
    return few if len(names) <= 6 else f"{few} and {len(names) - 6} more"


def describe(head: bytes) -> str:
    """What a file is that begins with these bytes, as in "this is a pickle"."""
    if not head:
        return "empty"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if _HTML.match(head):
        return "an HTML or XML page (as a failed download leaves)"
    if _PICKLE.match(head):
        return "a pickle"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if all(byte >= 32 or byte in b"\t\n\r" for byte in head):
        return "text"
    return "of an unknown type"

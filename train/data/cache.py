"""The named data sets' arrays, decoded once and kept in the user's cache folder.

A file that this program wrote begins with its stamp. Another one of the same name is neither
read nor overwritten.
"""

import contextlib
import fcntl
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from train.common.errors import InputError, reason
from train.common.progress import warn
from train.data import npz
from train.data.filetype import HEAD, shown
from train.data.npz import Arrays

_warn_once = functools.cache(warn)


def folder() -> Path:
    """Where decoded arrays are kept, and what is downloaded."""
    if home := os.environ.get("XDG_CACHE_HOME"):
        return Path(os.path.expanduser(home)) / "rsgdm_optax"  # noqa: PTH111  # Path's may fail
    try:
        return Path.home() / ".cache" / "rsgdm_optax"
    except RuntimeError:
        # A container run as a user that its system does not know.
        path = Path(tempfile.gettempdir()) / f"rsgdm_optax-{os.getuid()}"
        _warn_once(f"there is no home folder: data are kept in {shown(path)} (or XDG_CACHE_HOME)")
        return path


def path(name: str) -> Path:
    """The file of a data set."""
    return folder() / f"{name}.npz"


def stamp(name: str) -> bytes:
    """What a data set's file has among its first bytes."""
    return f"rsgdm_optax keeps {name} here".encode()


def is_kept(name: str) -> bool:
    """Whether the program has kept a data set's arrays."""
    with contextlib.suppress(OSError):
        return _is_ours(name) is True
    return False


def _is_ours(name: str) -> bool | None:
    """Whether the program wrote a data set's file; None if there is none.

    Raises:
      OSError: if it cannot be read.
    """
    try:
        with path(name).open("rb") as file:
            return stamp(name) in file.read(HEAD)
    except FileNotFoundError:
        return None


def check_free(name: str) -> None:
    """Raises `InputError` if something else has the name of a data set's file."""
    if _is_ours(name) is False:
        raise InputError(
            f"{shown(path(name))}: was not written by this program, or by an older version of it, "
            "so it is neither used nor overwritten; move it away, or name another place by "
            "XDG_CACHE_HOME"
        )


def read(name: str) -> Arrays | None:
    """The arrays, if they were kept and are whole."""
    if not is_kept(name):
        return None
    try:
        return npz.read(path(name))
    except InputError as error:
        _warn_once(f"{error}; it is made again")
        return None


def keep(name: str, arrays: Arrays) -> None:
    """Writes the arrays. Where that is not possible, says so and goes on."""
    try:
        check_free(name)
        folder().mkdir(parents=True, exist_ok=True)
        write(name, path(name), arrays)
    except InputError as error:
        warn(f"{error}; the arrays are not kept")
    except OSError as error:
        warn(
            f"{shown(path(name))}: {reason(error)}; the arrays are not kept; name "
            "another place for them by XDG_CACHE_HOME"
        )


def write(name: str, target: Path, arrays: Arrays) -> None:
    """Writes a data set's file, with its stamp."""
    npz.write(target, arrays, stamp(name))


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Lets one process at a time make a data set's file; the others wait."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / f".{name}.lock").open("a") as file:
        with contextlib.suppress(OSError):  # a file system without locks: then without
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

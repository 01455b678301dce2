"""One process at a time in a study's folder, or a run's."""

import contextlib
import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from train.common import signals
from train.common.errors import InputError
from train.common.progress import warn

# What flock says on a file system that lacks it: Colab's drive, some NFS and FUSE.
_HAS_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds a folder's lock, which the system takes back when the process ends, however it does.

    Where the file system has no such lock, the process that makes the file `.locked` holds the
    folder, and removes it at its end; one that is killed leaves it.

    Args:
      folder: a study's, or a run's.
      wait: whether to wait for another process that holds it.

    Raises:
      InputError: if another process holds it, naming that process.
    """
    with (folder / ".lock").open("a+", encoding="utf-8") as file, contextlib.ExitStack() as stack:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InputError(f"{folder}: is being trained by {holder}") from None
        except OSError as error:
            if error.errno not in _HAS_NO_FLOCK:
                raise
            warn(f"{folder}: its file system cannot lock files ({error.strerror}); .locked is used")
            stack.enter_context(_locked_by_name(folder / ".locked"))
        file.truncate(0)
        file.write(_us())
        file.flush()
        yield


@contextlib.contextmanager
def _locked_by_name(path: Path) -> Iterator[None]:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_us())
    except FileExistsError:
        holder = path.read_text(encoding="utf-8").strip() or "another process"
        raise InputError(
            f"{path.parent}: is being trained by {holder}, or that was killed: then remove {path}, "
            "or choose another --output"
        ) from None
    with signals.cleaned_up(lambda: path.unlink(missing_ok=True)):
        yield


def _us() -> str:
    return f"process {os.getpid()} on {platform.node()}\n"

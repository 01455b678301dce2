"""One process at a time in a study's folder."""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from train.errors import InputError


@contextmanager
def locked(study: Path) -> Iterator[None]:
    """Holds the study's lock, which the system takes back when the process ends, however it does.

    Raises:
      InputError: if another process holds it, naming that process.
    """
    with (study / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InputError(f"{study}: is being trained by {holder}") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield

"""Standard output and standard error that may be closed, on a full disk, or without a reader."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO


class Stream:
    """A text stream that never raises: after its first error nothing more is written.

    Libraries must not see the error: rich would end the program, without a word.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        self._attempt(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self.error is not None:
            return
        try:
            action()
        except OSError as error:
            self.error = error
            # What is left in its buffer goes nowhere: Python flushes once more at its end.
            with contextlib.suppress(OSError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


def open_closed() -> None:
    """Opens the null device for each of a process's three streams that is closed.

    Its number would go to the next file, and what libraries print into that.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


@contextlib.contextmanager
def shielded() -> Iterator[Stream]:
    """Makes both streams such ones; yields standard output."""
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as nowhere:
        # Python has None for a closed one.
        output, error = (stream or nowhere for stream in before)
        for stream in (output, error):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # an ASCII terminal
        shield = Stream(output)
        sys.stdout, sys.stderr = shield, Stream(error)
        try:
            yield shield
        finally:
            sys.stdout, sys.stderr = before

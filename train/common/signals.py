"""SIGINT and SIGTERM: a flag that training reads between its steps, and otherwise the end.

A program that `hear` them ends at once, unless it is `listening`: then it has some seconds to call
`check`, and some more to leave. A second signal ends it at once. Python alone would hear a signal
between two of its own instructions; C++ code may run for minutes before the next, in a compilation
or an operation that other processes must join. So a thread watches.
"""

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
_SECONDS_TO_CHECK, _SECONDS_TO_LEAVE = 2.0, 30.0

_received: list[signal.Signals] = []
_was_checked = threading.Event()
_listeners = 0
_cleanups: list[Callable[[], None]] = []


class Interrupted(BaseException):
    """A signal arrived: files are closed on the way out."""

    def __init__(self, number: signal.Signals, *, at_once: bool = False):
        super().__init__(number.name)
        self.number = number
        self.at_once = at_once  # whether the interpreter's own way out would wait for others


def check() -> None:
    """Raises `Interrupted` if a signal has arrived."""
    if _received:
        _was_checked.set()
        raise Interrupted(_received[0])


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """While this lasts, `check` is called again and again."""
    global _listeners  # a signal belongs to the whole process
    _listeners += 1
    try:
        yield
    finally:
        _listeners -= 1


@contextlib.contextmanager
def cleaned_up(cleanup: Callable[[], None]) -> Iterator[None]:
    """Calls `cleanup` at the end, and also if a signal ends the process at once."""
    _cleanups.append(cleanup)
    try:
        yield
    finally:
        _cleanups.remove(cleanup)
        cleanup()


@contextlib.contextmanager
def hear(say: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Hears the signals that the starter does not ignore; `say` tells that the process ends."""
    heard = [number for number in STATUS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _receive) for number in heard}
    read, write = os.pipe()
    os.set_blocking(write, False)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read, say), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        os.close(write)
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.clear()
        _was_checked.clear()


def _receive(number: int, _frame: FrameType | None) -> None:
    _received.append(signal.Signals(number))


def _watch(read: int, say: Callable[[signal.Signals], None]) -> None:
    """Ends the process after a signal: at once, or if nobody checks in time."""
    while byte := os.read(read, 1):
        if byte[0] not in STATUS:
            continue
        number = signal.Signals(byte[0])
        if _listeners and _is_left(read):
            break
        _end(number, say)
    os.close(read)


def _is_left(read: int) -> bool:
    """Waits for a check, and then for the program's own end; False at a second signal."""
    for seconds in (_SECONDS_TO_CHECK, _SECONDS_TO_LEAVE):
        is_there, _, _ = select.select([read], [], [], seconds)
        if is_there:
            return not os.read(read, 1)
        if not _was_checked.is_set():
            break
    return False


def _end(number: signal.Signals, say: Callable[[signal.Signals], None]) -> None:
    for cleanup in reversed(_cleanups):
        with contextlib.suppress(Exception):
            cleanup()
    say(number)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STATUS[number])

"""How a program of this folder ends: one line instead of a traceback, and its exit status."""

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from train.errors import InputError

_INTERRUPTED = {signal.SIGINT: 130, signal.SIGTERM: 143}

# JAX leaves an interrupted compilation running, in threads that still read what the interrupted
# frames hold. The exception keeps those frames, and this keeps the exception.
_stops: list[BaseException] = []


class _Signalled(BaseException):
    """SIGINT or SIGTERM: files are closed on the way out."""

    def __init__(self, number: int):
        self.number = signal.Signals(number)


def run(program: str, main: Callable[[], int]) -> NoReturn:
    """Runs a program's `main` and exits with its status; call it before slow imports."""
    status = outcome(program, main)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    # Leaving at once: the interpreter's own way out crashes while a compilation is under way.
    os._exit(status)


def outcome(program: str, main: Callable[[], int]) -> int:
    """The exit status of a program's `main`; what goes wrong is said in one line."""
    before = {number: signal.signal(number, _raise) for number in _INTERRUPTED}
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_send_again, hook)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # an ASCII terminal
    try:
        status = main()
        sys.stdout.flush()
    except InputError as error:
        return _say(program, str(error), 2)
    except BrokenPipeError:  # the reader of our output has had enough
        return 2
    except OSError as error:
        return _say(program, f"{error.filename or 'output'}: {error.strerror or error}", 2)
    except _Signalled as stop:
        _stops.append(stop)
        line = f"stopped by {stop.number.name}; the same command goes on after the last whole epoch"
        return _say(program, line, _INTERRUPTED[stop.number])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
    return status


def _say(program: str, line: str, status: int) -> int:
    with contextlib.suppress(OSError):
        print(f"{program}: {line}", file=sys.stderr)
    return status


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    raise _Signalled(number)


def _send_again(
    otherwise: Callable[["sys.UnraisableHookArgs"], Any], ignored: "sys.UnraisableHookArgs"
) -> None:
    """Python drops what is raised in a destructor or, as by JAX, in a callback of the collector.

    A signal that arrives there is sent once more, a little later: this hook is no place either.
    """
    if isinstance(ignored.exc_value, _Signalled):
        number = ignored.exc_value.number
        threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
    else:
        otherwise(ignored)

"""How a program of this folder starts and ends: one line instead of a traceback, and its status."""

import contextlib
import functools
import importlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from train.common.errors import InputError, LostProcessError
from train.common.streams import Stream, open_closed, shielded
from train.common.variables import blamed

_ROOT = Path(__file__).resolve().parents[2]
_INTERRUPTED = {signal.SIGINT: 130, signal.SIGTERM: 143}
_SECONDS_TO_HEAR = 2.0

# JAX leaves an interrupted compilation running, in threads that still read what the interrupted
# frames hold. The exception keeps those frames, and this keeps the exception.
_stops: list[BaseException] = []


class _Ending(NamedTuple):
    """How a program ended."""

    status: int
    at_once: bool  # the interpreter's own way out would crash, or wait


class _Signalled(BaseException):
    """SIGINT or SIGTERM: files are closed on the way out."""

    def __init__(self, number: int):
        self.number = signal.Signals(number)


def start(script: str, module: str | None = None) -> NoReturn:
    """Runs a program of this checkout, by its file. Its module is imported anew, by its own name.

    So whatever goes wrong as it is imported, which takes seconds, ends like all the rest.

    Args:
      script: the file that was started.
      module: what has the program's `main`; None: the script itself.
    """
    path = Path(script).resolve()
    # A script's own folder comes first on the path: modules there are no packages of that name.
    sys.path[:] = [folder for folder in sys.path if folder != str(path.parent)]
    name = module or ".".join(path.relative_to(_ROOT).with_suffix("").parts)

    def main() -> int:
        if sys.platform == "win32":
            raise InputError(
                f"{path.name}: locks files as Linux and macOS do; on Windows use WSL. "
                "The library, rsgdm_optax, does not need that."
            )
        try:
            program = importlib.import_module(name)
        except ValueError as error:
            if not (variables := blamed(str(error))):
                raise
            raise InputError(f"{variables}: JAX cannot be imported: {error}") from None
        if "jax" in sys.modules:  # a report is made without
            importlib.import_module("train.engine.backend").configure()
        status: int = program.main()
        return status

    run(path.name, main)


def run(program: str, main: Callable[[], int]) -> NoReturn:
    """Runs a program's `main` and exits with its status."""
    open_closed()
    with _unheard_signals_end(program):
        status, at_once = _ending(program, main)
        if at_once:
            os._exit(status)
    sys.exit(status)


def outcome(program: str, main: Callable[[], int]) -> int:
    """The exit status of a program's `main`; what goes wrong is said in one line."""
    return _ending(program, main).status


def _ending(program: str, main: Callable[[], int]) -> _Ending:
    with shielded() as output, _signals_raise():
        try:
            return _attempt(program, lambda: _status(main, output))
        except _Signalled as stop:
            _stops.append(stop)
            return _Ending(_say_stopped(program, stop.number), at_once=True)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


def _attempt(program: str, main: Callable[[], int]) -> _Ending:
    try:
        return _Ending(main(), at_once=False)
    except InputError as error:
        return _Ending(_say(program, str(error), 2), isinstance(error, LostProcessError))
    except ImportError as error:
        if not (line := _missing(error)):
            raise
        return _Ending(_say(program, line, 2), at_once=False)
    except OSError as error:
        line = f"{error.filename or 'output'}: {_reason(error)}"
        return _Ending(_say(program, line, 2), at_once=False)


def _status(main: Callable[[], int], output: Stream) -> int:
    try:
        status = main()
    except SystemExit as end:  # --help
        status = int(end.code or 0)
    output.flush()
    # A reader that has had enough is no failure: `... | head` ends with the work's own status.
    if output.error is not None and not isinstance(output.error, BrokenPipeError):
        raise InputError(f"standard output: {_reason(output.error)}")
    return status


def _missing(error: ImportError) -> str:
    """What to install; "" for a fault of this program."""
    package = (error.name or "").partition(".")[0]
    if package in ("", "train", "rsgdm_optax", *sys.stdlib_module_names):
        return ""
    install = shlex.join([sys.executable, "-m", "pip", "install", "-e", f"{_ROOT}[train]"])
    return f"{error}; what is needed is installed by {install}"


def _say(program: str, line: str, status: int) -> int:
    print(f"{program}: {line}", file=sys.stderr)
    return status


def _say_stopped(program: str, number: signal.Signals) -> int:
    line = f"stopped by {number.name}; the same command goes on after the last whole epoch"
    return _say(program, line, _INTERRUPTED[number])


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


# --- Signals.


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Raises `_Signalled` in the main thread; a signal that the starter ignores stays ignored."""
    heard = [number for number in _INTERRUPTED if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _raise) for number in heard}
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_send_again, hook)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


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


@contextlib.contextmanager
def _unheard_signals_end(program: str) -> Iterator[None]:
    """Ends the process some seconds after a signal that its main thread does not hear.

    Python hears one between two of its own instructions. C++ code may run for minutes before the
    next: a compilation, or an operation that other processes must join.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def watch() -> None:
        while byte := os.read(read, 1):
            if signal.getsignal(byte[0]) is _raise:
                time.sleep(_SECONDS_TO_HEAR)
                status = _say_stopped(program, signal.Signals(byte[0]))
                sys.stderr.flush()
                os._exit(status)
        os.close(read)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write)

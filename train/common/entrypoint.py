"""How a program of this folder starts and ends: one line instead of a traceback, and its status."""

import importlib
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

from train.common import jax_settings, signals
from train.common.errors import InputError, LostProcessError, reason
from train.common.streams import Stream, open_closed, shielded
from train.common.variables import blamed

_ROOT = Path(__file__).resolve().parents[2]


class _Ending(NamedTuple):
    """How a program ended."""

    status: int
    at_once: bool  # the interpreter's own way out would wait for other processes, or crash


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
            jax_settings.configure()
        status: int = program.main()
        return status

    run(path.name, main)


def run(program: str, main: Callable[[], int]) -> NoReturn:
    """Runs a program's `main` and exits with its status."""
    open_closed()
    status, at_once = _ending(program, main)
    if at_once:
        os._exit(status)
    sys.exit(status)


def outcome(program: str, main: Callable[[], int]) -> int:
    """The exit status of a program's `main`; what goes wrong is said in one line."""
    return _ending(program, main).status


def _ending(program: str, main: Callable[[], int]) -> _Ending:
    def say_stopped(number: signal.Signals) -> None:
        line = f"stopped by {number.name}; the same command goes on after the last whole epoch"
        _say(program, line, signals.STATUS[number])

    with shielded() as output, signals.hear(say_stopped):
        try:
            return _attempt(program, lambda: _status(main, output))
        except signals.Interrupted as stop:
            say_stopped(stop.number)
            return _Ending(signals.STATUS[stop.number], stop.at_once)
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
        line = f"{error.filename or 'output'}: {reason(error)}"
        return _Ending(_say(program, line, 2), at_once=False)


def _status(main: Callable[[], int], output: Stream) -> int:
    try:
        status = main()
    except SystemExit as end:  # --help
        status = int(end.code or 0)
    output.flush()
    # A reader that has had enough is no failure: `... | head` ends with the work's own status.
    if output.error is not None and not isinstance(output.error, BrokenPipeError):
        raise InputError(f"standard output: {reason(output.error)}")
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

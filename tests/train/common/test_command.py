"""How the programs start and end: streams that fail, signals, what is missing."""

import ast
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from rich.console import Console

from train.common import entrypoint, signals
from train.common.errors import InputError, LostProcessError

ROOT = Path(__file__).parents[3]
EXPERIMENTS = ("bias_variance", "collectives", "gpu_check", "nesterov_distance")
PROGRAMS = ("report", *(f"experiments/{name}" for name in EXPERIMENTS))
LIMIT = 120  # seconds, to end a hang


def _python(code: str, *before: str, **options) -> subprocess.CompletedProcess[str]:
    """Runs a program whose `main` has this body, behind these words of a command."""
    lines = ("import os, signal, sys", "from train.common import entrypoint", "def main():")
    program = "\n".join(lines) + "\n" + textwrap.indent(code, "    ")
    program += '\nentrypoint.run("program.py", main)'
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(
        [*before, sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": ""},  # as Python is by itself
        text=True,
        timeout=LIMIT,
        check=False,
        **options,
    )


# --- Streams.


class Failing:
    """A stream on a full disk, or without a reader."""

    def __init__(self, error: OSError):
        self.error, self.calls = error, 0

    def write(self, _text):
        self.calls += 1
        raise self.error

    def flush(self):
        raise self.error

    def reconfigure(self, **_options):
        pass

    def fileno(self):
        raise OSError("in memory")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (BrokenPipeError(32, "Broken pipe"), 3, ""),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (OSError(5, "Input/output error"), 2, "Input/output error"),
    ],
)
def test_standard_output_that_fails_stops_nothing(error, status, line, capsys, monkeypatch):
    stream, done = Failing(error), []
    monkeypatch.setattr(sys, "stdout", stream)

    def main():
        for k in range(3):
            print(k)
            done.append(k)
        return 3

    assert entrypoint.outcome("program.py", main) == status
    assert (done, stream.calls) == ([0, 1, 2], 1)
    assert sys.stdout is stream
    said = f"program.py: standard output: {line}\n" if line else ""
    assert capsys.readouterr().err == said


def test_rich_does_not_end_the_program(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Failing(BrokenPipeError(32, "Broken pipe")))
    monkeypatch.setattr(sys, "stderr", Failing(BrokenPipeError(32, "Broken pipe")))
    done = []

    def main():
        for is_error in (False, True):
            Console(stderr=is_error).print("line")
            done.append(is_error)
        return 0

    assert entrypoint.outcome("program.py", main) == 0
    assert done == [False, True]


def test_standard_error_that_fails_changes_nothing(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Failing(OSError(28, "No space left on device")))

    def main():
        print("progress", file=sys.stderr)
        print("table")
        raise InputError("epochs: 0")

    assert entrypoint.outcome("program.py", main) == 2
    assert capsys.readouterr().out == "table\n"


def test_closed_streams_are_as_if_nobody_read(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert entrypoint.outcome("program.py", lambda: print("table") or 0) == 0
    assert sys.stdout is None


def test_a_closed_streams_number_goes_to_no_file():
    closing = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    code = """
null = os.stat(os.devnull)
return sum(os.path.samestat(os.fstat(number), null) for number in (0, 1, 2))
"""
    assert _python(code, *closing).returncode == 3


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_at_the_interpreters_end(stream):
    with Path("/dev/full").open("w") as full:
        done = _python("print('table')\nsys.stderr.write('progress')\nreturn 0", **{stream: full})
    if stream == "stdout":
        assert done.stderr == "progressprogram.py: standard output: No space left on device\n"
    assert done.returncode == (2 if stream == "stdout" else 0)


# --- Ends.


def test_the_interpreters_own_way_out():
    done = _python("import atexit\natexit.register(print, 'at exit')\nreturn 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "at exit\n", "")


def _raise(error: BaseException):
    raise error


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (LostProcessError("process 1 has not come"), 2),
        (signals.Interrupted(signal.SIGTERM, at_once=True), 143),
    ],
)
def test_ends_at_once_where_the_interpreters_way_out_would_crash_or_wait(
    end, status, monkeypatch, capsys
):
    ends = []
    monkeypatch.setattr(os, "_exit", lambda status: ends.append(status) or _raise(SystemExit))
    with pytest.raises(SystemExit):
        entrypoint.run("program.py", lambda: _raise(end))
    assert ends == [status]
    assert capsys.readouterr().err.count("\n") == 1


def test_help_is_no_failure(capsys):
    assert entrypoint.outcome("program.py", lambda: print("usage") or _raise(SystemExit(0))) == 0
    assert capsys.readouterr().out == "usage\n"


@pytest.mark.parametrize("missing", ["flax", "flax.nnx", "rich"])
def test_a_missing_package_is_said_with_what_installs_it(missing, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)
    assert entrypoint.outcome("program.py", lambda: __import__(missing)) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert missing in err
    assert f"{sys.executable} -m pip install -e '{ROOT}[train]'" in err


@pytest.mark.parametrize("name", ["train.no_such", "rsgdm_optax.no_such", "json.no_such"])
def test_a_fault_of_ours_is_no_missing_package(name):
    with pytest.raises(ModuleNotFoundError):
        entrypoint.outcome("program.py", lambda: __import__(name))


# --- Starts.


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_starts_alike(program):
    starts = []
    for name in (program, "cifar"):
        docstring, first, *rest = ast.parse((ROOT / "train" / f"{name}.py").read_text()).body
        assert isinstance(docstring, ast.Expr)
        assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in rest[:1])
        starts.append(ast.unparse(first))
    depth = 1 + program.count("/")
    ours = starts[0].replace(f"parents[{depth}]", "parents[1]")
    assert ours.replace(", 'train.report.report'", "") == starts[1]


def test_a_variable_that_jax_refuses(tmp_path):
    (tmp_path / "program").symlink_to(ROOT / "train" / "cifar.py")
    done = subprocess.run(
        [sys.executable, "-P", "program"],
        cwd=tmp_path,
        env=os.environ | {"JAX_NUMPY_RANK_PROMOTION": "nonsense"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("cifar.py: JAX_NUMPY_RANK_PROMOTION=nonsense: JAX cannot be imp")
    assert done.stderr.count("\n") == 1


# --- Signals.


def test_a_signal_that_the_starter_ignores_stays_ignored(capsys):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert (
            entrypoint.outcome("program.py", lambda: signal.raise_signal(signal.SIGINT) or 0) == 0
        )
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == ""


def test_a_signal_that_c_code_does_not_hear():
    # A mutex that is locked twice: for ever, and no signal wakes it.
    code = """
import ctypes, threading
mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
return lock(mutex) or lock(mutex)
"""
    done = _python(code)
    assert done.returncode == 143
    assert done.stderr == (
        "program.py: stopped by SIGTERM; the same command goes on after the last whole epoch\n"
    )

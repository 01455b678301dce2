"""The programs called as a user calls them: in this process, or in children that never stay."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import jax
import pytest

from train import cifar
from train.common import entrypoint

ROOT = Path(__file__).parents[2]
LIMIT = 600  # seconds, to end a hang: ten times what the slowest child takes on a quiet machine


def status(program: ModuleType, words: list[object] | str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit status of a program; words as a shell would divide them, or in a list."""
    name = f"{program.__name__.rpartition('.')[2]}.py"
    words = words.split() if isinstance(words, str) else words
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    main = program.main
    if program is cifar:
        main = functools.partial(main, tuple(jax.devices()[:1]))
    return entrypoint.outcome(name, main)


@contextlib.contextmanager
def started(*words: object, **options) -> Iterator[subprocess.Popen[str]]:
    """A child in the checkout, `words` behind `python`.

    In the end it is killed, with whatever it has started, and waited for; also at its time limit,
    which is a failure.
    """
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        **{"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
        text=True,
        start_new_session=True,
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(LIMIT, end)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        timer.join()
        _kill(process)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    if late.is_set():
        pytest.fail(f"{process.args}: not over after {LIMIT} s")


def finished(*processes: subprocess.Popen[str]) -> list[subprocess.CompletedProcess[str]]:
    """What children that have been started say, and how they end."""
    with ThreadPoolExecutor(len(processes)) as pool:  # none waits for another to be read
        said = pool.map(subprocess.Popen.communicate, processes)
        return [
            subprocess.CompletedProcess(process.args, process.returncode, *words)
            for process, words in zip(processes, said, strict=True)
        ]


def run(*words: object, **options) -> subprocess.CompletedProcess[str]:
    """A child from its start to its end."""
    with started(*words, **options) as process:
        return finished(process)[0]


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):  # the child and all that it started are gone
        os.killpg(process.pid, signal.SIGKILL)


def not_installed(*before: Path) -> dict[str, str]:
    """The environment for `python -S`, in which no .pth file shows it this checkout."""
    root = Path(__file__).parents[2]
    packages = [Path(folder) for folder in sys.path if folder and Path(folder).is_dir()]
    found = [folder for folder in packages if folder.resolve() != root]
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*before, *found)))}

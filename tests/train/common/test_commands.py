"""Children of tests never stay, whatever happens."""

import threading
import time

import pytest

from tests.train.commands import LIMIT, finished, run, started

# Starts a child of its own, tells its number, and waits for ever.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
print(child.pid, flush=True)
time.sleep(1000)
"""


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _assert_ends(pid: int) -> None:
    end = time.monotonic() + 60
    while _is_running(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _is_running(pid)


def test_a_child_and_its_children_end_with_a_failing_test():
    def fail() -> None:
        with started("-c", PARENT) as process:
            seen.extend((process, int(process.stdout.readline())))
            assert _is_running(seen[1])
            raise ZeroDivisionError

    seen: list = []
    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen[0].returncode is not None
    _assert_ends(seen[1])


def test_a_child_that_hangs_fails(monkeypatch):
    class Clock:
        """A timer that goes off when it is told to."""

        def __init__(self, seconds, act):
            assert seconds == LIMIT
            clocks.append(act)

        def start(self): ...

        cancel = join = start

    def hang() -> None:
        with started("-c", PARENT) as process:
            seen.append(int(process.stdout.readline()))
            clocks[0]()
            (ended,) = finished(process)
            assert ended.returncode < 0

    clocks: list = []
    seen: list = []
    monkeypatch.setattr(threading, "Timer", Clock)
    with pytest.raises(pytest.fail.Exception, match="not over after 600 s"):
        hang()
    _assert_ends(seen[0])


def test_what_a_child_says_is_read_however_much():
    say = "import sys; sys.stderr.write('x' * 10**6); print(7); sys.exit(3)"
    with started("-c", say) as first, started("-c", say) as second:
        for ended in finished(first, second):
            assert (ended.returncode, ended.stdout) == (3, "7\n")
            assert len(ended.stderr) == 10**6
    assert run("-c", "import os; print(os.getsid(0) == os.getpid())").stdout == "True\n"

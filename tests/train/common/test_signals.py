"""SIGINT and SIGTERM: a flag for what listens, otherwise the end; a second one ends at once."""

import signal
import subprocess
import textwrap

import pytest

from tests.train.commands import run

SAYS = "program.py: stopped by {}; the same command goes on after the last whole epoch\n"


def _program(code: str) -> subprocess.CompletedProcess[str]:
    """A program whose `main` is this code; `send(number, seconds)` sends it a signal."""
    start = """
import atexit, os, signal, threading, time
from train.common import entrypoint, signals

def send(number, seconds=0.0):
    threading.Timer(seconds, os.kill, (os.getpid(), number)).start()

atexit.register(print, "at exit", flush=True)

def main():
"""
    return run("-c", f"{start}{textwrap.indent(code, ' ')}\nentrypoint.run('program.py', main)")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_does_not_listen_ends_at_once(number, status):
    done = _program(
        f"""
with signals.cleaned_up(lambda: print("cleaned up")):
    send({int(number)})
    time.sleep(60)
"""
    )
    assert (done.returncode, done.stderr) == (status, SAYS.format(number.name))
    assert done.stdout == "cleaned up\n"  # and not "at exit"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_listens_leaves_by_the_interpreters_own_way(number, status):
    done = _program(
        f"""
with signals.cleaned_up(lambda: print("cleaned up")), signals.listening():
    send({int(number)})
    while True:
        time.sleep(0.01)
        signals.check()
"""
    )
    assert (done.returncode, done.stderr) == (status, SAYS.format(number.name))
    assert done.stdout == "cleaned up\nat exit\n"


def test_what_listens_and_does_not_check_ends_in_seconds():
    done = _program("send(15)\nwith signals.listening():\n time.sleep(600)")
    assert (done.returncode, done.stderr) == (143, SAYS.format("SIGTERM"))
    assert done.stdout == ""


def test_a_second_signal_ends_at_once():
    # What listens would check, too late: the second comes first.
    code = """
signals._SECONDS_TO_CHECK = 600
send(15)
send(2, 0.2)
with signals.listening():
    time.sleep(600)
"""
    done = _program(code)
    assert (done.returncode, done.stderr) == (143, SAYS.format("SIGTERM"))


def test_without_a_signal_nothing_is_raised():
    done = _program("with signals.listening():\n signals.check()\nreturn 0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "at exit\n", "")

"""Processes that wait for each other: what is in the way is named in one line, and in time."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import jax
import pytest

from tests.train.conftest import small
from train.common.errors import InputError, LostProcessError
from train.engine import meeting, multihost

ROOT = Path(__file__).parents[3]
LIMIT = 300  # seconds, to end a hang


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def port() -> int:
    """A free one: whoever wants it could take it, but nobody does."""
    return _free_port()


def _config(port: int, process: int, processes: int = 2):
    address = f"127.0.0.1:{port}"
    return small("", coordinator=address, num_processes=processes, process_id=process).execution


@pytest.fixture
def alone(monkeypatch):
    """No other process comes: JAX waits, and would abort at the end of its time."""
    seconds, over = [], threading.Event()

    def initialize(*_address, initialization_timeout, **_options):
        seconds.append(initialization_timeout)
        over.wait(LIMIT)

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    yield seconds
    over.set()


@pytest.mark.parametrize(
    ("process", "processes", "line"),
    [
        (0, 2, "process 1 has not come within 0.1 s"),
        (0, 3, "not all 3 processes have come within 0.1 s"),
        (1, 2, "process 0 has not come (Connection refused) within 0.1 s"),
    ],
)
def test_a_process_that_never_comes(process, processes, line, port, alone, capsys):
    config = _config(port, process, processes)
    with (
        pytest.raises(LostProcessError) as error,
        multihost.distributed_session(config, to_meet=0.1),
    ):
        pass
    assert str(error.value) == f"coordinator: '127.0.0.1:{port}': {line}"
    assert alone[0] > 30  # JAX's own time is longer than ours
    assert capsys.readouterr().err == (
        f"process {process} of {processes} waits at 127.0.0.1:{port} for the others, "
        "at most 0.1 s\n"
    )


def test_a_third_process_that_never_comes(alone):
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = _config(server.getsockname()[1], 1, 3)
        with (
            pytest.raises(LostProcessError, match="process 0 is there, but not all 3 processes"),
            multihost.distributed_session(config, to_meet=0.1),
        ):
            pass


def test_a_port_in_use(alone):
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with (
            pytest.raises(InputError) as error,
            multihost.distributed_session(_config(port, 0), to_meet=0.1),
        ):
            pass
    assert str(error.value) == (
        f"coordinator: '127.0.0.1:{port}': the port {port} is not free here: Address already in use"
    )


def test_an_unknown_host(alone, monkeypatch):
    def getaddrinfo(_host, _port):
        raise socket.gaierror(-2, "Name or service not known")

    def refused(host: str) -> str:
        config = small("", coordinator=f"{host}:1234", num_processes=2, process_id=1).execution
        with pytest.raises(InputError) as error, multihost.distributed_session(config, to_meet=0.1):
            pass
        return str(error.value)

    too_long = "a" * 70  # for Python's own encoding of names
    assert f": the host {too_long} is unknown: " in refused(too_long)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert refused("host0") == (
        "coordinator: 'host0:1234': the host host0 is unknown: Name or service not known"
    )


def test_web_proxies_are_not_asked(port, monkeypatch):
    """GRPC takes them for the way to the first process, and waits for ever."""
    seen = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **__: seen.update(os.environ))
    proxies = {"http_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "x", "no_proxy": "localhost"}
    for name, value in (proxies | {"grpc_proxy": "http://meant"}).items():
        monkeypatch.setenv(name, value)
    meeting.meet(_config(port, 1), 1)
    assert not seen.keys() & proxies.keys()
    assert seen["grpc_proxy"] == "http://meant"
    assert os.environ.items() >= proxies.items()


def test_a_signal_while_it_waits(tmp_path):
    processes, limits = [], []
    for process in (0, 1):  # each waits for another that does not come
        options = ["--coordinator", f"127.0.0.1:{_free_port()}", "--num-processes", "2"]
        options += ["--process-id", str(process), "--output", str(tmp_path / "study")]
        words = [sys.executable, "train/cifar.py", "--preset", "demo", *options]
        processes.append(subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True))
        limits.append(threading.Timer(LIMIT, processes[-1].kill))
        limits[-1].start()
    try:
        for process, number in zip(processes, (signal.SIGTERM, signal.SIGINT), strict=True):
            assert "waits at" in process.stderr.readline()
            process.send_signal(number)
            _, said = process.communicate()
            assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
            assert said.splitlines()[-1].startswith(f"cifar.py: stopped by {number.name}; ")
            assert "Traceback" not in said
    finally:
        for process, limit in zip(processes, limits, strict=True):
            process.kill()
            process.wait()
            limit.cancel()
    assert not (tmp_path / "study").exists()

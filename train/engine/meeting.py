"""How the processes of a study find each other: by the address of the first, the coordinator."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Protocol

import jax

from train.common.errors import InputError, LostProcessError, first_line, reason
from train.common.progress import say

# Seconds. After the second without a sign of life JAX ends the processes that are left.
TO_MEET, _WITHOUT_A_SIGN, _TO_PART = 300, 60, 30


class Processes(Protocol):
    """Who takes part, as the options of the same names say."""

    @property
    def distributed(self) -> bool: ...
    @property
    def coordinator(self) -> str | None: ...
    @property
    def num_processes(self) -> int | None: ...
    @property
    def process_id(self) -> int | None: ...


def meet(config: Processes, seconds: float) -> None:
    """Waits so long for the other processes, and hears signals meanwhile.

    Raises:
      InputError: if they do not meet, naming what is in the way or who is missing.
    """
    if config.coordinator is not None:
        _check(config)
        say(
            f"process {config.process_id} of {config.num_processes} waits at {config.coordinator} "
            f"for the others, at most {seconds:g} s"
        )
    # It would take SIGTERM for itself: the command could not be stopped by it.
    jax.config.update("jax_enable_preemption_service", val=False)

    def initialize() -> None:
        jax.distributed.initialize(
            config.coordinator,
            config.num_processes,
            config.process_id,
            initialization_timeout=int(seconds) + 60,  # JAX aborts at the end of its time
            heartbeat_timeout_seconds=_WITHOUT_A_SIGN,
            shutdown_timeout_seconds=_TO_PART,
        )

    try:
        with _no_web_proxy():
            _in_a_thread(initialize, seconds)
    except TimeoutError:
        raise LostProcessError(f"{_missing(config)} within {seconds:g} s") from None
    except ValueError:  # nothing is given, and nothing was found
        raise InputError(
            "distributed: the processes do not meet: neither SLURM nor Open MPI nor a TPU says who "
            "they are; give --coordinator HOST:PORT --num-processes N --process-id K"
        ) from None
    except RuntimeError as error:
        raise InputError(f"distributed: the processes do not meet: {first_line(error)}") from None


def _in_a_thread(call: Callable[[], None], seconds: float) -> None:
    """Calls what blocks in C++ code, where the main thread would hear no signal."""
    future: Future[None] = Future()

    def fulfil() -> None:
        try:
            call()
            future.set_result(None)
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=fulfil, daemon=True).start()
    future.result(seconds)


def _check(config: Processes) -> None:
    """Refuses an address at which JAX would crash, or wait in vain."""
    address = host, port = _address(config)
    try:
        socket.getaddrinfo(host, port)
        if config.process_id == 0:
            # On all addresses, as JAX does.
            six = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if six else socket.AF_INET
            address = "", port
            socket.create_server(address, family=family, dualstack_ipv6=six).close()
    except (OSError, UnicodeError) as error:
        what = f"the host {host} is unknown" if address[0] else f"the port {port} is not free here"
        why = str(getattr(error, "strerror", error)).partition(" (")[0]
        raise InputError(f"coordinator: {config.coordinator!r}: {what}: {why}") from None


@contextlib.contextmanager
def _no_web_proxy() -> Iterator[None]:
    """Takes away the proxies for the web: gRPC would look for the first process behind them.

    One that is meant for gRPC stays: it has a variable of its own.
    """
    proxies = {
        name: value
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy") and "grpc" not in name.lower()
    }
    for name in proxies:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(proxies)


def _missing(config: Processes) -> str:
    """Who has not come, as far as this process can tell."""
    if config.coordinator is None:
        return "distributed: the processes have not met"
    count = config.num_processes or 1
    line = f"coordinator: {config.coordinator!r}: "
    others = "process 1 has not come" if count == 2 else f"not all {count} processes have come"
    if config.process_id == 0:
        return line + others
    try:
        socket.create_connection(_address(config), timeout=5).close()
    except OSError as error:
        return f"{line}process 0 has not come ({reason(error)})"
    return f"{line}process 0 is there, but not all {count} processes have come"


def _address(config: Processes) -> tuple[str, int]:
    host, _, port = str(config.coordinator).rpartition(":")
    return host.strip("[]"), int(port)

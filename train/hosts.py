"""Several processes, on one host or many: they meet, agree, and part.

The first alone reads and writes the study's folder; what it finds there it tells the others, so
that they need not see the folder, and all decide alike.
"""

import contextlib
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from train.config import Config
from train.errors import InputError

T = TypeVar("T")

# Seconds. After the second without a sign of life JAX ends the processes that are left.
_TO_MEET, _WITHOUT_A_SIGN, _TO_PART = 300, 60, 30


def is_first() -> bool:
    """Whether this process is the one that writes and shows; alone, it is."""
    return jax.process_index() == 0


@contextlib.contextmanager
def together(config: Config) -> Iterator[None]:
    """Joins the other processes of a study, if it has any, and leaves them at the end.

    Raises:
      InputError: if they do not meet, or one of them is lost.
    """
    several = config.distributed or config.coordinator is not None
    if not several or jax.distributed.is_initialized():
        yield
        return
    # It would take SIGTERM for itself: the command could not be stopped by it.
    jax.config.update("jax_enable_preemption_service", val=False)
    try:
        jax.distributed.initialize(
            config.coordinator,
            config.num_processes,
            config.process_id,
            initialization_timeout=_TO_MEET,
            heartbeat_timeout_seconds=_WITHOUT_A_SIGN,
            shutdown_timeout_seconds=_TO_PART,
        )
    except ValueError:  # nothing is given, and nothing was found
        raise InputError(
            "distributed: the processes do not meet: neither SLURM nor Open MPI nor a TPU says who "
            "they are; give --coordinator HOST:PORT --num-processes N --process-id K"
        ) from None
    except RuntimeError as error:
        raise InputError(f"distributed: the processes do not meet: {_line(error)}") from None
    by_process = Counter(device.process_index for device in jax.devices())
    if len(set(by_process.values())) > 1:
        raise InputError(
            f"distributed: the processes have {sorted(by_process.values())} devices; each must "
            "have as many"
        )
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        # The others cannot go on either: no parting, which would wait for them.
        raise InputError(
            f"process {jax.process_index()} of {jax.process_count()} cannot go on without the "
            f"others: {_line(error)}; the same command goes on after the last checkpoint"
        ) from error
    except InputError:
        _part()
        raise
    _part()


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, for all; so are its errors of input and of files."""
    if jax.process_count() == 1:
        return make()
    outcome: tuple[Any, Exception | None] = _attempt(make) if is_first() else (None, None)
    content = np.frombuffer(pickle.dumps(outcome), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(content.size)))
    content = content if is_first() else np.zeros(size, np.uint8)
    content = np.asarray(multihost_utils.broadcast_one_to_all(content))
    made, error = pickle.loads(content.tobytes())  # noqa: S301  # from this very program
    if error is not None:
        raise error
    result: T = made
    return result


def everywhere(make: Callable[[], T]) -> T:
    """What each process makes for itself; if one fails, all do, with that one's line.

    The first goes first: what it downloads, others that share its disk find there.
    """
    if jax.process_count() == 1:
        return make()
    made: T | None = None
    for turn in (True, False):
        line = ""
        if is_first() == turn:
            made, error = _attempt(make)
            line = f"process {jax.process_index()}: {error}" if error is not None else ""
        text = np.frombuffer(line.encode()[:_LONGEST].ljust(_LONGEST), np.uint8)
        for row in multihost_utils.process_allgather(text):
            if said := row.tobytes().decode(errors="replace").strip():
                raise InputError(said)
    result: T = made  # type: ignore[assignment]
    return result


def check_alike(settings: dict[str, Any]) -> None:
    """Raises `InputError` on all processes if they have been started with different settings."""

    def compare() -> None:
        for name, value in settings.items():
            if value != first.get(name):
                raise InputError(f"{name} is {value!r}, the first process's {first.get(name)!r}")

    first = from_first(lambda: settings)
    everywhere(compare)


_LONGEST = 1000  # bytes of an error's line


def _attempt(make: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return make(), None
    except (InputError, OSError) as error:
        return None, error


def _part() -> None:
    with contextlib.suppress(RuntimeError):  # the others are gone already
        jax.distributed.shutdown()


def _line(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return re.sub(r"([^:]+: )\1+", r"\1", line)[:300]  # JAX repeats itself

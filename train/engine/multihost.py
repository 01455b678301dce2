"""Several processes, on one host or many: they meet, agree, and part.

The first alone reads and writes the study's folder; what it finds there it tells the others, so
that they need not see the folder, and all decide alike.
"""

import contextlib
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from train.common import signals
from train.common.errors import InputError, LostProcessError, first_line
from train.engine import backend
from train.engine.meeting import TO_MEET, Processes, meet

T = TypeVar("T")


def is_first() -> bool:
    """Whether this process is the one that writes and shows; alone, it is."""
    return jax.process_index() == 0


@contextlib.contextmanager
def distributed_session(config: Processes, *, to_meet: float = TO_MEET) -> Iterator[None]:
    """Joins the other processes of a study, if it has any, and leaves them at the end.

    Args:
      config: a study's settings.
      to_meet: seconds to wait for the others.

    Raises:
      InputError: if they do not meet, or one of them is lost.
    """
    several = config.distributed or config.coordinator is not None
    if not several or jax.distributed.is_initialized():
        yield
        return
    backend.check_xla_flags()
    meet(config, to_meet)
    by_process = Counter(device.process_index for device in backend.devices())
    if len(set(by_process.values())) > 1:
        raise InputError(
            f"distributed: the processes have {sorted(by_process.values())} devices; each must "
            "have as many"
        )
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        # The others cannot go on either: no parting, which would wait for them.
        raise LostProcessError(
            f"process {jax.process_index()} of {jax.process_count()} cannot go on without the "
            f"others: {first_line(error)}; the same command goes on after the last checkpoint"
        ) from error
    except signals.Interrupted as stop:
        stop.at_once = True  # parting would wait for the others
        raise
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

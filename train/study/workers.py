"""A study's runs on many workers, by Dask's distributed scheduler: on this machine, or a cluster.

A task is one run in the study's folder, which all workers share. Each run has a lock of its own,
and goes on from its last checkpoint: when a worker dies, another takes its run. What is shown is
read from the runs' metrics, so that nothing travels but settings.
"""

import contextlib
import itertools
import logging
import multiprocessing
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from train.common import jax_settings, signals
from train.common.errors import InputError, first_line
from train.common.progress import Display
from train.runs.environment import cores
from train.runs.settings import RunConfig
from train.runs.store import RunFolder
from train.study.config import Config
from train.study.training import tell_divergence

if TYPE_CHECKING:
    import distributed

# A step's buffers are taken from the system and given back each time: in few pages that is quick.
# Only before a process starts can this be said. Measured in docs/performance.md.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
_POLL = 0.2  # seconds
_TO_CONNECT = 30  # seconds
_WORKERS = "RSGDM_WORKERS"  # of this machine, among whom its cores are shared


class Task(NamedTuple):
    """A run, and where its files are."""

    run: RunConfig
    folder: RunFolder


def train_on_workers(
    client: "distributed.Client",
    config: Config,
    todo: Sequence[Task],
    work: Callable[..., Any],
    display: Display,
) -> None:
    """Calls `work(config, run, folder)` for each task, on one worker or another; waits for all.

    Raises:
      InputError: of a task, or if a run lost too many workers.
    """
    futures = {
        # In their order, seed by seed: pairs are complete early.
        client.submit(
            work, config, *task, key=str(task.folder.path), pure=False, priority=-place
        ): task
        for place, task in enumerate(todo)
    }
    progress = {future: _Progress(task, display) for future, task in futures.items()}
    left = set(futures)
    with signals.listening():
        while left:
            signals.check()
            time.sleep(_POLL)
            done = {future for future in left if future.done()}
            for future in left:
                progress[future].show()
            for future in done:
                _raise_error(future, futures[future])
                run, folder = futures[future]
                tell_divergence(folder.path.name, folder.load().result, run.epochs, display)
            left -= done


@contextlib.contextmanager
def workers(config: Config, runs: int) -> "Iterator[distributed.Client]":
    """The workers that the study asks for: this machine's, started here, or a cluster's.

    Args:
      config: the study.
      runs: how many are left to train.

    Raises:
      InputError: if there is no such cluster, or it has no workers.
    """
    import dask  # imported where asked for: it takes a second
    import distributed

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we tell what matters
    address = config.execution.cluster
    if address is not None:
        try:
            client = distributed.Client(address, timeout=_TO_CONNECT)
        except Exception as error:  # of whatever kind the part is that an address asks for
            raise InputError(f"cluster: {address!r}: {first_line(error)}") from None
        with client:
            try:
                client.wait_for_workers(1, timeout=_TO_CONNECT)
            except TimeoutError:
                raise InputError(f"cluster: {address!r} has no workers") from None
            yield client
        return
    assert config.execution.workers is not None  # noqa: S101  # for the type checker
    count = count_of(config.execution.workers, runs)
    # Ended at once, this process leaves semaphores: Python's tracker removes them, and says so.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    scratch = Path(tempfile.mkdtemp(prefix="rsgdm-workers-"))
    with signals.cleaned_up(lambda: shutil.rmtree(scratch, ignore_errors=True)):
        environment = {
            # What one worker has compiled, the others need not.
            "JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
            "DASK_LOGGING__DISTRIBUTED": "critical",
            _WORKERS: str(count),
        } | HUGE_PAGES
        given = {name: os.environ[name] for name in environment if name in os.environ}
        settings = {
            "distributed.nanny.pre-spawn-environ": environment | given,
            # A worker's end is seen without. It may be silent: in a compilation, or as its machine
            # sleeps.
            "distributed.scheduler.worker-ttl": None,
        }
        with dask.config.set(settings):
            cluster = distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                memory_limit=None,
                dashboard_address="127.0.0.1:0",
                local_directory=str(scratch),
                preload="train.study.workers",
                silence_logs=logging.CRITICAL,
            )
            with cluster, distributed.Client(cluster) as client:
                try:
                    yield client
                except BaseException:
                    # The cluster would wait for their runs, and start others in their place.
                    for nanny in cluster.workers.values():
                        nanny.close_gracefully()
                    for worker in multiprocessing.active_children():
                        worker.kill()
                    raise


def count_of(workers: int | str, runs: int) -> int:
    """How many workers an option asks for, at most one a run; `auto`: one a GPU, or a core."""
    most = len(_gpus()) or len(cores()) if workers == "auto" else int(workers)
    return min(most, runs)


def dask_setup(worker: Any) -> None:
    """Gives a worker its share of this machine before it uses JAX: Dask calls this.

    Its share of the cores, or one GPU. Of a cluster's worker only its settings of JAX are ours.
    """
    count = int(os.environ.get(_WORKERS, "0"))
    if count:
        # A terminal or a job scheduler sends them to all. The parent acts: if the workers ended by
        # themselves, it would start others while it ends.
        for number in signals.STATUS:
            signal.signal(number, signal.SIG_IGN)
        gpus = _gpus()
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[worker.name % len(gpus)]
        elif hasattr(os, "sched_setaffinity"):  # not on macOS: there they share all
            mine = cores()
            os.sched_setaffinity(0, mine[worker.name % len(mine) :: count])
    jax_settings.configure()


class _Progress:
    """Shows a run's epochs as its metrics.jsonl grows."""

    def __init__(self, task: Task, display: Display):
        self._run, self._folder, self._display = task.run, task.folder, display
        self._epochs = 0

    def show(self) -> None:
        last = self._folder.last_epoch()
        if last is not None and last["epoch"] != self._epochs:
            self._epochs = last["epoch"]
            self._display.epoch(self._folder.path.name, last, self._run.epochs)


def _raise_error(future: Any, task: Task) -> None:
    error = future.exception()
    if error is None:
        return
    if isinstance(error, InputError | OSError):
        raise error
    import distributed

    if isinstance(error, distributed.KilledWorker):
        raise InputError(
            f"{task.folder.path.name}: its worker died again and again: of too little memory? The "
            "same command goes on"
        )
    raise error


def _gpus() -> list[str]:
    """The GPUs that CUDA may use here, found without starting it."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:  # CUDA takes none from the first on that is none: "-1", "NoDevFiles"
        named = map(str.strip, visible.split(","))
        return list(itertools.takewhile(re.compile(r"\d+|GPU-.+|MIG-.+").fullmatch, named))
    folder = Path("/proc/driver/nvidia/gpus")
    return [str(k) for k, _ in enumerate(folder.iterdir())] if folder.is_dir() else []

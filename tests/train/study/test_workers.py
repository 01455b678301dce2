"""Many runs at once, on workers of this machine and of a cluster; some of them killed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import distributed
import pytest

from tests.train import data_dirs, outcomes
from tests.train.commands import LIMIT, ROOT, finished, run, started
from tests.train.made_up import write_run
from train.common.progress import Display
from train.runs.folders import contents
from train.study import runner
from train.study.cli import parse
from train.study.presets import PRESETS
from train.study.workers import HUGE_PAGES, Task, train_on_workers, workers

SMALL = (
    *("--preset", "demo", "--train-examples", "256", "--epochs", "4", "--halve-every", "2"),
    *("--optimizers", "sgdm", "rsgdm", "--learning-rate", "0.5", "--seeds", "2"),
    *("--checkpoint-every", "1"),
)


def _program(*words):
    return ("train/cifar.py", *SMALL, *words)


def _workers(study: Path) -> dict[str, int]:
    """The process that began each run."""
    found = {}
    for path in study.glob("*-seed*/environment.json"):
        with contextlib.suppress(ValueError):
            found[path.parent.name] = int(json.loads(path.read_text())[-1]["worker"].split()[1])
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """The study by two workers, none of them killed."""
    study = tmp_path_factory.mktemp("workers") / "study"
    done = run(*_program("--workers", "2", "--output", study))
    assert done.returncode == 0, done.stderr
    # Every epoch of every run is counted, and nothing else is said.
    assert "[  16/16] " in done.stderr
    assert "distributed" not in done.stderr
    return study


@pytest.mark.slow
def test_each_worker_has_its_share(reference):
    assert len(set(_workers(reference).values())) == 2
    cores = len(os.sched_getaffinity(0))
    for path in reference.glob("*-seed*/environment.json"):
        (start,) = json.loads(path.read_text())
        assert start["cores"] in (cores // 2, cores - cores // 2)
    assert (reference / "report" / "table.md").exists()


def _note_the_seed(_config, run, folder):
    with (folder.path.parent / ".order").open("a") as file:
        file.write(f"{run.seed} ")


def test_runs_begin_seed_by_seed(tmp_path):
    """So that pairs are complete early. The first are taken as they come."""
    for seed in range(12):
        write_run(tmp_path, "sgdm", seed, 0.5)
    found = sorted(contents(tmp_path).runs, key=lambda each: each[1].seed)
    todo = [Task(run, folder) for folder, run in found]
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 1}
    with (
        distributed.Client(**options, dashboard_address=None) as client,
        Display(len(todo), quiet=True) as display,
    ):
        train_on_workers(client, PRESETS["demo"], todo, _note_the_seed, display)
    order = [int(seed) for seed in (tmp_path / ".order").read_text().split()]
    assert sorted(order) == list(range(12))
    assert order[3:] == sorted(order[3:])


def _kill_a_worker(study: Path) -> str:
    """Kills one that has an epoch of its run behind it; returns the run's name."""
    while True:
        for name, process in _workers(study).items():
            begun = (study / name / "checkpoints" / "epoch-1").exists()
            if begun and not (study / name / "result.json").exists():
                os.kill(process, signal.SIGKILL)
                return name
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_workers_run_is_taken_over(reference, tmp_path):
    study = tmp_path / "study"
    with started(*_program("--workers", "2", "--output", study)) as process:
        name = _kill_a_worker(study)
        (done,) = finished(process)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((study / name / "environment.json").read_text())) == 2
    outcomes.assert_same(study, reference)


def _wait_for_the_end(processes: Iterable[int]) -> None:
    """Until none of them runs: they end when they see that their parent has."""

    def runs(process: int) -> bool:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
            return state not in "ZX"  # ended, and perhaps not waited for
        return False

    left = set(processes)
    end = time.monotonic() + LIMIT
    while left := {process for process in left if runs(process)}:
        assert time.monotonic() < end, left
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "times"),
    [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 1), (signal.SIGTERM, 143, 2)],
)
def test_signals_stop_all_workers_and_the_same_command_goes_on(
    number, code, times, reference, tmp_path
):
    study = tmp_path / "study"
    words = _program("--workers", "2", "--output", study)
    with started(*words) as process:
        while not list(study.glob("*-seed*/checkpoints/epoch-1")):
            time.sleep(0.05)
        began = time.monotonic()
        for _ in range(times):
            os.killpg(process.pid, number)  # as a terminal does
            time.sleep(0.05)
        (stopped,) = finished(process)
        seconds = time.monotonic() - began
        _wait_for_the_end(_workers(study).values())
    assert stopped.returncode == code, stopped.stderr
    assert stopped.stderr.splitlines()[-1].startswith(f"cifar.py: stopped by {number.name}")
    assert seconds < 60  # it takes two or three; a limit that no busy machine breaks
    done = run(*words)
    assert done.returncode == 0, done.stderr
    outcomes.assert_same(study, reference)


@pytest.mark.slow
@pytest.mark.parametrize("own", [None, "glibc.malloc.check=1"])
def test_workers_may_be_silent_and_have_huge_pages_unless_told_otherwise(own, monkeypatch):
    if own is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    with workers(PRESETS["demo"].replace(workers=1), runs=1) as client:
        (found,) = client.run(lambda: os.environ["GLIBC_TUNABLES"]).values()
        assert client.cluster.scheduler.worker_ttl is None
    assert found == (own or HUGE_PAGES["GLIBC_TUNABLES"])


@pytest.mark.slow
def test_a_run_that_diverges_is_told_at_once_and_a_warning_once(tmp_path):
    """The data are read by three processes."""
    files = data_dirs.files("cifar10", "binary", data_dirs.arrays("cifar10"))
    data_dirs.lay(tmp_path, "", files)
    words = _program("--workers", "2", "--output", tmp_path / "study", "--seeds", "1")
    words += ("--dataset", "cifar10", "--data-dir", tmp_path, "--unverified-archive")
    words += ("--train-examples", "200", "--learning-rate", "sgdm=0.5", "rsgdm=1e30")
    done = run(*words)
    assert done.returncode == 3
    assert re.search(r"^rsgdm-seed0 diverged: the loss was not finite at step", done.stderr, re.M)
    assert done.stderr.count("warning: ") == done.stderr.count("not the official checksum") == 1


@pytest.mark.parametrize(("cluster", "warnings"), [(None, 0), ("tcp://127.0.0.1:1", 1)])
def test_a_worker_elsewhere_warns_of_its_data_once(
    cluster, warnings, tmp_path, monkeypatch, capsys
):
    files = data_dirs.files("cifar10", "binary", data_dirs.arrays("cifar10"))
    data_dirs.lay(tmp_path, "", files)
    options = "--preset demo --dataset cifar10 --unverified-archive --train-examples 200 --seeds 2"
    words = [*options.split(), "--data-dir", f"{tmp_path}", "--output", f"{tmp_path}/study"]
    config, _ = parse([*words, *(["--cluster", cluster] if cluster else [])])
    trained = []
    monkeypatch.setattr(runner, "_trainers", {})
    monkeypatch.setattr(
        runner, "train_run", lambda trainer, run, *_: trained.append((trainer, run))
    )
    for one in config.runs("data")[:2]:
        runner.work(config, one, None)
    (trainer, first), (again, second) = trained
    assert trainer is again
    assert first != second
    assert capsys.readouterr().err.count("not the official checksum") == warnings


@contextlib.contextmanager
def _dask(*words):
    """A process of Dask's, as its users start it."""
    with started(
        *("-m", "distributed.cli." + words[0], *words[1:]),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield process


@pytest.mark.slow
def test_a_cluster_that_exists_and_loses_a_worker(reference, tmp_path):
    study, place = tmp_path / "study", tmp_path / "scheduler.json"
    scheduler = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", place]
    worker = ["--scheduler-file", place, "--nthreads", "1", "--nworkers", "2", "--no-dashboard"]
    worker += ["--preload", "train.study.workers", "--local-directory", tmp_path]
    with _dask("dask_scheduler", *scheduler), _dask("dask_worker", *worker):
        while not place.exists():
            time.sleep(0.1)
        address = json.loads(place.read_text())["address"]
        with started(*_program("--cluster", address, "--output", study)) as process:
            name = _kill_a_worker(study)
            (done,) = finished(process)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((study / name / "environment.json").read_text())) == 2
    # Its workers have all cores: their numbers differ from the reference's in rounding.
    for path in reference.glob("*-seed*"):
        assert len(outcomes.metrics(study / path.name)) == len(outcomes.metrics(path))

"""Kills, full and read-only disks, damage, two starters: real processes and files.

`make faults` runs all of it and prints a table; `make test` a short form of the kills.
"""

import fnmatch
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.train import outcomes
from tests.train.runs.saved import DAMAGES

ROOT = Path(__file__).parents[3]
EPOCHS = 8
OPTIONS = (
    *("--preset", "demo", "--train-examples", "256", "--epochs", str(EPOCHS), "--halve-every", "2"),
    *("--seeds", "1", "--optimizers", "sgdm", "rsgdm", "--learning-rate", "0.5"),
    *("--checkpoint-every", "1", "--workers", "none"),
)
# What was tried, and how it ended; conftest.py prints the table.
OUTCOMES: Counter[tuple[str, str]] = Counter()


def _start(study: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "train/cifar.py", *OPTIONS, "--output", str(study)]
    return subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _finish(study: Path, status: int = 0) -> str:
    """Runs the command to its end; returns what it says."""
    process = _start(study)
    try:
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == status, said
    assert "Traceback" not in said
    return said


def _killed(study: Path, delay: float) -> bool:
    """Starts the command and kills it so long after training begins; False if it ended before."""
    process = _start(study)
    timers = [threading.Timer(300, process.kill)]
    timers[0].start()
    for line in process.stderr:
        if _begins(line):
            timers.append(threading.Timer(delay, process.kill))
            timers[-1].start()
            break
    process.communicate()
    for timer in timers:
        timer.cancel()
    return process.returncode == -signal.SIGKILL


def _begins(line: str) -> bool:
    return "examples to train on" in line


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """The study as it ends undisturbed. Read only."""
    study = tmp_path_factory.mktemp("faults") / "reference"
    _finish(study)
    return study


def _kill_until_done(study: Path, reference: Path, moments: Iterator[float]) -> int:
    """Kills the command again and again, each time at the next moment; returns how often."""
    kills = 0
    for delay in moments:
        kills += _killed(study, delay)
        if len(list(study.glob("*/result.json"))) == 2:
            break
    _finish(study)
    outcomes.assert_same(study, reference)
    return kills


# The command kills itself, outright, where Python is about to do one thing to one file.
KILLER = """
import os, runpy, signal, sys
event, part = sys.argv[1:3]
del sys.argv[:3]
sys.path.insert(0, os.getcwd())
def die(happening, what):
    if happening == event and part in str(what):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _kill_itself(study: Path, event: str, part: str) -> None:
    words = [sys.executable, "-c", KILLER, event, part, "train/cifar.py", *OPTIONS]
    ended = subprocess.run(
        [*words, "--output", str(study)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.slow
def test_kills_where_files_are_written(reference, tmp_path):
    study = tmp_path / "study"
    for event, part in (
        ("os.mkdir", "/sgdm-seed0/checkpoints/.epoch-4.partial/state."),
        ("os.rename", "/rsgdm-seed0/checkpoints/.epoch-5.partial/state."),
        ("os.rename", "/rsgdm-seed0/checkpoints/.epoch-6.partial',"),
        ("open", "/rsgdm-seed0/metrics.jsonl', 'a"),
        ("os.rename", "/rsgdm-seed0/.result.json"),
        ("os.rename", "/report/.table.md"),
    ):
        _kill_itself(study, event, part)
    _finish(study)
    outcomes.assert_same(study, reference)


@pytest.mark.faults
@pytest.mark.parametrize("chain", range(6))
def test_kills_at_random_moments(chain, reference, tmp_path):
    moments = random.Random(chain)
    # Compilation takes some two seconds, an epoch a tenth: most of these fall into training.
    delays = (moments.uniform(0, 3.5) for _ in range(6))
    kills = _kill_until_done(tmp_path / "study", reference, delays)
    assert kills >= 1
    OUTCOMES["kill -9 at a random moment", "as never killed, bit for bit"] += kills


@pytest.mark.faults
@pytest.mark.parametrize(
    "part",
    [".epoch-*.partial", ".metrics.jsonl.*", ".result*", ".table*", ".*.png.*"],
)
def test_kills_while_a_file_is_written(part, reference, tmp_path):
    study, kills = tmp_path / "study", 0
    for _ in range(4):
        process = _start(study)
        stop = threading.Timer(300, process.kill)
        stop.start()
        while process.poll() is None:
            # os.walk takes no offence at what disappears.
            walk = os.walk(study)
            names = [name for _, folders, files in walk for name in (*folders, *files)]
            if fnmatch.filter(names, part):
                process.kill()
                kills += 1
                break
        process.communicate()
        stop.cancel()
    _finish(study)
    outcomes.assert_same(study, reference)
    for path in study.rglob(".epoch-*.partial"):
        pytest.fail(f"{path} is left")
    OUTCOMES[f"kill -9 when {part} appears", "as never killed, bit for bit"] += kills


@pytest.mark.faults
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number, status, reference, tmp_path):
    for delay in (0.5, 2.5, 3.0):
        process = _start(tmp_path / "study")
        for line in process.stderr:
            if _begins(line):
                threading.Timer(delay, process.send_signal, [number]).start()
                break
        _, said = process.communicate(timeout=300)
        assert process.returncode in (status, 0)
        if process.returncode:
            assert "the same command goes on after the last whole epoch" in said
            OUTCOMES[signal.Signals(number).name, f"exit {status}, resumed bit for bit"] += 1
    _finish(tmp_path / "study")
    outcomes.assert_same(tmp_path / "study", reference)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A study killed in its second run, with three checkpoints. Read only."""
    study = tmp_path_factory.mktemp("killed") / "study"
    _kill_itself(study, "os.mkdir", "/rsgdm-seed0/checkpoints/.epoch-7.")
    return study


@pytest.mark.faults
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage(damage, killed, reference, tmp_path):
    """One kind of damage, to each file of the newest checkpoint in turn, then to all of them."""
    newest = outcomes.checkpoints(killed / "rsgdm-seed0")[-1]
    folder = Path("rsgdm-seed0", "checkpoints", f"epoch-{newest}")
    files = sorted(
        path.relative_to(killed)
        for path in (killed / folder).rglob("*")
        if path.is_file() and path.stat().st_size
    )
    assert len(files) >= 8
    for damaged in (*([path] for path in files), files):
        study = Path(shutil.copytree(killed, tmp_path / "study"))
        for path in damaged:
            DAMAGES[damage](study / path)
        said = _finish(study)
        outcomes.assert_same(study, reference)
        assert said.count("damaged, ") == 1
        assert f"epoch-{newest}: damaged, " in said
        assert (study / folder).with_name(f"epoch-{newest}.damaged").is_dir()
        OUTCOMES[
            f"newest checkpoint: {damage}", "named and kept, the one before used, bit for bit"
        ] += 1
        shutil.rmtree(study)


@pytest.fixture
def tmpfs() -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system in memory, and mounts it again with other options."""
    folder = Path(tempfile.mkdtemp())

    def mount(options: str) -> Path:
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a tmpfs")
        return folder / "study"

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)
    folder.rmdir()


@pytest.mark.faults
@pytest.mark.parametrize("size", ["4k", "16k", "400k", "2m", "3m", "4m", "5m"])
def test_full_disk(size, tmpfs, reference):
    study = tmpfs(f"size={size}")
    said = _finish(study, status=2)
    lines = [line for line in said.splitlines() if line.startswith("cifar.py: ")]
    assert len(lines) == 1
    assert "No space left" in lines[0]
    tmpfs("remount,size=64m")
    _finish(study)
    outcomes.assert_same(study, reference)
    OUTCOMES["full disk", "exit 2 in one line; with room again, bit for bit"] += 1


@pytest.mark.faults
def test_read_only_disk(tmpfs, killed, reference):
    study = tmpfs("size=64m")
    shutil.copytree(killed, study)
    tmpfs("remount,ro")
    said = _finish(study, status=2)
    assert "Read-only file system" in said
    assert said.count("\n") == 1
    tmpfs("remount,rw")
    _finish(study)
    outcomes.assert_same(study, reference)
    OUTCOMES["read-only disk", "exit 2 in one line; writable again, bit for bit"] += 1


@pytest.mark.faults
def test_two_starters(reference, tmp_path):
    study = tmp_path / "study"
    both = [_start(study), _start(study)]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    first, second = sorted(both, key=lambda process: process.returncode)
    line = said[both.index(second)].splitlines()[-1]
    assert re.search(rf"is being trained by process {first.pid} on \S", line)
    outcomes.assert_same(study, reference)
    OUTCOMES["two starters at once", "the second is refused and names the first"] += 1


@pytest.mark.faults
def test_a_dead_process_holds_no_lock(killed, tmp_path, reference):
    study = Path(shutil.copytree(killed, tmp_path / "study"))
    assert (study / ".lock").read_text().startswith("process ")
    assert str(os.getpid()) not in (study / ".lock").read_text()
    _finish(study)
    outcomes.assert_same(study, reference)
    OUTCOMES["lock of a dead process", "does not block"] += 1

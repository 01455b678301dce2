"""A run's files as disks and people leave them: damaged, unreadable, edited, at odds."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.commands import status
from tests.train.study_files import FILES, RUN, config, edit, refused
from train.common.files import write_bytes
from train.report import report
from train.report.report import read_report
from train.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def study(made_up_study) -> Path:
    return made_up_study


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content",
    [b'{"epoch": 1', b"\xff\xfe", b"\x00\x00\x00", b"<html>", b"{'epoch': 1}", b"[" * 10_000],
)
def test_what_cannot_be_parsed_is_damaged(name, content, study, capsys, monkeypatch):
    (study / RUN / name).write_bytes(content)
    said = refused(study, capsys, monkeypatch)
    assert f"{study / RUN / name}: damaged" in said
    assert f"put the run's files back from a copy, or move {study / RUN} elsewhere" in said


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing(name, study, capsys, monkeypatch):
    (study / RUN / name).unlink()
    if name == "result.json":  # the run goes on where it stopped
        assert read_report(study).tables[0].unfinished == 1
    else:
        said = refused(study, capsys, monkeypatch)
        assert f"{study / RUN / name}: is missing" in said


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("call", ["read_bytes", "stat"])
def test_what_the_system_cannot_read(name, error, call, study, capsys, monkeypatch):
    path, real = study / RUN / name, getattr(Path, call)

    def failing(self, *args, **kwargs):
        if self == path:
            # As the system says it: a failing read() names no file.
            where = (str(path),) if error == errno.EACCES else ()
            raise OSError(error, os.strerror(error), *where)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, call, failing)
    assert status(report, [study], monkeypatch) == 2
    said = capsys.readouterr().err
    assert said == f"report.py: {path}: cannot be read: {os.strerror(error)}\n"


def test_marks_line_ends_and_empty_lines_of_editors(study):
    before = read_report(study)
    for name in FILES:
        path = study / RUN / name
        text = path.read_text().replace("\n", "\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n \n")
    assert read_report(study) == before


def test_epochs_twice_or_out_of_order(study, capsys, monkeypatch):
    path = study / RUN / "metrics.jsonl"
    first, second = path.read_text().splitlines(keepends=True)
    for lines, why in (
        ([first, first], "line 2 holds epoch 1, not 2"),
        ([second, first], "line 1 holds epoch 2, not 1"),
        ([first, second, second], "line 3 holds epoch 2, not 3"),
        ([second], "line 1 holds epoch 2, not 1"),
        ([first], "holds 1 epochs, where result.json says 2"),
    ):
        path.write_text("".join(lines))
        assert f"{path}: {why}" in refused(study, capsys, monkeypatch)


def test_files_that_contradict_each_other(study, capsys, monkeypatch):
    result = study / RUN / "result.json"
    text = result.read_text()
    edit(result, lambda entry: entry | {"test_loss": 0.5})
    said = refused(study, capsys, monkeypatch)
    assert "metrics.jsonl: its last test_loss is 0.25, where result.json says 0.5" in said
    for change, why in (
        ({"epoch": 1}, "done in epoch 1 of 2"),
        ({"epoch": 3}, "done in epoch 3 of 2"),
        ({"epoch": 3, "status": "diverged"}, "diverged in epoch 3 of 2"),
    ):
        result.write_text(text)
        edit(result, lambda entry, change=change: entry | change)
        assert f"{result}: {why}" in refused(study, capsys, monkeypatch)


def test_null_figures_of_a_run_that_is_done_count_as_diverged(study, capsys):
    for name in ("metrics.jsonl", "result.json"):
        edit(study / RUN / name, lambda entry: entry | {"test_loss": None})
    found = read_report(study)
    assert [(row.n, row.diverged) for row in found.tables[0].rows] == [(1, 1), (2, 0)]
    assert found.diverged == 1
    said = capsys.readouterr().err
    assert said == (
        f"warning: {study / RUN}: done, but its last test_loss is null; counted as diverged\n"
    )


def test_null_figures_of_an_earlier_epoch_leave_a_gap(study, no_pictures, capsys):
    for name in ("sgdm-seed0", "sgdm-seed1", "rsgdm-seed1"):
        path = study / name / "metrics.jsonl"
        first, second = path.read_text().splitlines()
        nulls = {key: None for key in json.loads(first) if key.endswith(("loss", "accuracy"))}
        path.write_text(f"{json.dumps(json.loads(first) | nulls)}\n{second}\n")
    found = read_report(study)
    assert [row.n for row in found.tables[0].rows] == [2, 2]
    found.write()
    assert capsys.readouterr().err == ""


def test_what_a_killed_process_left_is_swept_away(study):
    partial = study / RUN / ".metrics.jsonl.0123abcd.partial"
    partial.write_text("{")
    read_report(study)
    RunFolder(study / RUN).start(config(), {})
    assert not partial.exists()


def test_files_are_whole_or_as_before(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"first")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file(tmp_path, monkeypatch):
    path, real = tmp_path / "file", os.fsync

    def meanwhile(file):
        monkeypatch.setattr(os, "fsync", real)
        write_bytes(path, b"the other's")
        real(file)

    monkeypatch.setattr(os, "fsync", meanwhile)
    write_bytes(path, b"ours")
    assert path.read_bytes() == b"ours"
    assert list(tmp_path.iterdir()) == [path]


REPORTS = """
import sys
from pathlib import Path
from train.report.report import build_report
sys.stdin.readline()
for _ in range(2):
    build_report(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_two_reports_at_once(study):
    words = [sys.executable, "-c", REPORTS, str(study)]
    root = Path(__file__).parents[3]
    processes = [subprocess.Popen(words, cwd=root, stdin=subprocess.PIPE) for _ in range(2)]
    try:
        for process in processes:
            process.stdin.write(b"go\n")
            process.stdin.close()
        assert [process.wait(600) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert not list((study / "report").glob(".*"))

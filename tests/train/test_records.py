"""A run's files as people find them: older, newer, damaged, unreadable, with others beside them."""

import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.commands import status
from tests.train.made_up import write_run
from train import report
from train.config import PRESETS, RunConfig, runs
from train.errors import InputError
from train.formats import FORMAT, SETTINGS, checked, current
from train.records import RunFolder, check_same_study, write_bytes, write_json
from train.report import read_report

RUN = "sgdm-seed0"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made_up") / "study"
    for seed in (0, 1):
        for optimizer in ("sgdm", "rsgdm"):
            write_run(folder, optimizer, seed, 0.75 + seed / 8)
    return folder


@pytest.fixture
def study(written, tmp_path) -> Path:
    """Two optimizers × two seeds, made up."""
    return Path(shutil.copytree(written, tmp_path / "study"))


def _config(**changes) -> RunConfig:
    (template, *_) = runs(PRESETS["demo"], data="0123456789abcdef")
    made_up = {"optimizer": "sgdm", "seed": 0, "epochs": 2, "learning_rate": 0.5}
    return dataclasses.replace(template, **made_up | changes)


def _edit(path, change):
    """Changes each JSON object of a file."""
    text = path.read_text()
    if path.suffix == ".jsonl":
        lines = [json.dumps(change(json.loads(line))) for line in text.splitlines()]
        path.write_text("".join(f"{line}\n" for line in lines))
    elif text.startswith("["):
        path.write_text(json.dumps([change(entry) for entry in json.loads(text)]))
    else:
        path.write_text(json.dumps(change(json.loads(text))))


def _snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _refused(study, capsys, monkeypatch):
    """The line that the report and the training program refuse a study with; nothing changes."""
    before = _snapshot(study)
    assert status(report, [study], monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("report.py: ")
    assert err.count("\n") == 1
    assert _snapshot(study) == before
    assert not re.search(r"\b(remove|delete)\b", err)
    return err


FILES = ("config.json", "environment.json", "metrics.jsonl", "result.json")


def test_every_file_has_its_formats_number(study, no_pictures):
    read_report(study).write()
    entries = []
    for name in FILES:
        _edit(study / RUN / name, lambda entry: entries.append(entry) or entry)
    assert len(entries) == 5
    entries.append(json.loads((study / "report" / "results.json").read_text()))
    assert [entry["format"] for entry in entries] == [FORMAT] * 6
    assert all("learning_rate" not in entry for entry in entries[2:5])
    assert (entries[2]["alpha"], entries[3]["alpha"], entries[4]["alpha"]) == (0.5, 0.25, 0.25)


def _first_format(study):
    """The files as the first version wrote them."""

    def older(entry):
        names = {"alpha": "learning_rate"}
        return {names.get(key, key): value for key, value in entry.items() if key != "format"}

    for path in study.glob("*/*.json*"):
        _edit(path, older)


def test_the_first_format_reads_the_same(study):
    before = read_report(study)
    _first_format(study)
    text = (study / RUN / "metrics.jsonl").read_text()
    assert '"learning_rate": 0.5' in text
    assert "format" not in text
    after = read_report(study)
    assert after.tables == before.tables
    assert after.groups == before.groups


def test_a_run_of_the_first_format_goes_on_in_todays(study):
    old = json.loads((study / RUN / "metrics.jsonl").read_text().splitlines()[0])
    _first_format(study)
    folder = RunFolder(study / RUN)
    folder.start(_config(), {"device": "another"})
    older = {"epoch": 1, "learning_rate": 0.5} | {
        key: value for key, value in old.items() if key not in ("epoch", "alpha", "format")
    }
    folder.write_metrics([older])
    folder.append_metrics(current(older) | {"epoch": 2})
    folder.finish(older | {"epoch": 2, "status": "done"})
    first, second = map(json.loads, (study / RUN / "metrics.jsonl").read_text().splitlines())
    assert first == old
    assert first.keys() == second.keys()
    result = json.loads((study / RUN / "result.json").read_text())
    assert result == second | {"status": "done"}
    environments = json.loads((study / RUN / "environment.json").read_text())
    assert [entry.get("format") for entry in environments] == [None, FORMAT]
    assert folder.load().environment == {"device": "another"}


def test_every_setting_says_what_it_may_be():
    assert SETTINGS.keys() == {field.name for field in dataclasses.fields(RunConfig)}
    for optimizers in PRESETS.values():
        for run in runs(optimizers, "0123"):
            assert checked("", dataclasses.asdict(run), SETTINGS) == dataclasses.asdict(run)


ABSENT = {
    "train_examples": None,
    "validation_examples": 0,
    "batch_size": 128,
    "lr_convention": "ema",
    "decay": 0.9,
    "weight_decay": 5e-4,
    "augment": True,
    "dtype": "float32",
    "tf32": False,
}


def test_what_a_file_lacks_is_as_it_was_then(study):
    before = read_report(study)

    def older(entry):
        return {key: value for key, value in entry.items() if key not in ABSENT}

    for path in study.glob("*/config.json"):
        _edit(path, older)
    assert dataclasses.asdict(RunFolder(study / RUN).config()).items() >= ABSENT.items()
    assert read_report(study) == before
    check_same_study(study, [_config()])
    with pytest.raises(InputError, match=r"another study, with decay 0\.9 .* this one has 0\.8"):
        check_same_study(study, [_config(decay=0.8)])


@pytest.mark.parametrize("key", ["images_per_second", "train_loss", "clean_train_accuracy"])
def test_a_figure_that_a_file_lacks_is_none(key, study, no_pictures):
    for name in ("metrics.jsonl", "result.json"):
        _edit(study / RUN / name, lambda entry: {k: v for k, v in entry.items() if k != key})
    found = read_report(study)
    assert RunFolder(study / RUN).load().result[key] is None
    assert [row.accuracy.n for row in found.rows] == [2, 2]
    assert found.rows[0].train_accuracy.n == (1 if key == "clean_train_accuracy" else 2)
    found.write()


NEWER = [
    *((name, {"format": FORMAT + 1}, f"format {FORMAT + 1}, known is {FORMAT}") for name in FILES),
    *((name, {"format": 10**30, "epoch": None}, f"known is {FORMAT}") for name in FILES),
    *((name, {"swa": 0.5}, "its 'swa' is unknown") for name in FILES if name != FILES[1]),
]


@pytest.mark.parametrize(("name", "change", "why"), NEWER)
def test_files_of_a_newer_version(name, change, why, study, capsys, monkeypatch):
    path = study / "rsgdm-seed1" / name
    _edit(path, lambda entry: entry | change)
    said = _refused(study, capsys, monkeypatch)
    assert str(path) in said
    assert "written by a newer version of this program" in said
    assert why in said
    assert "damaged" not in said
    if name == "config.json":
        with pytest.raises(InputError, match="written by a newer version"):
            check_same_study(study, [_config()])


def test_new_facts_of_an_environment_are_kept(study):
    _edit(study / RUN / "environment.json", lambda entry: entry | {"moon": "full"})
    found = read_report(study)
    assert RunFolder(study / RUN).load().environment["moon"] == "full"
    assert found == read_report(study)


def test_a_newer_report_is_not_overwritten(study, no_pictures, capsys, monkeypatch):
    folder = study / "report"
    folder.mkdir()
    write_json(folder / "results.json", {"format": FORMAT + 1, "tables": []})
    said = _refused(study, capsys, monkeypatch)
    assert "report/results.json: written by a newer version" in said
    (folder / "results.json").write_text('{"tables": []}')  # of the first format
    read_report(study).write()
    assert json.loads((folder / "results.json").read_text())["format"] == FORMAT


VALUES = [
    ("config.json", "seed", "0", "a whole number of 0 or more"),
    ("config.json", "seed", -1, "a whole number of 0 or more"),
    ("config.json", "seed", True, "a whole number of 0 or more"),
    ("config.json", "epochs", "2", "a whole number of 1 or more"),
    ("config.json", "epochs", 2.0, "a whole number of 1 or more"),
    ("config.json", "epochs", None, "a whole number of 1 or more"),
    ("config.json", "data", 5, "a text"),
    ("config.json", "optimizer", "sgdmm", "sgdm, rsgdm, rsgdm_compact, nesterov, sgd, adam"),
    ("config.json", "optimizer", ["sgdm"], "sgdm, rsgdm, rsgdm_compact, nesterov, sgd, adam"),
    ("config.json", "decay", 1, "a number in [0, 1)"),
    ("config.json", "augment", "yes", "true or false"),
    ("config.json", "train_examples", 0, "a whole number of 1 or more, or null"),
    ("config.json", "learning_rate", {"sgdm": 1}, "a positive number"),
    ("config.json", "format", "two", "a whole number from 1 on"),
    ("config.json", "format", 0, "a whole number from 1 on"),
    ("result.json", "test_accuracy", 91.5, "a fraction in [0, 1], or null"),
    ("result.json", "test_accuracy", "0.9", "a fraction in [0, 1], or null"),
    ("result.json", "test_accuracy", float("nan"), "a fraction in [0, 1], or null"),
    ("result.json", "test_accuracy", -0.1, "a fraction in [0, 1], or null"),
    ("result.json", "test_accuracy", False, "a fraction in [0, 1], or null"),
    ("result.json", "test_loss", float("inf"), "a number of 0 or more, or null"),
    ("result.json", "test_loss", 10**400, "a number of 0 or more, or null"),
    ("result.json", "test_loss", [1], "a number of 0 or more, or null"),
    ("result.json", "clean_train_accuracy", 99.9, "a fraction in [0, 1], or null"),
    ("result.json", "status", "almost", "done, diverged"),
    ("metrics.jsonl", "train_accuracy", 1.5, "a fraction in [0, 1], or null"),
    ("metrics.jsonl", "test_loss", -1e-9, "a number of 0 or more, or null"),
    ("metrics.jsonl", "epoch", "1", "a whole number of 1 or more"),
    ("metrics.jsonl", "alpha", None, "a number of 0 or more"),
    ("metrics.jsonl", "step", None, "a whole number of 0 or more"),
    ("metrics.jsonl", "images_per_second", "fast", "a number of 0 or more, or null"),
]


@pytest.mark.parametrize(("name", "key", "value", "allowed"), VALUES)
def test_values_that_make_no_sense(name, key, value, allowed, study, capsys, monkeypatch):
    path = study / RUN / name
    _edit(path, lambda entry: entry | {key: value})
    place = f"{path}, line 1" if name == "metrics.jsonl" else path
    said = _refused(study, capsys, monkeypatch)
    assert f"{place}: {key} is {value!r:.60}; allowed is {allowed}" in said
    assert len(said) < 400


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("environment.json", "[3]", "entry 1: is 3; allowed is an object"),
        ("environment.json", '[{}, "linux"]', "entry 2: is 'linux'; allowed is an object"),
        ("environment.json", "{}", "is {}; allowed is a list"),
        ("environment.json", "[]", "names no start of the program"),
        ("environment.json", "null", "is None; allowed is a list"),
        ("config.json", "[]", "is []; allowed is an object"),
        ("config.json", "null", "is None; allowed is an object"),
        ("config.json", "{}", "lacks 'dataset'"),
        ("result.json", "0.9", "is 0.9; allowed is an object"),
        ("result.json", '{"status": "done"}', "lacks 'epoch'"),
        ("metrics.jsonl", "{}\n", "line 1: lacks 'epoch'"),
        ("metrics.jsonl", '"epoch"\n', "line 1: is 'epoch'; allowed is an object"),
        ("metrics.jsonl", "", "holds 0 epochs, where result.json says 2"),
    ],
)
def test_content_of_another_kind(name, content, why, study, capsys, monkeypatch):
    (study / RUN / name).write_text(content)
    said = _refused(study, capsys, monkeypatch)
    assert f"{study / RUN / name}" in said
    assert why in said
    assert "damaged" not in said


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content",
    [b'{"epoch": 1', b"\xff\xfe", b"\x00\x00\x00", b"<html>", b"{'epoch': 1}", b"[" * 10_000],
)
def test_what_cannot_be_parsed_is_damaged(name, content, study, capsys, monkeypatch):
    (study / RUN / name).write_bytes(content)
    said = _refused(study, capsys, monkeypatch)
    assert f"{study / RUN / name}: damaged" in said
    assert f"put the run's files back from a copy, or move {study / RUN} elsewhere" in said


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing(name, study, capsys, monkeypatch):
    (study / RUN / name).unlink()
    if name == "result.json":  # the run goes on where it stopped
        assert read_report(study).tables[0].unfinished == 1
    else:
        said = _refused(study, capsys, monkeypatch)
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
        assert f"{path}: {why}" in _refused(study, capsys, monkeypatch)


def test_files_that_contradict_each_other(study, capsys, monkeypatch):
    result = study / RUN / "result.json"
    text = result.read_text()
    _edit(result, lambda entry: entry | {"test_loss": 0.5})
    said = _refused(study, capsys, monkeypatch)
    assert "metrics.jsonl: its last test_loss is 0.25, where result.json says 0.5" in said
    for change, why in (
        ({"epoch": 1}, "done in epoch 1 of 2"),
        ({"epoch": 3}, "done in epoch 3 of 2"),
        ({"epoch": 3, "status": "diverged"}, "diverged in epoch 3 of 2"),
    ):
        result.write_text(text)
        _edit(result, lambda entry, change=change: entry | change)
        assert f"{result}: {why}" in _refused(study, capsys, monkeypatch)


def test_null_figures_of_a_run_that_is_done_count_as_diverged(study, capsys):
    for name in ("metrics.jsonl", "result.json"):
        _edit(study / RUN / name, lambda entry: entry | {"test_loss": None})
    found = read_report(study)
    assert [(row.accuracy.n, row.diverged) for row in found.rows] == [(1, 1), (2, 0)]
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
    assert [row.accuracy.n for row in found.rows] == [2, 2]
    found.write()
    assert capsys.readouterr().err == ""


LITTER = (
    *("@eaDir", "Thumbs.db", "desktop.ini", "lost+found", "slurm-123.out", "nohup.out"),
    *("#notes#", "notes.txt~", "notes.txt.bak", ".DS_Store", ".nfs0001", "train.log", "__MACOSX"),
)
FOREIGN = ("sgdm-seed0 (copy)", "sgdm-seed0.old", "notes.txt", "Copy of rsgdm-seed1", "sgdm-seed1b")


def test_what_lies_beside_the_runs_is_left_out(study, capsys):
    before = read_report(study)
    for name in (*LITTER, *FOREIGN):
        if name.startswith(("sgdm", "Copy")):
            shutil.copytree(study / RUN, study / name)
        elif "." in name or name.startswith("#"):
            (study / name).write_text("mine")
        else:
            (study / name).mkdir()
    shutil.copytree(study / RUN, study / "sgdm-seed7")  # a copy under a run's name
    (study / "sgdm-seed8").symlink_to(study / "gone")
    (study / "sgdm-seed9").write_text("a file")
    found = _snapshot(study)
    assert read_report(study) == before
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {study}: left out: ")
    assert said.count("\n") == 1
    check_same_study(study, [_config(seed=seed) for seed in (0, 1, 2, 3)])
    assert capsys.readouterr().err == ""
    for seed, what in ((7, "the run sgdm-seed0"), (8, "no run"), (9, "no run")):
        with pytest.raises(InputError, match=f"holds sgdm-seed{seed}, which is {what}; choose"):
            check_same_study(study, [_config(seed=seed)])
    assert _snapshot(study) == found


def test_a_few_that_are_left_out_are_all_named(study, capsys):
    (study / "notes.txt").write_text("mine")
    shutil.copytree(study / RUN, study / "sgdm-seed7")
    read_report(study)
    line = f"{study}: left out: notes.txt, no run, sgdm-seed7, the run sgdm-seed0"
    assert capsys.readouterr().err == f"warning: {line}\n"


def test_a_folder_for_a_new_study(tmp_path):
    for name in LITTER:
        (tmp_path / name).mkdir()
    (tmp_path / "sgdm-seed0").mkdir()  # stopped before its first file
    (tmp_path / "sgdm-seed0" / ".config.json.12ab.partial").touch()
    check_same_study(tmp_path, [_config()])
    for name in (*FOREIGN, "report"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=re.escape(f"holds {name}, which is no run; choose")):
            check_same_study(tmp_path, [_config()])
        (tmp_path / name).rmdir()


def test_a_run_without_its_settings_is_not_begun_anew(study, capsys, monkeypatch):
    (study / "sgdm-seed1" / "config.json").unlink()
    with pytest.raises(InputError, match=r"sgdm-seed1/config\.json: is missing"):
        check_same_study(study, [_config()])


def test_what_a_killed_process_left_is_swept_away(study):
    partial = study / RUN / ".metrics.jsonl.0123abcd.partial"
    partial.write_text("{")
    read_report(study)
    RunFolder(study / RUN).start(_config(), {})
    assert not partial.exists()


def test_one_seed_no_finished_run_or_a_link_to_a_study(study, tmp_path):
    (tmp_path / "link").symlink_to(study)
    assert read_report(tmp_path / "link").tables == read_report(study).tables
    write_run(tmp_path / "one", "rsgdm", 0, 0.5)
    assert [row.accuracy.std for row in read_report(tmp_path / "one").rows] == [None]
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="loop: does not exist"):
        read_report(tmp_path / "loop")
    for folder in study.glob("*-seed*"):
        (folder / "result.json").unlink()
    with pytest.raises(InputError, match="study: holds no finished run"):
        read_report(study)


def test_a_files_place_is_not_what_makes_a_study(study, tmp_path):
    def at(place):
        return lambda entry: entry | {"dataset": f"npz:{place}"}

    places = ("data/my.npz", "./data/my.npz", "/home/me/data/my.npz", "/mnt/data/other.npz")
    for place, path in zip(places, sorted(study.glob("*/config.json")), strict=True):
        _edit(path, at(place))
    found = read_report(study)
    assert [row.accuracy.n for row in found.rows] == [2, 2]
    check_same_study(study, [_config(dataset="npz:/elsewhere/my.npz")])
    # On another machine, with other seeds.
    other = tmp_path / "other"
    for seed in (2, 3):
        for optimizer in ("sgdm", "rsgdm"):
            write_run(other, optimizer, seed, 0.75, dataset="npz:C:\\data\\my.npz")
    (table,) = read_report(study, other, output=tmp_path / "report").tables
    assert [row.accuracy.n for row in table.rows] == [4, 4]
    # The file's content, and what is chosen of it, do count; so does a name.
    for changes, setting in (
        ({"data": "fedcba98"}, "data"),
        ({"train_examples": 100}, "train_examples"),
        ({"dataset": "digits"}, "dataset"),
    ):
        config = _config(**{"dataset": "npz:data/my.npz"} | changes)
        with pytest.raises(InputError, match=f"another study, with {setting} "):
            check_same_study(study, [config])


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
from train.report import build_report
sys.stdin.readline()
for _ in range(2):
    build_report(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_two_reports_at_once(study):
    words = [sys.executable, "-c", REPORTS, str(study)]
    root = Path(__file__).parents[2]
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

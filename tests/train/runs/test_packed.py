"""A study in one file: it says what the folder says, and what is no such file is refused."""

import json
from pathlib import Path

import pytest

from tests.train.commands import status
from tests.train.made_up import write_run
from tests.train.study_files import FILES, RUN, config, edit, snapshot
from train.common.errors import InputError
from train.report import pack as pack_study
from train.report import report
from train.report.pack import pack
from train.report.report import read_report
from train.runs import packed
from train.runs.formats import FORMAT, epoch_keys, result_keys
from train.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def study(made_up_study) -> Path:
    """With a diverged run, some of another rate, and one that was started twice."""
    write_run(made_up_study, "sgdm", 7, None)
    write_run(made_up_study, "nesterov", 10, 0.5, learning_rate=0.1)
    write_run(made_up_study, "nesterov", 2, 1 / 3, learning_rate=0.1, speed=1e22 / 7)
    folder = RunFolder(made_up_study / RUN)
    folder.start(config(), {"started": "2026-01-02T00:00:00+00:00", "device": "another"})
    return made_up_study


@pytest.fixture
def file(study, tmp_path) -> Path:
    """The study in one file."""
    pack([study], tmp_path / "packed" / "study.json")
    return tmp_path / "packed" / "study.json"


def _entries(path):
    """The JSON objects in one of a run's files, their format's number aside."""
    text = path.read_text()
    if path.suffix == ".jsonl":
        content = [json.loads(line) for line in text.splitlines()]
    else:
        content = json.loads(text)
    entries = content if isinstance(content, list) else [content]
    return [{key: value for key, value in entry.items() if key != "format"} for entry in entries]


def test_every_entry_of_every_file_comes_back(study, file):
    """Against the files themselves, read by nothing of the program's."""
    runs = {run.config.name: run for run in packed.read(file)}
    assert runs.keys() == {path.name for path in study.iterdir()}
    for name, run in runs.items():
        settings, environments, metrics, result = (_entries(study / name / f) for f in FILES)
        assert [vars(run.config)] == settings
        assert run.environments == environments
        assert run.metrics == metrics
        (result,) = result
        lacking = dict.fromkeys(result_keys("test").keys() - epoch_keys("test"))  # may be absent
        assert run.result == lacking | result
    assert len(runs[RUN].environments) == 2


def test_the_same_study_gives_the_same_bytes(study, file, tmp_path):
    runs = packed.read(file)
    packed.write(tmp_path / "again.json", runs[::-1])
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()
    assert [run.config.name for run in runs] == [
        *("nesterov-seed2", "nesterov-seed10", "rsgdm-seed0", "rsgdm-seed1"),
        *("sgdm-seed0", "sgdm-seed1", "sgdm-seed7"),
    ]


def test_each_thing_is_written_once(file):
    text = file.read_text()
    content = json.loads(text)
    assert content["format"] == FORMAT
    assert text.count('"digits"') == text.count('"made up"') == 1
    assert "learning_rate" not in content["settings"]  # the runs differ in it
    assert content["runs"][0]["settings"] == {
        "arm": "nesterov",
        "optimizer": "nesterov",
        "version": None,
        "seed": 2,
        "learning_rate": 0.1,
    }
    # A line for each measure of a run, so that git shows what changed.
    assert '    "test_accuracy": [0.75, 0.75],\n' in text


def test_a_report_reads_it_like_the_folder(study, file, tmp_path, no_pictures):
    one, other = (read_report(path, output=tmp_path / "report") for path in (study, file))
    assert one.tables == other.tables
    first, second = (each.sections[0].study.by_name() for each in (one, other))
    assert first == second
    # And together with more of its kind.
    write_run(tmp_path / "more", "sgdm", 11, 0.5)
    (table,) = read_report(file, tmp_path / "more", output=tmp_path / "report").tables
    assert [row.n for row in table.rows if row.arm == "sgdm"] == [3]


def test_an_earlier_format_is_packed_in_todays(study, file, tmp_path):
    names = {"alpha": "learning_rate"}
    for path in study.glob("*/*.json*"):
        edit(path, lambda entry: {names.get(k, k): entry[k] for k in entry if k != "format"})
    pack([study], tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


def test_the_command(study, tmp_path, capsys, monkeypatch):
    before = snapshot(study)
    assert status(pack_study, [study, tmp_path / "new" / "a.json"], monkeypatch) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'new' / 'a.json'}: 7 runs of {study}\n"
    assert snapshot(study) == before
    (tmp_path / "mine.json").write_text("mine")
    (study / "rsgdm-seed1" / "result.json").unlink()
    for words, why in (
        ([study, tmp_path / "mine.json"], "mine.json: exists; choose another name"),
        ([study, tmp_path / "b.json"], "study: not finished: rsgdm-seed1; the command that began"),
        ([tmp_path / "gone", tmp_path / "b.json"], "gone: does not exist"),
        ([tmp_path / "mine.json", tmp_path / "b.json"], "mine.json: is a file"),
        ([study], "required: FILE"),
    ):
        assert status(pack_study, words, monkeypatch) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert why in err
        assert err.count("\n") == 1
    assert (tmp_path / "mine.json").read_text() == "mine"
    assert not (tmp_path / "b.json").exists()


def test_more_seeds_are_put_to_what_is_packed(tmp_path):
    whole = tmp_path / "whole"
    for seed in range(4):
        for folder in (whole, tmp_path / ("early" if seed < 2 else "late")):
            write_run(folder, "rsgdm", seed, seed / 10)
    pack([tmp_path / "early"], tmp_path / "early.json")
    assert pack([tmp_path / "early.json", tmp_path / "late"], tmp_path / "both.json") == 4
    pack([whole], tmp_path / "whole.json")
    assert (tmp_path / "both.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    write_run(tmp_path / "other", "rsgdm", 5, 0.5, epochs=3)
    with pytest.raises(InputError, match=r"early\.json, .*other: their settings differ"):
        pack([tmp_path / "early.json", tmp_path / "other"], tmp_path / "never.json")
    assert not (tmp_path / "never.json").exists()


def test_a_report_on_it_needs_a_folder_of_its_own(file, capsys, monkeypatch):
    assert status(report, [file], monkeypatch) == 2
    assert "--output: missing; " in capsys.readouterr().err
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"tables": []}', "\xff", "[" * 10_000])
def test_another_file(content, tmp_path):
    (tmp_path / "file.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"file\.json: is a file, but no packed study"):
        packed.read(tmp_path / "file.json")


def test_a_newer_file_may_look_otherwise(tmp_path):
    (tmp_path / "file.json").write_text(json.dumps({"format": FORMAT + 1, "study": {}}))
    with pytest.raises(InputError, match=f"newer version of this program .format {FORMAT + 1},"):
        packed.read(tmp_path / "file.json")


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read: Is a directory$"):
        packed.read(tmp_path)


def _changed(content, place, value):
    *path, last = place
    for key in path:
        content = content[key]
    content[last] = value


# place, new value → what the line must say, after the file's name
BAD = [
    (("format",), FORMAT + 1, "written by a newer version"),
    (("moon",), "full", "written by a newer version of this program (its 'moon' is unknown)"),
    (("runs",), {}, "runs is {}; allowed is a list of objects"),
    (("runs", 0, "moon"), "full", "run 1: written by a newer version"),
    (("runs", 1, "settings", "moon"), "full", "run 2, settings: written by a newer version"),
    (("settings", "decay"), 2.0, "run 1, settings: decay is 2.0; allowed is a number in [0, 1)"),
    (("runs", 0, "metrics", "epoch"), [1], "run 1: metrics is "),
    (("runs", 0, "metrics", "epoch"), [2, 1], "run 1, metrics: line 1 holds epoch 2, not 1; take"),
    (("runs", 0, "metrics", "test_loss"), [0, -1], "run 1, metrics, epoch 2: test_loss is -1"),
    (("runs", 0, "metrics", "test_loss"), [0, 1], "run 1, metrics: its last test_loss is 1, where"),
    (("runs", 0, "result", "epoch"), 1, "run 1, result: done in epoch 1 of 2"),
    (("runs", 0, "result", "status"), "lost", "run 1, result: status is 'lost'; allowed is done"),
    (("runs", 0, "starts"), [], "run 1, environment: names no start of the program"),
    (("runs", 0, "starts"), [{"environment": 9}], "run 1, starts: there is no environment 9"),
    (("runs", 0, "starts"), [{}], "run 1, starts: there is no environment None"),
    (
        ("runs", 6, "settings", "seed"),
        0,
        "holds sgdm-rate0.5-seed0 twice; take the file from a copy",
    ),
]


@pytest.mark.parametrize(("place", "value", "why"), BAD)
def test_what_is_edited(place, value, why, file):
    content = json.loads(file.read_text())
    _changed(content, place, value)
    file.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        packed.read(file)
    assert str(caught.value).startswith(str(file))
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)

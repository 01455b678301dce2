"""What a run's files may hold, in the first format, in today's and in a newer one."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests.train.study_files import FILES, RUN, config, edit, refused
from train.common.errors import InputError
from train.common.files import write_json
from train.report.report import read_report
from train.runs.folders import check_same_study
from train.runs.formats import FORMAT, SETTINGS, checked, current
from train.runs.settings import RunConfig
from train.runs.store import RunFolder
from train.study.presets import PRESETS

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def study(made_up_study) -> Path:
    return made_up_study


def test_every_file_has_its_formats_number(study, no_pictures):
    read_report(study).write()
    entries = []
    for name in FILES:
        edit(study / RUN / name, lambda entry: entries.append(entry) or entry)
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
        edit(path, older)


def test_the_first_format_reads_the_same(study):
    before = read_report(study)
    _first_format(study)
    text = (study / RUN / "metrics.jsonl").read_text()
    assert '"learning_rate": 0.5' in text
    assert "format" not in text
    after = read_report(study)
    assert after.tables == before.tables
    assert after.sections == before.sections


def test_a_run_of_the_first_format_goes_on_in_todays(study):
    old = json.loads((study / RUN / "metrics.jsonl").read_text().splitlines()[0])
    _first_format(study)
    folder = RunFolder(study / RUN)
    folder.start(config(), {"device": "another"})
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
    for preset in PRESETS.values():
        for run in preset.runs("0123"):
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
        edit(path, older)
    assert dataclasses.asdict(RunFolder(study / RUN).config()).items() >= ABSENT.items()
    assert read_report(study) == before
    check_same_study(study, [config()])
    with pytest.raises(InputError, match=r"another study, with decay 0\.9 .* this one has 0\.8"):
        check_same_study(study, [config(decay=0.8)])


@pytest.mark.parametrize("key", ["images_per_second", "train_loss", "clean_train_accuracy"])
def test_a_figure_that_a_file_lacks_is_none(key, study, no_pictures):
    for name in ("metrics.jsonl", "result.json"):
        edit(study / RUN / name, lambda entry: {k: v for k, v in entry.items() if k != key})
    found = read_report(study)
    assert RunFolder(study / RUN).load().result[key] is None
    assert [row.n for row in found.tables[0].rows] == [2, 2]
    assert found.tables[0].rows[0].spreads["train accuracy"].n == (
        1 if key == "clean_train_accuracy" else 2
    )
    found.write()


NEWER = [
    *((name, {"format": FORMAT + 1}, f"format {FORMAT + 1}, known is {FORMAT}") for name in FILES),
    *((name, {"format": 10**30, "epoch": None}, f"known is {FORMAT}") for name in FILES),
    *((name, {"swa": 0.5}, "its 'swa' is unknown") for name in FILES if name != FILES[1]),
]


@pytest.mark.parametrize(("name", "change", "why"), NEWER)
def test_files_of_a_newer_version(name, change, why, study, capsys, monkeypatch):
    path = study / "rsgdm-seed1" / name
    edit(path, lambda entry: entry | change)
    said = refused(study, capsys, monkeypatch)
    assert str(path) in said
    assert "written by a newer version of this program" in said
    assert why in said
    assert "damaged" not in said
    if name == "config.json":
        with pytest.raises(InputError, match="written by a newer version"):
            check_same_study(study, [config()])


def test_new_facts_of_an_environment_are_kept(study):
    edit(study / RUN / "environment.json", lambda entry: entry | {"moon": "full"})
    found = read_report(study)
    assert RunFolder(study / RUN).load().environment["moon"] == "full"
    assert found == read_report(study)


def test_a_newer_report_is_not_overwritten(study, no_pictures, capsys, monkeypatch):
    folder = study / "report"
    folder.mkdir()
    write_json(folder / "results.json", {"format": FORMAT + 1, "tables": []})
    said = refused(study, capsys, monkeypatch)
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
    ("config.json", "optimizer", ["sgdm"], "a text"),
    ("config.json", "decay", 1, "a number in [0, 1)"),
    ("config.json", "augment", "yes", "true or false"),
    ("config.json", "train_examples", 0, "a whole number of 1 or more, below 2^31, or null"),
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
    edit(path, lambda entry: entry | {key: value})
    place = f"{path}, line 1" if name == "metrics.jsonl" else path
    said = refused(study, capsys, monkeypatch)
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
    said = refused(study, capsys, monkeypatch)
    assert f"{study / RUN / name}" in said
    assert why in said
    assert "damaged" not in said

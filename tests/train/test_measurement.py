"""The commands that measure inside of training: their files, and what they refuse."""

import json
from pathlib import Path

import pytest

from tests.train.commands import status
from train.experiments import bias_variance as correction
from train.experiments import nesterov_distance as straying
from train.study.presets import PRESETS

TINY = "--preset demo --train-examples 128 --batch-size 64 --epochs 1 --halve-every 1 --seeds 2"
WHOLE = f"{TINY} --no-augment"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _seeds_and_names(subject):
    """A measurement that takes no time."""
    return lambda seed: {"measured": [subject.run.arm, seed], "never": float("nan")}


def test_a_file_a_run_and_none_measured_twice(monkeypatch, capsys):
    monkeypatch.setattr(correction, "correction", _seeds_and_names)
    words = f"{WHOLE} --optimizers sgdm rsgdm --output out"
    assert status(correction, words, monkeypatch) == 0
    names = ["rsgdm-seed0", "rsgdm-seed1", "sgdm-seed0", "sgdm-seed1"]
    files = [Path("out") / f"{name}.json" for name in names]
    assert sorted(Path("out").glob("*")) == [Path("out/.lock"), *files]
    before = [json.loads(path.read_text()) for path in files]
    for name, content in zip(names, before, strict=True):
        optimizer, seed = content["measured"]
        assert f"{optimizer}-seed{seed}" == name
        assert (content["settings"]["optimizer"], content["settings"]["seed"]) == (optimizer, seed)
        assert content["environment"]["packages"]["jax"]
        assert content["never"] is None
    texts = [path.read_text() for path in files]
    files[2].unlink()
    monkeypatch.setattr(correction, "correction", lambda _subject: lambda _seed: {"again": True})
    capsys.readouterr()
    assert status(correction, words, monkeypatch) == 0
    said = capsys.readouterr().out
    assert said.startswith("out/sgdm-seed0.json: ")
    assert said.count("\n") == 1
    assert json.loads(files[2].read_text())["again"]
    assert [path.read_text() for path in files[:2] + files[3:]] == texts[:2] + texts[3:]


def test_straying_is_from_nesterov_at_its_rate(monkeypatch):
    monkeypatch.setattr(straying, "straying", _seeds_and_names)
    assert status(straying, f"{TINY} --output out", monkeypatch) == 0
    settings = json.loads(Path("out/nesterov-seed1.json").read_text())["settings"]
    assert settings["learning_rate"] == PRESETS["demo"].study.rates("nesterov")[0]


# what is measured, options → what the line must say
BAD = {
    (straying, "--optimizers sgdm"): "--optimizers: not for straying.py",
    (straying, "--dry-run"): "--dry-run: not for straying.py",
    (straying, "--checkpoint-every=3"): "--checkpoint-every: not for straying.py",
    (straying, "--dtype bfloat16"): "dtype: bfloat16 is not for measurements",
    (straying, "--epochs 0"): "epochs: 0 is not a whole number",
    (straying, "--batch-size 300"): "batch_size: 300 is more than the 128 examples",
    (straying, "--speed"): "unrecognized arguments: --speed",
    (correction, "--tensorboard"): "--tensorboard: not for correction.py",
    (correction, ""): "augment: True; a full-batch gradient has no crops: give --no-augment",
    (correction, "--no-augment --batch-size 60"): "train_examples: 128 is no multiple of",
}


@pytest.mark.parametrize(("program", "options"), BAD)
def test_a_wrong_setting_is_one_line_and_writes_nothing(program, options, monkeypatch, capsys):
    assert status(program, f"{TINY} --output out {options}", monkeypatch) == 2
    said = capsys.readouterr().err
    assert BAD[program, options] in said
    assert said.count("\n") == 1
    assert not Path("out").exists()


def test_another_measurements_folder_is_refused(monkeypatch, capsys):
    folder = Path("out")
    folder.mkdir()
    path = folder / "nesterov-seed0.json"
    words = f"{TINY} --output out"
    for content in ("{", "[]", '{"measurement": "correction"}'):
        path.write_text(content)
        assert status(straying, words, monkeypatch) == 2
        assert "out/nesterov-seed0.json: is no straying measurement" in capsys.readouterr().err
        assert path.read_text() == content
    path.unlink()
    (folder / "notes.txt").write_text("mine")
    assert status(straying, words, monkeypatch) == 2
    assert "notes.txt: is no straying measurement" in capsys.readouterr().err
    (folder / "notes.txt").unlink()
    settings = {"optimizer": "nesterov", "seed": 7, "epochs": 5}
    path.write_text(json.dumps({"measurement": "straying", "settings": settings}))
    assert status(straying, words, monkeypatch) == 2
    assert "was measured with epochs 5, not 1; choose another" in capsys.readouterr().err
    Path("file").write_text("mine")
    assert status(straying, f"{TINY} --output file", monkeypatch) == 2
    assert "--output: file is a file" in capsys.readouterr().err

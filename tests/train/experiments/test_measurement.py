"""The commands that measure inside of training: their files, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.train.commands import status
from tests.train.made_up import arrays
from train.common.errors import InputError
from train.experiments import bias_variance as correction
from train.experiments import nesterov_distance as straying
from train.runs.formats import FORMAT
from train.runs.measurements import NESTEROV_DISTANCE, read_numbers
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
    (straying, "--optimizers sgdm"): "--optimizers: not for nesterov_distance.py",
    (straying, "--dry-run"): "--dry-run: not for nesterov_distance.py",
    (straying, "--checkpoint-every=3"): "--checkpoint-every: not for nesterov_distance.py",
    (straying, "--workers 2"): "--workers: not for nesterov_distance.py",
    (straying, "--cluster=tcp://a:1"): "--cluster: not for nesterov_distance.py",
    (straying, "--process-id 0"): "--process-id: not for nesterov_distance.py",
    (straying, "--baseline sgdm"): "--baseline: not for nesterov_distance.py",
    (straying, "--dtype bfloat16"): "dtype: bfloat16 is not for measurements",
    (straying, "--epochs 0"): "epochs: 0 is not a whole number",
    (straying, "--batch-size 300"): "batch_size: 300 is more than the 128 examples",
    (straying, "--speed"): "unrecognized arguments: --speed",
    (correction, "--tensorboard"): "--tensorboard: not for bias_variance.py",
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
    monkeypatch.setattr(straying, "straying", _seeds_and_names)
    assert status(straying, words, monkeypatch) == 0
    before = path.read_bytes()
    assert status(straying, f"{words} --epochs 5", monkeypatch) == 2
    assert "was measured with epochs 1, not 5; choose another" in capsys.readouterr().err
    assert path.read_bytes() == before
    Path("file").write_text("mine")
    assert status(straying, f"{TINY} --output file", monkeypatch) == 2
    assert "--output: file is a file" in capsys.readouterr().err


def test_a_data_file_may_lie_elsewhere(monkeypatch, capsys):
    monkeypatch.setattr(straying, "straying", _seeds_and_names)
    content = arrays(128, 32, (8, 8, 1), 4)._asdict()
    np.savez("a.npz", **content)
    np.savez("b.npz", **content)
    np.savez("c.npz", **content | {"x_test": content["x_test"][::-1]})
    words = f"{TINY} --output out --dataset npz:"
    assert status(straying, f"{words}a.npz", monkeypatch) == 0
    capsys.readouterr()
    assert status(straying, f"{words}b.npz", monkeypatch) == 0
    assert capsys.readouterr().out == ""  # nothing is measured again
    assert status(straying, f"{words}c.npz", monkeypatch) == 2
    assert "was measured with data " in capsys.readouterr().err


@pytest.fixture
def written(monkeypatch):
    """A file that was measured."""
    monkeypatch.setattr(straying, "straying", _seeds_and_names)
    assert status(straying, f"{TINY} --output out", monkeypatch) == 0
    return Path("out/nesterov-seed0.json")


def test_the_first_format_reads_the_same(written):
    numbers = read_numbers(written, NESTEROV_DISTANCE)
    assert numbers.pop("format") == FORMAT
    written.write_text(json.dumps(numbers))
    assert read_numbers(written, NESTEROV_DISTANCE) == numbers


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": FORMAT + 1}, f"written by a newer version .*format {FORMAT + 1}, known is"),
        (
            {"settings": {"moon": "full"}},
            "settings: written by a newer version .*'moon' is unknown",
        ),
        ({"settings": {}}, "settings: lacks 'dataset'"),
        ({"settings": None}, "settings: is None; allowed is an object"),
    ],
)
def test_a_file_that_is_not_understood(change, why, written):
    written.write_text(json.dumps(json.loads(written.read_text()) | change))
    with pytest.raises(InputError, match=f"^{written}.*{why}"):
        read_numbers(written, NESTEROV_DISTANCE)


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read: Is a directory$"):
        read_numbers(tmp_path, NESTEROV_DISTANCE)

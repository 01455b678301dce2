"""Runs that were stopped, damaged or diverged, and what becomes of them."""

import errno
import json
import os
import shutil
from pathlib import Path

import jax
import orbax.checkpoint as ocp
import pytest

from tests.train import outcomes
from tests.train.conftest import run_study, small
from tests.train.runs.saved import write_sums
from train.common.errors import InputError
from train.engine.epochs import Trainer
from train.runs.lock import locked
from train.study import runner as train_study
from train.study.config import Config

EPOCHS = 5

pytestmark = pytest.mark.usefixtures("quick_studies")


class Stopped(BaseException):
    """Ends a study where a kill would."""


def _config(output: Path, **changes) -> Config:
    return small(output, **{"optimizers": ("rsgdm",), "seeds": (0, 1), "epochs": EPOCHS} | changes)


def _stop_after(config: Config, epochs: int) -> None:
    """Trains until so many epochs are over; the last one has no checkpoint yet."""
    count = iter(range(epochs, 0, -1))

    def stopping(_run, _metrics):
        if next(count) == 1:
            raise Stopped

    with pytest.raises(Stopped):
        run_study(config, after_epoch=stopping)


@pytest.fixture(scope="module")
def reference(quick_studies, tmp_path_factory) -> Path:
    """A study that was never stopped. Read only."""
    study = tmp_path_factory.mktemp("reference") / "study"
    run_study(_config(study))
    return study


@pytest.fixture(scope="module")
def stopped(quick_studies, tmp_path_factory) -> Path:
    """A study stopped in its fifth epoch, with checkpoints of 2, 3 and 4. Read only."""
    study = tmp_path_factory.mktemp("stopped") / "study"
    _stop_after(_config(study), EPOCHS)
    return study


@pytest.fixture
def unfinished(stopped, tmp_path) -> Path:
    """A copy of the stopped study."""
    return Path(shutil.copytree(stopped, tmp_path / "study"))


@pytest.mark.parametrize("epochs", range(1, EPOCHS + 1))
def test_a_stopped_run_ends_as_one_never_stopped(epochs, reference, tmp_path, capsys):
    config = _config(tmp_path / "study")
    _stop_after(config, epochs)
    capsys.readouterr()
    run_study(config)
    outcomes.assert_same(tmp_path / "study", reference)
    said = capsys.readouterr().err
    if epochs > 1:
        assert f"rsgdm-seed0 goes on after epoch {epochs - 1}\n" in said
    else:
        assert "rsgdm-seed0 starts over: it has no whole checkpoint" in said
    starts = json.loads((tmp_path / "study" / "rsgdm-seed0" / "environment.json").read_text())
    assert len(starts) == 2


def test_stopped_twice(reference, tmp_path):
    config = _config(tmp_path / "study")
    for epochs in (2, 1, 2):
        _stop_after(config, epochs)
    run_study(config)
    outcomes.assert_same(tmp_path / "study", reference)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-30],
        lambda text: text + '{"epoch": 6',
        lambda text: text + text.splitlines()[-1] + "\n",
        lambda _: "",
        lambda text: "\x00" * len(text),
        lambda text: text.replace("0", "1"),
    ],
)
def test_metrics_are_mended(damage, unfinished, reference):
    path = unfinished / "rsgdm-seed0" / "metrics.jsonl"
    path.write_text(damage(path.read_text()))
    run_study(_config(unfinished))
    outcomes.assert_same(unfinished, reference)


def test_checkpoints_kept(tmp_path):
    kept = []

    def looking(_run, _metrics):
        folder = tmp_path / "study" / "rsgdm-seed0" / "checkpoints"
        kept.append(outcomes.checkpoints(folder.parent) if folder.exists() else [])

    run_study(_config(tmp_path / "study"), after_epoch=looking)
    assert kept == [[], [1], [1, 2], [1, 2, 3], [2, 3, 4]]
    assert outcomes.checkpoints(tmp_path / "study" / "rsgdm-seed0") == [5]


def test_a_checkpoint_every_other_epoch(reference, tmp_path, capsys):
    config = _config(tmp_path / "study", checkpoint_every=2)
    _stop_after(config, 4)
    assert outcomes.checkpoints(tmp_path / "study" / "rsgdm-seed0") == [2]
    run_study(config)
    assert "goes on after epoch 2\n" in capsys.readouterr().err
    outcomes.assert_same(tmp_path / "study", reference)


def test_the_step_is_compiled_once_when_a_run_goes_on(unfinished, monkeypatch, caplog):
    monkeypatch.setattr(train_study, "Trainer", Trainer)  # not the one that all tests here share
    with jax.log_compiles(), caplog.at_level("WARNING"):
        run_study(_config(unfinished))
    compiled = [r.message for r in caplog.records if "Compiling jit(train_step)" in r.message]
    assert len(compiled) == 1


# --- Damage; tests/train/runs has the rest.


def test_no_whole_checkpoint(unfinished, reference, capsys):
    for path in (unfinished / "rsgdm-seed0" / "checkpoints").rglob("metrics.json"):
        path.write_bytes(b"{")
    run_study(_config(unfinished))
    said = capsys.readouterr().err
    assert said.count("damaged, metrics.json has another checksum; renamed epoch-") == 3
    assert "rsgdm-seed0 starts over: it has no whole checkpoint" in said
    outcomes.assert_same(unfinished, reference)
    left = (path.name for path in (unfinished / "rsgdm-seed0" / "checkpoints").iterdir())
    assert sorted(left) == ["epoch-2.damaged", "epoch-3.damaged", "epoch-4.damaged", "epoch-5"]


def test_a_checkpoint_that_cannot_be_read_ends_the_study(unfinished, reference, monkeypatch):
    def content() -> dict[Path, bytes]:
        names = ("metrics.jsonl", "config.json", "checkpoints/epoch-4/metrics.json")
        return {name: (unfinished / "rsgdm-seed0" / name).read_bytes() for name in names}

    def broken(*_args, **_options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = content()
    with monkeypatch.context() as patch:
        patch.setattr(ocp.Checkpointer, "restore", broken)
        with pytest.raises(InputError, match=r"epoch-4: cannot be read: .*Input/output error"):
            run_study(_config(unfinished))
    assert content() == before
    run_study(_config(unfinished))
    outcomes.assert_same(unfinished, reference)


def test_a_checkpoint_of_the_first_format(unfinished, reference):
    path = unfinished / "rsgdm-seed0" / "checkpoints" / "epoch-4"
    epochs = json.loads((path / "metrics.json").read_text())["epochs"]
    for epoch in epochs:
        assert "format" not in epoch
        epoch["learning_rate"] = epoch.pop("alpha")
    (path / "metrics.json").write_text(json.dumps(epochs))
    write_sums(path)
    run_study(_config(unfinished))
    outcomes.assert_same(unfinished, reference)


def test_a_checkpoint_that_cannot_be_written(unfinished, reference, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(ocp.Checkpointer, "save", full)
        with pytest.raises(
            InputError, match=r"epoch 5 cannot be written: .*No space left"
        ) as error:
            run_study(_config(unfinished))
    assert "\n" not in str(error.value)
    assert outcomes.checkpoints(unfinished / "rsgdm-seed0") == [2, 3, 4]
    run_study(_config(unfinished))
    outcomes.assert_same(unfinished, reference)


# --- Company.


def test_a_locked_study_is_refused(unfinished):
    with locked(unfinished), pytest.raises(InputError) as error:
        run_study(_config(unfinished))
    line = f"{unfinished}: is being trained by process {os.getpid()} on "
    assert str(error.value).startswith(line)
    run_study(_config(unfinished))

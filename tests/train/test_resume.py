"""Runs that were stopped, damaged or diverged, and what becomes of them."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.train import runs
from tests.train.conftest import small
from train.checkpoints import Checkpoints
from train.config import Config
from train.config import runs as runs_of
from train.errors import InputError
from train.lock import locked
from train.optimizers import step_schedule
from train.progress import Display
from train.records import RunFolder
from train.steps import Keys
from train.study import check_study, run_study
from train.trainer import Trainer

EPOCHS = 5


class Stopped(BaseException):
    """Ends a study where a kill would."""


def _config(output: Path, **changes) -> Config:
    return small(output, **{"optimizers": ("rsgdm",), "seeds": (0, 1), "epochs": EPOCHS} | changes)


def _stop_after(config: Config, epochs: int, monkeypatch) -> None:
    """Trains until so many epochs were shown; the last one has no checkpoint yet."""
    show, count = Display.epoch, iter(range(epochs, 0, -1))

    def stopping(self, *args):
        show(self, *args)
        if next(count) == 1:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Display, "epoch", stopping)
        with pytest.raises(Stopped):
            run_study(config)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """A study that was never stopped. Read only."""
    study = tmp_path_factory.mktemp("reference") / "study"
    run_study(_config(study))
    return study


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A study stopped in its fifth epoch, with checkpoints of 2, 3 and 4. Read only."""
    study = tmp_path_factory.mktemp("stopped") / "study"
    with pytest.MonkeyPatch.context() as monkeypatch:
        _stop_after(_config(study), EPOCHS, monkeypatch)
    return study


@pytest.fixture
def unfinished(stopped, tmp_path) -> Path:
    """A copy of the stopped study."""
    return Path(shutil.copytree(stopped, tmp_path / "study"))


@pytest.mark.parametrize("epochs", range(1, EPOCHS + 1))
def test_a_stopped_run_ends_as_one_never_stopped(epochs, reference, tmp_path, monkeypatch, capsys):
    config = _config(tmp_path / "study")
    _stop_after(config, epochs, monkeypatch)
    capsys.readouterr()
    run_study(config)
    runs.assert_same(tmp_path / "study", reference)
    said = capsys.readouterr().err
    if epochs > 1:
        assert f"rsgdm-seed0 goes on after epoch {epochs - 1}\n" in said
    else:
        assert "rsgdm-seed0 starts over: it has no whole checkpoint" in said
    starts = json.loads((tmp_path / "study" / "rsgdm-seed0" / "environment.json").read_text())
    assert len(starts) == 2


def test_stopped_twice(reference, tmp_path, monkeypatch):
    config = _config(tmp_path / "study")
    for epochs in (2, 1, 2):
        _stop_after(config, epochs, monkeypatch)
    run_study(config)
    runs.assert_same(tmp_path / "study", reference)


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
    runs.assert_same(unfinished, reference)


def test_checkpoints_kept(tmp_path, monkeypatch):
    kept, show = [], Display.epoch

    def looking(self, *args):
        folder = tmp_path / "study" / "rsgdm-seed0" / "checkpoints"
        kept.append(runs.checkpoints(folder.parent) if folder.exists() else [])
        show(self, *args)

    monkeypatch.setattr(Display, "epoch", looking)
    run_study(_config(tmp_path / "study"))
    assert kept == [[], [1], [1, 2], [1, 2, 3], [2, 3, 4]]
    assert runs.checkpoints(tmp_path / "study" / "rsgdm-seed0") == [5]


def test_a_checkpoint_every_other_epoch(reference, tmp_path, monkeypatch, capsys):
    config = _config(tmp_path / "study", checkpoint_every=2)
    _stop_after(config, 4, monkeypatch)
    assert runs.checkpoints(tmp_path / "study" / "rsgdm-seed0") == [2]
    run_study(config)
    assert "goes on after epoch 2\n" in capsys.readouterr().err
    runs.assert_same(tmp_path / "study", reference)


def test_the_step_is_compiled_once_when_a_run_goes_on(unfinished, caplog):
    with jax.log_compiles(), caplog.at_level("WARNING"):
        run_study(_config(unfinished))
    compiled = [r.message for r in caplog.records if "Compiling jit(train_step)" in r.message]
    assert len(compiled) == 1


# --- Damage.


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES = {
    "flipped bit": _flip,
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "missing": lambda path: path.unlink(),
}


@pytest.fixture(scope="module")
def template(stopped):
    config = _config(stopped)
    dataset = check_study(config)
    trainer = Trainer(dataset, config.model, config.dtype)
    run = runs_of(config, dataset.fingerprint)[0]
    return trainer._initial(trainer._compile(run), Keys.of_seed(0))


def _same(a, b) -> bool:
    return all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_of_each_file_of_the_newest_checkpoint(damage, stopped, template, tmp_path, capsys):
    folder = stopped / "rsgdm-seed0" / "checkpoints"
    before = tmp_path / "before"
    shutil.copytree(folder / "epoch-3", before / "epoch-3")
    whole, _ = Checkpoints(before).restore(template)
    files = sorted(p.relative_to(folder) for p in (folder / "epoch-4").rglob("*") if p.is_file())
    assert len(files) >= 10
    for k, name in enumerate(files):
        copy = Path(shutil.copytree(folder, tmp_path / str(k)))
        if not (copy / name).stat().st_size and damage != "missing":
            continue
        DAMAGES[damage](copy / name)
        state, metrics = Checkpoints(copy).restore(template)
        assert len(metrics) == 3
        assert _same(state, whole)
        said = capsys.readouterr().err
        assert said.startswith(f"warning: {copy / 'epoch-4'}: damaged, ")
        assert said.count("\n") == 1
        assert not (copy / "epoch-4").exists()


def test_the_checksums_are_those_of_the_command_sha256sum(stopped):
    folder = stopped / "rsgdm-seed0" / "checkpoints" / "epoch-4"
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True)


def test_a_checkpoint_under_the_name_of_another(unfinished, template, capsys):
    folder = unfinished / "rsgdm-seed0" / "checkpoints"
    (folder / "epoch-4").rename(folder / "epoch-5")
    _, metrics = Checkpoints(folder).restore(template)
    assert len(metrics) == 3
    assert "epoch-5: damaged, ValueError: it holds 4 epochs; removed" in capsys.readouterr().err


def test_no_whole_checkpoint(unfinished, reference, capsys):
    for path in (unfinished / "rsgdm-seed0" / "checkpoints").rglob("metrics.json"):
        path.write_bytes(b"{")
    run_study(_config(unfinished))
    said = capsys.readouterr().err
    assert said.count("damaged, ValueError: metrics.json has another checksum; removed") == 3
    assert "rsgdm-seed0 starts over: it has no whole checkpoint" in said
    runs.assert_same(unfinished, reference)


def test_a_checkpoint_that_cannot_be_written(unfinished, reference, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(ocp.Checkpointer, "save", full)
        with pytest.raises(
            InputError, match=r"epoch 5 cannot be written: .*No space left"
        ) as error:
            run_study(_config(unfinished))
    assert "\n" not in str(error.value)
    assert runs.checkpoints(unfinished / "rsgdm-seed0") == [2, 3, 4]
    run_study(_config(unfinished))
    runs.assert_same(unfinished, reference)


# --- Divergence, and company.


def test_a_diverged_run_keeps_its_last_good_checkpoint(tmp_path, monkeypatch):
    # Fine at first; the rate is thrown up after the second epoch.
    schedule = step_schedule

    def thrown(rate, *, halve_every):
        calm = schedule(rate, halve_every=halve_every)
        return lambda count: jax.numpy.where(count < 4, calm(count), 1e30)

    monkeypatch.setattr("train.trainer.step_schedule", thrown)
    config = _config(tmp_path / "study", optimizers=("sgdm", "rsgdm"))
    report = run_study(config)
    assert report.diverged == 2
    for run in ("sgdm-seed0", "rsgdm-seed0"):
        result = json.loads((tmp_path / "study" / run / "result.json").read_text())
        assert (result["status"], result["epoch"], result["step"]) == ("diverged", 3, 6)
        assert runs.checkpoints(tmp_path / "study" / run) == [2]
        assert runs.metrics(tmp_path / "study" / run)[-1]["test_loss"] is None


def test_a_divergence_stops_the_run_within_the_epoch(tmp_path):
    config = _config(
        tmp_path / "study", train_examples=1348, batch_size=8, epochs=1, learning_rate=1e30
    )
    steps = []
    dataset = check_study(config)
    trainer = Trainer(dataset, config.model, config.dtype)
    run = runs_of(config, dataset.fingerprint)[0]
    compiled = trainer._compile(run)

    def counted(*args):
        steps.append(1)
        return jax.block_until_ready(compiled.train(*args))

    trainer._compiled["rsgdm"] = dataclasses.replace(compiled, train=counted)
    folder = RunFolder(tmp_path / "study" / run.name)
    folder.start(run, {})
    with Display(1) as display:
        result = trainer.run(run, folder, display, checkpoint_every=1, tensorboard=False)
    assert result["status"] == "diverged"
    assert result["step"] < 10
    assert len(steps) <= 48  # of 168


def test_a_locked_study_is_refused(study):
    with locked(study), pytest.raises(InputError) as error:
        run_study(small(study))
    assert str(error.value).startswith(f"{study}: is being trained by process {os.getpid()} on ")
    run_study(small(study))

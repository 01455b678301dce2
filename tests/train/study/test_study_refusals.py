"""What a study refuses before it trains: other folders and files, values that make no sense."""

import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from tests.train import made_up
from tests.train.commands import status
from tests.train.conftest import check_study, run_study, small
from tests.train.study_files import snapshot
from train import cifar
from train.common.errors import InputError
from train.engine.epochs import Trainer
from train.study import runner as train_study
from train.study.config import Config
from train.study.presets import PRESETS

DEMO = PRESETS["demo"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("epochs", 3), ("halve_every", 2), ("batch_size", 64), ("schedule", "linear")),
        *(("warmup_epochs", 1), ("batch_norm", "reestimated"), ("evaluate_every", 2)),
        *(("decay", 0.8), ("weight_decay", 0.0), ("augment", False), ("train_examples", 255)),
        *(("validation_examples", 100), ("lr_convention", "heavy_ball")),
        *(("dtype", "bfloat16"), ("tf32", True), ("model", "resnet18")),
    ],
)
def test_another_study_is_refused_by_name_of_the_setting(study, setting, value):
    before = snapshot(study)
    with pytest.raises(InputError, match=rf"another study, with {setting} .*--output"):
        run_study(small(study, **{setting: value}))
    assert snapshot(study) == before


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_a_file_that_changed_is_another_study(tmp_path):
    file = tmp_path / "data.npz"
    config = small(tmp_path / "study", dataset=f"npz:{file}", train_examples=None)
    config = config.replace(optimizers=("sgdm",), seeds=(0, 1))
    data = made_up.arrays(256, 449, (8, 8), 10)  # as many as of digits: compiled already
    np.savez(file, **data._asdict())
    run_study(config)
    before = snapshot(tmp_path / "study")
    # The same file at another place is the same data.
    shutil.copy(file, tmp_path / "copy.npz")
    check_study(config.replace(dataset=f"npz:{tmp_path / 'copy.npz'}"))
    data.y_test[:2] = data.y_test[1::-1]
    np.savez(file, **data._asdict())
    with pytest.raises(InputError, match=r"another study, with data '[0-9a-f]{32}' in .*--output"):
        run_study(config.replace(seeds=(0, 2)))
    assert snapshot(tmp_path / "study") == before


def test_processes_may_have_a_file_at_different_places(tmp_path, monkeypatch):
    compared = []
    monkeypatch.setattr("train.study.runner.multihost.check_alike", compared.append)
    data = made_up.arrays(128, 40, (8, 8), 10)
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        np.savez(tmp_path / place / "data.npz", **data._asdict())
        file = f"npz:{tmp_path / place / 'data.npz'}"
        check_study(small(tmp_path / "study", dataset=file, train_examples=None))
    data.y_test[:2] = data.y_test[1::-1]
    np.savez(tmp_path / "one" / "data.npz", **data._asdict())
    check_study(small(tmp_path / "study", dataset=file.replace("two", "one"), train_examples=None))
    first, second, changed = compared
    assert first == second
    assert {name for name in first if first[name] != changed[name]} == {"data"}


def test_output_that_is_no_study(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        run_study(small(file))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds thesis\.txt, which is no run"):
        run_study(small(tmp_path / "folder"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "thesis.txt"]


def test_a_report_of_somebody_else_is_not_overwritten(tmp_path):
    (tmp_path / "own" / "report").mkdir(parents=True)
    (tmp_path / "own" / "report" / "table.md").write_text("mine")
    with pytest.raises(InputError, match="holds report, which is no run"):
        run_study(small(tmp_path / "own"))
    assert (tmp_path / "own" / "report" / "table.md").read_text() == "mine"


@pytest.mark.parametrize(
    "changes",
    [
        *({"learning_rate": "0.1"}, {"learning_rate": True}, {"decay": None}, {"seeds": 3}),
        *({"seeds": (0, 1.5)}, {"dataset": None}, {"augment": "no"}, {"optimizers": "sgdm"}),
        *({"optimizers": ()}, {"epochs": 2.0}, {"output": None}, {"model": 8}),
    ],
)
def test_values_of_the_wrong_type_from_python(changes, tmp_path):
    with pytest.raises(InputError, match=f"^{next(iter(changes))}"):
        check_study(small(tmp_path / "new").replace(**changes))


def test_nothing_is_left_where_the_environment_cannot_be_read(tmp_path, monkeypatch):
    def environment(**_facts):
        raise InputError("no version")

    monkeypatch.setattr(train_study, "environment", environment)
    with pytest.raises(InputError, match="no version"):
        run_study(small(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_batch_larger_than_the_data(tmp_path):
    with pytest.raises(InputError, match="batch_size: 257 is more than the 256 examples"):
        run_study(small(tmp_path / "new", batch_size=257))
    assert not (tmp_path / "new").exists()


def test_a_setting_that_is_none_is_refused():
    settings = vars(DEMO.run) | vars(DEMO.study) | vars(DEMO.execution)
    assert Config.of(**settings) == DEMO
    for make in (DEMO.replace, lambda **change: Config.of(**settings, **change)):
        with pytest.raises(TypeError, match=r"^no settings of a study: batchsize$"):
            make(batchsize=64)


def test_too_little_memory_is_one_line(tmp_path, monkeypatch, capsys):
    """Of a device that cannot hold a step's arrays: JAX's own error, of 2⁶⁰ bytes."""
    monkeypatch.setattr(Trainer, "start", lambda *_: jnp.zeros(2**58).block_until_ready())
    words = ["--preset", "demo", "--workers", "none", "--output", tmp_path / "study"]
    assert status(cifar, words, monkeypatch) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("cifar.py: batch_size: 128 with resnet8: too little memory: RESOURCE")

"""What docs/architecture.md says of adding to the program: one of each, added from outside."""

import json

import numpy as np
import optax
import pytest
from flax import nnx

from tests.train import made_up
from tests.train.conftest import run_study, small
from train.data import sources
from train.data.sources import Source
from train.engine.optimizers import OPTIMIZERS
from train.engine.schedules import SCHEDULES
from train.models.resnet import MODELS
from train.report.report import build_report
from train.report.scores import Measure
from train.report.studies import MEASURES

pytestmark = pytest.mark.usefixtures("quick_studies")


class Dense(nnx.Module):
    """A network of one layer: no convolution, no BatchNorm."""

    def __init__(self, rngs: nnx.Rngs, *, channels: int, classes: int):
        self.dense = nnx.Linear(36 * channels, classes, rngs=rngs)

    def __call__(self, images):
        return self.dense(images.reshape(len(images), -1))


def _constant(_settings, _steps_per_epoch):
    return lambda _count: np.float32(1)


def test_one_of_each(tmp_path, monkeypatch):
    data = made_up.arrays(128, 40, (6, 6), 4)
    data = data._replace(x_train=data.x_train[..., None], x_test=data.x_test[..., None])
    monkeypatch.setitem(sources.BUNDLED, "squares", lambda: Source(data, 4, can_flip=False))
    monkeypatch.setitem(MODELS, "dense", Dense)
    monkeypatch.setitem(SCHEDULES, "constant", _constant)
    monkeypatch.setitem(OPTIMIZERS, "sign", lambda rate, _decay: optax.sign_sgd(rate))
    key, sharper = "reestimated_{split}_loss", Measure("loss, re-estimated", "lower", "in loss")
    monkeypatch.setitem(MEASURES, key, sharper)
    run_study(
        small(
            tmp_path / "study",
            dataset="squares",
            train_examples=None,
            model="dense",
            schedule="constant",
            optimizers=("sign",),
            learning_rate=0.01,
            batch_size=32,
            seeds=(0, 1),
            epochs=10,
        )
    )
    result = json.loads((tmp_path / "study" / "sign-seed0" / "result.json").read_text())
    assert (result["status"], result["epoch"], result["step"]) == ("done", 10, 40)
    assert result["alpha"] == np.float32(0.01)
    (table,) = build_report(tmp_path / "study").tables
    assert table.rows[0].spreads["loss, re-estimated"].mean == result["reestimated_test_loss"]
    assert result["test_accuracy"] > 0.5  # twice what guessing gets: brightness tells the class

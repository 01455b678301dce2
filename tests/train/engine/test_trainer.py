"""Runs from first to last: what they share, how they diverge, figures that stay finite."""

import dataclasses
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train import outcomes
from tests.train.conftest import one_device, run_study, small
from train.common.errors import InputError
from train.data.dataset import load
from train.engine import recipe, steps
from train.engine.epochs import LOOK_EVERY, Figures, Trainer
from train.engine.parallel import Jit
from train.engine.schedules import SCHEDULES
from train.experiments import measurement
from train.runs.settings import RunConfig
from train.study import runner as train_study
from train.study.dry_run import Plan

pytestmark = pytest.mark.usefixtures("quick_studies")


RUN = "rsgdm-seed0"
ONE = {"optimizers": ("rsgdm",), "seeds": (0, 1)}


def _result(study: Path) -> dict:
    return json.loads((study / RUN / "result.json").read_text())


# --- What runs share.


OTHER = {
    "arm": "mine",
    "optimizer": "rsgdm",
    "version": "2",
    "epochs": 3,
    "schedule": "linear",
    "halve_every": 2,
    "warmup_epochs": 1,
    "batch_size": 64,
    "lr_convention": "heavy_ball",
    "decay": 0.8,
    "weight_decay": 0.1,
    "augment": False,
    "tf32": True,
    "model": "resnet18",
    "dtype": "bfloat16",
    "batch_norm": "reestimated",
    "evaluate_every": 2,
}
OF_THE_DATA = {"dataset", "data", "train_examples", "validation_examples"}


@pytest.mark.slow
def test_a_step_is_compiled_for_all_that_it_depends_on(tmp_path, monkeypatch):
    assert {field.name for field in dataclasses.fields(RunConfig)} == (
        {*OTHER, *OF_THE_DATA} | {"seed", "learning_rate"}
    )
    made = []

    def compiled(_self, step, **_options):
        made.append(step)
        return lambda state, sums, *_: (state, sums)

    monkeypatch.setattr(Jit, "compile", compiled)
    dataset = load("digits", train_examples=256)
    run = small(tmp_path, optimizers=("sgdm",)).runs(dataset.fingerprint)[0]
    trainer = Trainer(dataset, devices=one_device())

    def steps_made(**changes) -> int:
        before = len(made)
        trainer.start(dataclasses.replace(run, **changes))
        return sum(isinstance(step, steps.TrainStep) for step in made[before:])

    assert steps_made() == 1
    # The seed and the rate are arguments of the program.
    assert [steps_made(seed=7), steps_made(learning_rate=0.25), steps_made()] == [0, 0, 0]
    for name, value in OTHER.items():
        assert steps_made(**{name: value}) == 1, name
        assert steps_made(**{name: value}) == 0, name
    assert steps_made() == 0


def test_another_rate_trains_with_its_own(tmp_path):
    for name, rate in (("a", 0.5), ("b", 0.125)):
        run_study(small(tmp_path / name, **ONE, learning_rate=rate))
        lines = outcomes.metrics(tmp_path / name / RUN)
        assert [line["alpha"] for line in lines] == [rate, rate / 2]
        assert {line["format"] for line in lines} == {3}
    losses = [outcomes.metrics(tmp_path / name / RUN)[0]["train_loss"] for name in "ab"]
    assert losses[0] != losses[1]


# --- Divergence.


def test_a_diverged_run_keeps_its_last_good_checkpoint(tmp_path, monkeypatch):
    # Fine at first; the rate is thrown up after the second epoch.
    def thrown(settings, steps_per_epoch):
        calm = SCHEDULES["step"](settings, steps_per_epoch)
        return lambda count: jnp.where(count < 4, calm(count), 1e30)

    monkeypatch.setitem(SCHEDULES, "thrown", thrown)
    run_study(small(tmp_path, **ONE, epochs=5, schedule="thrown"))
    result = _result(tmp_path)
    assert (result["status"], result["epoch"], result["step"]) == ("diverged", 3, 6)
    assert "clean_train_loss" not in result
    assert outcomes.checkpoints(tmp_path / RUN) == [2]
    assert outcomes.metrics(tmp_path / RUN)[-1]["test_loss"] is None


def test_a_divergence_stops_the_run_within_the_epoch(tmp_path):
    fault = {"batch_size": 8, "learning_rate": 1e30}
    dataset = load("digits")
    run = small(tmp_path, **ONE, epochs=1, **fault).runs(dataset.fingerprint)[0]
    taken = []

    def wait():
        taken.append(1)
        jax.block_until_ready(jax.live_arrays())  # each look finds its figure there

    trainer = Trainer(dataset, devices=one_device(), between_steps=wait)
    (epoch,) = trainer.epochs(run, trainer.start(run), 0)
    assert epoch.bad_step < 10
    assert epoch.metrics["step"] == epoch.bad_step
    assert len(taken) == 2 * LOOK_EVERY  # of 168


def test_clean_figures_that_are_not_finite_are_a_divergence(tmp_path, monkeypatch):
    original = Trainer.evaluate

    def infinite(self, run, state, split, batch_norm=None):
        if split == "train":
            return Figures(math.inf, 0.5)
        return original(self, run, state, split, batch_norm)

    monkeypatch.setattr(Trainer, "evaluate", infinite)
    run_study(small(tmp_path, **ONE))
    result = _result(tmp_path)
    assert (result["status"], result["epoch"], result["step"]) == ("diverged", 2, 4)
    assert "clean_train_loss" not in result


def test_finite_losses_have_finite_figures(tmp_path, monkeypatch):
    init = steps.Network.init

    def huge(self, key):
        params, batch_stats = init(self, key)
        params["head"] = jax.tree.map(lambda x: x * 1e36, params["head"])
        return params, batch_stats

    monkeypatch.setattr(steps.Network, "init", huge)
    still = {"learning_rate": 2e-38, "weight_decay": 0.0, "batch_size": 32}
    still |= {"train_examples": 1340}  # no other test's: the trainer is shared
    run_study(small(tmp_path, **ONE, **still))
    result = _result(tmp_path)
    assert result["status"] == "done"
    largest = float(np.finfo(np.float32).max)
    assert largest / 1312 < result["train_loss"] < largest
    assert largest / 1340 < result["clean_train_loss"] < largest
    assert 0 < result["test_loss"] < largest


# --- What a network cannot be trained on, and what it can.


def test_one_value_a_channel_is_refused(tmp_path):
    config = small(tmp_path / "study", model="resnet18", batch_size=1)
    for refuse in (
        lambda: run_study(config),
        lambda: Plan.of(config, timed_steps=0, devices=one_device()),
        lambda: measurement.measure_all("none", config, lambda _: pytest.fail("measured")),
    ):
        with pytest.raises(InputError) as error:
            refuse()
        assert str(error.value) == (
            "batch_size: 1 is too small for resnet18 on images of 8×8: a BatchNorm layer would "
            "have one value for each of its 512 channels; allowed: 2 or more"
        )
    assert not (tmp_path / "study").exists()


def test_several_values_a_channel_are_not_refused():
    data = load("digits", train_examples=64)
    recipe.check_batch_norm(data, "resnet18", 2)
    recipe.check_batch_norm(data, "resnet8", 1)  # its last images are 2×2
    wide = dataclasses.replace(
        data, train=dataclasses.replace(data.train, images=np.zeros((64, 8, 9, 1), np.uint8))
    )
    recipe.check_batch_norm(wide, "resnet18", 1)


def test_one_class_alone(tmp_path, monkeypatch, capsys):
    data = load("digits", train_examples=256)

    def alone(split):
        return dataclasses.replace(split, labels=np.zeros_like(split.labels))

    one = dataclasses.replace(
        data, train=alone(data.train), evaluation=alone(data.evaluation), classes=1
    )
    monkeypatch.setattr(
        train_study, "load", lambda *_, **__: dataclasses.replace(one, fingerprint="one")
    )
    run_study(small(tmp_path, **ONE))
    result = _result(tmp_path)
    assert result["status"] == "done"
    for name in ("train", "test", "clean_train"):
        assert (result[f"{name}_loss"], result[f"{name}_accuracy"]) == (0.0, 1.0)
    assert "warning" not in capsys.readouterr().err


def test_an_optimizers_known_fault_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_study, "known_faults", lambda names: [f"{names[0]}: wrong"])
    run_study(small(tmp_path, **ONE))
    assert capsys.readouterr().err.count("warning: rsgdm: wrong\n") == 1

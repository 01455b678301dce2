"""BatchNorm at evaluation: running or re-estimated statistics, against NumPy."""

import json
import logging

import jax
import numpy as np
import pytest
from flax import nnx

from tests.train.conftest import one_device, run_study, small
from train.data.dataset import load
from train.engine.batch_norm import MOST_BATCHES, Reestimation
from train.engine.epochs import Trainer
from train.engine.parallel import Jit
from train.engine.recipe import make_network
from train.engine.steps import Examples, Keys, Network, epoch_order
from train.models.resnet import MODELS, BatchNorm

BATCH = 40


class _Normalised(nnx.Module):
    """One BatchNorm layer and a dense one."""

    def __init__(self, rngs: nnx.Rngs, *, channels: int, classes: int):
        self.norm = BatchNorm(64 * channels, rngs=rngs)
        self.dense = nnx.Linear(64 * channels, classes, rngs=rngs)

    def __call__(self, images):
        return self.dense(self.norm(images.reshape(len(images), -1)))


@pytest.fixture
def trained(monkeypatch):
    """A trainer, its data, a run and its state after an epoch."""
    monkeypatch.setitem(MODELS, "normalised", _Normalised)
    data = load("digits")
    config = small("unused", model="normalised", batch_size=BATCH, epochs=1, train_examples=None)
    run = config.runs(data.fingerprint)[0]
    trainer = Trainer(data, devices=one_device())
    (epoch,) = trainer.epochs(run, trainer.start(run), 0)
    return trainer, data, run, epoch.state


def _flat(images, data):
    return ((images.astype(np.float64) - data.mean) / data.std).reshape(len(images), -1)


def _loss_and_accuracy(data, state, mean, var):
    """In evaluation mode, by hand."""
    scale, shift, kernel, bias, mean, var = (
        np.asarray(array, np.float64)
        for array in (
            state.params["norm"]["scale"][...],
            state.params["norm"]["bias"][...],
            state.params["dense"]["kernel"][...],
            state.params["dense"]["bias"][...],
            mean,
            var,
        )
    )
    x = (_flat(data.evaluation.images, data) - mean) / np.sqrt(var + 1e-5) * scale + shift
    logits = x @ kernel + bias
    logits -= logits.max(1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    labels = data.evaluation.labels
    return -log_p[np.arange(len(labels)), labels].mean(), (logits.argmax(1) == labels).mean()


def test_running_statistics_are_the_states(trained):
    trainer, data, run, state = trained
    statistics = state.batch_stats["norm"]
    wanted = _loss_and_accuracy(data, state, statistics["mean"][...], statistics["var"][...])
    assert trainer.evaluate(run, state, "evaluation", "running") == pytest.approx(wanted, rel=1e-5)


def test_reestimated_statistics_are_the_mean_over_batches(trained):
    trainer, data, run, state = trained
    order = np.asarray(epoch_order(Keys.of_seed(0), 0, len(data.train)))
    batches = [
        _flat(data.train.images[order[k * BATCH : (k + 1) * BATCH]], data)
        for k in range(MOST_BATCHES)
    ]
    assert len(data.train) > MOST_BATCHES * BATCH
    mean = np.mean([batch.mean(0) for batch in batches], 0)
    var = np.mean([batch.var(0, ddof=1) for batch in batches], 0)
    wanted = _loss_and_accuracy(data, state, mean, var)
    found = trainer.evaluate(run, state, "evaluation", "reestimated")
    assert found == pytest.approx(wanted, rel=1e-5)
    # And they are not the running ones.
    assert trainer.evaluate(run, state, "evaluation", "running").loss != found.loss
    # The same at every call, and for every seed.
    assert trainer.evaluate(run, state, "evaluation", "reestimated") == found


def test_a_models_own_momentum_does_not_count():
    """A BatchNorm of Flax's own: another default, and the variance divided by n."""
    data = load("digits")
    network = Network(lambda rngs: nnx.BatchNorm(1, momentum=0.99, rngs=rngs))
    params, _ = network.init(jax.random.key(0))
    count = len(data.train)
    reestimated = Reestimation(network, BATCH, count, Jit(one_device()))
    examples = jax.device_put(Examples.of(data, data.train))
    order = epoch_order(Keys.of_seed(0), 0, count)
    found = reestimated(params, examples, order, lambda *_: None)
    seen = np.asarray(order)[: MOST_BATCHES * BATCH]
    batches = _flat(data.train.images[seen], data).reshape(MOST_BATCHES, -1)
    np.testing.assert_allclose(found["mean"][...], [batches.mean(1).mean()], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["var"][...], [batches.var(1).mean()], rtol=1e-5)


@pytest.mark.usefixtures("quick_studies")
@pytest.mark.parametrize("batch_norm", ["running", "reestimated"])
def test_a_result_has_the_figures_of_both(batch_norm, tmp_path):
    one = {"optimizers": ("rsgdm",), "seeds": (0, 1), "batch_norm": batch_norm}
    run_study(small(tmp_path / "study", **one))
    result = json.loads((tmp_path / "study" / "rsgdm-seed0" / "result.json").read_text())
    for what in ("loss", "accuracy"):
        assert result[f"test_{what}"] == result[f"{batch_norm}_test_{what}"]
    assert result["running_test_loss"] != result["reestimated_test_loss"]


def test_both_splits_are_evaluated_by_one_program(trained, caplog):
    trainer, _, run, state = trained
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        fresh = Trainer(load("digits"), devices=one_device())
        for split in ("train", "evaluation"):
            assert fresh.evaluate(run, state, split, "running") == trainer.evaluate(
                run, state, split, "running"
            )
    compiled = [record.message for record in caplog.records if "Compiling" in record.message]
    assert sum("jit(evaluation_step)" in message for message in compiled) == 1


def test_statistics_of_the_same_weights_are_made_once(trained):
    _, data, run, state = trained
    network = make_network(data, run.model)
    count = len(data.train)
    reestimated = Reestimation(network, BATCH, count, Jit(one_device()))
    examples = jax.device_put(Examples.of(data, data.train))
    order = epoch_order(Keys.of_seed(0), 0, count)
    batches = []

    def statistics(params):
        return reestimated(params, examples, order, lambda _, batch: batches.append(batch))

    first = statistics(state.params)
    assert batches == list(range(1, MOST_BATCHES + 1))
    assert statistics(state.params) is first
    assert len(batches) == MOST_BATCHES
    moved = jax.tree.map(lambda x: x + 1, state.params)
    statistics(moved)
    assert len(batches) == 2 * MOST_BATCHES

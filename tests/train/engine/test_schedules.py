"""Schedules of the learning rate, against formulas, and in a run's metrics."""

import jax
import numpy as np
import pytest

from tests.train import outcomes
from tests.train.conftest import run_study, small
from train.engine.schedules import SCHEDULES, factor

EPOCHS, STEPS = 6, 5


def _factors(**settings):
    """The factor at every step, and at the one after the last."""
    run = small("unused", epochs=EPOCHS, **settings).run
    return np.asarray(jax.vmap(factor(run, STEPS))(np.arange(EPOCHS * STEPS + 1)))


def test_linear_and_cosine_end_at_zero():
    t = np.arange(EPOCHS * STEPS + 1) / (EPOCHS * STEPS)
    # float32, up to rounding
    np.testing.assert_allclose(_factors(schedule="linear"), 1 - t, rtol=0, atol=1e-7)
    cosine = (1 + np.cos(np.pi * t)) / 2
    np.testing.assert_allclose(_factors(schedule="cosine"), cosine, rtol=0, atol=2e-7)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warmup_rises_from_zero_and_the_schedule_follows(schedule):
    found = _factors(schedule=schedule, warmup_epochs=2, halve_every=3)
    np.testing.assert_allclose(found[: 2 * STEPS], np.arange(10) / 10, rtol=0, atol=1e-7)
    shorter = small("unused", epochs=EPOCHS - 2, schedule=schedule, halve_every=3).run
    after = jax.vmap(factor(shorter, STEPS))(np.arange(4 * STEPS + 1))
    np.testing.assert_array_equal(found[2 * STEPS :], after)


def test_step_halves_exactly():
    found = _factors(schedule="step", halve_every=2)
    np.testing.assert_array_equal(found[:-1], np.repeat([1, 0.5, 0.25], 2 * STEPS))


@pytest.mark.usefixtures("quick_studies")
def test_metrics_have_the_rate_of_each_epochs_first_step(tmp_path):
    options = {"schedule": "linear", "warmup_epochs": 1, "evaluate_every": 3, "epochs": 4}
    run_study(small(tmp_path / "study", optimizers=("rsgdm",), seeds=(0, 1), **options))
    lines = outcomes.metrics(tmp_path / "study" / "rsgdm-seed0")
    rates = [0.0, 0.5, 0.5 * 2 / 3, 0.5 / 3]  # two steps an epoch: 0 and ½ in the first
    assert [line["alpha"] for line in lines] == pytest.approx(rates, rel=1e-6)
    evaluated = [line["test_accuracy"] is not None for line in lines]
    assert evaluated == [False, False, True, True]
    assert all(line["train_loss"] is not None for line in lines)

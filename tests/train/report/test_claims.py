"""The numbers in the text of docs/first-studies.md, outside its tables, from the runs themselves.

Each is computed here and must be among the numbers of its paragraph, which is found by a phrase.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.train.documents import paragraph, shows

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "results" / "first"
TEXT = (ROOT / "docs" / "first-studies.md").read_text(encoding="utf-8")


def _measured(study, optimizer, key="test_accuracy", rate=None):
    """A row a seed, a column an epoch; accuracies in points. The rate where there are several."""
    packed = json.loads((RESULTS / f"{study}.json").read_text())
    runs = [
        run
        for run in packed["runs"]
        if run["settings"]["optimizer"] == optimizer
        and rate in (None, run["settings"].get("learning_rate"))
    ]
    runs.sort(key=lambda run: run["settings"]["seed"])
    rows = np.array([run["metrics"][key] for run in runs])
    return rows * (100 if key.endswith("accuracy") else 1)


def _fashion(study, one, other, key="test_accuracy"):
    """Paired differences, a row a seed, a column an epoch."""
    folder = f"fashion_mnist/{study}"
    return _measured(folder, one, key) - _measured(folder, other, key)


def _interval(differences):
    """Mean and ends of the 95 % interval, by Student's t."""
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    return differences.mean(), low, high


def _shows(phrase, *values, digits=2):
    """The paragraph with the phrase has all of the values; counts are ints."""
    text = paragraph(TEXT, phrase)
    for value in values:
        assert shows(text, value, digits), f"no {value} in: {text}"


def test_digits_without_the_seeds_known_before_the_plan():
    pairs = (_measured("digits/tuned", "rsgdm") - _measured("digits/tuned", "sgdm"))[5:, -1]
    _shows("the demo's seeds", len(pairs), *_interval(pairs))


def test_the_end_of_the_grid():
    ends = {
        name: _measured("tuning/digits", name, "validation_accuracy", 12.8)[:, -1]
        for name in ("sgdm", "rsgdm", "nesterov")
    }
    assert ends["sgdm"].min() > 90
    for name in ("rsgdm", "nesterov"):
        _shows("rate of 12.8", len(ends[name]), int((ends[name] < 45).sum()), 45)


@pytest.fixture(scope="module")
def tuning():
    """Rate → optimizer → validation accuracies of the last three epochs, a row a seed."""
    return {
        rate: {
            name: _measured("tuning/fashion_mnist", name, "validation_accuracy", rate)[:, -3:]
            for name in ("sgdm", "rsgdm", "nesterov")
        }
        for rate in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
    }


def test_the_calm_rate_is_the_highest_at_which_no_run_of_the_tuning_jumps(tuning):
    jumps = {
        rate: [jump > 3 for ends in by_name.values() for jump in np.abs(np.diff(ends)).max(axis=1)]
        for rate, by_name in tuning.items()
    }
    low = [*jumps[0.1], *jumps[0.2], *jumps[0.4], *jumps[0.8]]
    high = [*jumps[1.6], *jumps[3.2]]
    assert not any(low)
    assert all(any(jumps[rate]) for rate in (1.6, 3.2, 6.4))
    _shows("choice is not sharp", len(low), len(high), sum(map(int, high)))


def test_the_digits_grid_is_flat_between():
    means = [
        _measured("tuning/digits", name, "validation_accuracy", rate)[:, -1].mean()
        for rate in (0.4, 0.8, 1.6, 3.2, 6.4)
        for name in ("sgdm", "rsgdm", "nesterov")
    ]
    _shows("choice is not sharp", 0.4, 6.4, np.ptp(means), digits=1)


def test_best_rates_by_the_mean_of_three_epochs(tuning):
    best = {
        name: max(tuning, key=lambda rate: tuning[rate][name].mean())
        for name in ("sgdm", "rsgdm", "nesterov")
    }
    assert best["sgdm"] == best["nesterov"]
    _shows("poor choice of rate", best["sgdm"], best["rsgdm"], digits=1)


def test_these_rates_runs_put_together():
    calm = {name: _measured("fashion_mnist/calm", name)[:, -1] for name in ("sgdm", "nesterov")}
    rsgdm = _measured("fashion_mnist/tuned", "rsgdm")[:, -1]
    _shows("poor choice of rate", *_interval(rsgdm - calm["sgdm"]))
    _shows("poor choice of rate", *_interval(calm["nesterov"] - calm["sgdm"]))


def test_sgdm_at_its_tuned_rate_and_at_the_calm_one(tuning):
    _shows("poor choice of rate", tuning[3.2]["sgdm"][:, -1].mean(), digits=1)
    tuned = _measured("fashion_mnist/tuned", "sgdm")
    gain = (_measured("fashion_mnist/calm", "sgdm") - tuned)[:, -1]
    swing = np.ptp(tuned[:, -3:], axis=1).mean()
    _shows("poor choice of rate", tuned[:, -1].mean(), swing, gain.mean(), digits=1)
    _shows("poor choice of rate", len(gain))
    low, high = stats.ttest_1samp(gain, 0).confidence_interval(0.95)
    assert -0.1 < low < 0 < high


@pytest.mark.parametrize("key", ["test_accuracy", "train_accuracy"])
@pytest.mark.parametrize("optimizer", ["rsgdm", "nesterov"])
@pytest.mark.parametrize("study", ["calm", "tuned"])
def test_at_high_rates_both_lead_by_one_to_two_points(study, optimizer, key):
    lead = _fashion(study, optimizer, "sgdm", key)[:, -3:].mean(axis=1)
    assert 0.9 < lead.mean() < 2.0
    assert stats.ttest_1samp(lead, 0).confidence_interval(0.95).low > 0


def test_calm_has_one_run_that_is_not():
    spans = np.concatenate(
        [
            np.ptp(_measured("fashion_mnist/calm", name)[:, -3:], axis=1)
            for name in ("sgdm", "rsgdm", "nesterov")
        ]
    )
    assert spans.argmax() < 10  # sgdm's
    assert int((spans > 3).sum()) == 1
    _shows("is not quite calm", spans.max(), digits=0)
    by_epoch = _fashion("calm", "rsgdm", "sgdm")[:, -3:].mean(axis=0)
    _shows("is not quite calm", len(spans) - 1, *by_epoch)


def test_pairs_at_the_papers_rate():
    rsgdm, nesterov = (
        np.sort(_fashion("ema", name, "sgdm")[:, -1]) for name in ("rsgdm", "nesterov")
    )
    place = "as the paper writes it, rsgdm"
    _shows(place, nesterov.mean(), nesterov[0], *nesterov[-2:], rsgdm[0], *rsgdm[-3:])
    _shows(place, len(rsgdm[-2:]), len(rsgdm[:-2]), len(rsgdm))
    # All 2¹⁰ changes of sign.
    signs = 1 - 2 * (np.arange(2**10)[:, None] >> np.arange(10) & 1)
    means = np.abs(signs @ nesterov)
    p = np.mean(means >= abs(nesterov.sum()) * (1 - 1e-9))
    _shows(place, p, digits=3)
    low, high = stats.ttest_1samp(nesterov, 0).confidence_interval(0.95)
    assert low < 0 < high


def test_what_the_lead_at_the_papers_rate_is_worth():
    lead = -_fashion("ema", "rsgdm", "sgdm", "test_loss").mean(axis=0)
    loss = _measured("fashion_mnist/ema", "sgdm", "test_loss").mean(axis=0)
    _shows("nobody would train", lead[0], lead[-1], loss[-2] - loss[-1], digits=4)
    assert lead[-1] < (loss[-2] - loss[-1]) / 2
    gains = np.diff(_measured("fashion_mnist/ema", "sgdm").mean(axis=0))
    _shows("nobody would train", *gains[-2:])
    for name in ("sgdm", "rsgdm", "nesterov"):
        for study in ("ema", "heavy_ball"):
            end = _measured(f"fashion_mnist/{study}", name)[:, -1].mean()
            _shows("nobody would train", end, digits=0)


def test_at_ten_times_that_rate():
    accuracy = _fashion("heavy_ball", "rsgdm", "sgdm")
    loss = -_fashion("heavy_ball", "rsgdm", "sgdm", "test_loss")[:, -1].mean()
    whole = _measured("fashion_mnist/heavy_ball", "sgdm", "test_loss")[:, -1].mean()
    _shows("At 0.01 as PyTorch reads it", accuracy[:, -3:].mean(), whole)
    _shows("At 0.01 as PyTorch reads it", loss, digits=4)
    nesterov = _fashion("heavy_ball", "nesterov", "sgdm")[:, -1]
    assert np.std(nesterov) / np.std(accuracy[:, -1]) == pytest.approx(2, abs=0.1)


def test_an_early_look_at_eight_of_ten_seeds():
    pairs = _fashion("tuned", "rsgdm", "nesterov")[:, -1]
    # Of each half of five seeds the last was missing.
    early = np.delete(pairs, [4, 9])
    _shows("early look", *_interval(early), *_interval(pairs))
    _shows("early look", len(early), len(pairs))
    assert _fashion("calm", "rsgdm", "nesterov")[:, -1].mean() < 0


def test_the_measured_gradients_first_turn_and_then_shrink():
    median = {}
    for driver in ("rsgdm", "sgdm"):
        cosines = []
        for path in (RESULTS / "correction" / "digits").glob(f"{driver}-seed*.json"):
            run = json.loads(path.read_text())
            squared, change = (np.array(run[f"{key}_squared"]) for key in ("gradient", "change"))
            before, after = squared[:-1], squared[1:]
            # ‖G − G′‖² = ‖G‖² + ‖G′‖² − 2·G·G′, from step 2 on
            cosines.append((before + after - change[1:]) / 2 / np.sqrt(before * after))
            by_epoch = np.sqrt(squared.reshape(12, 10).mean(axis=1))
            assert by_epoch[2] > 3 * by_epoch[5]
        steps = np.array(cosines)
        median[driver] = np.median(steps[:, :9])
        assert all(np.median(steps[:, half]) > 0.95 for half in (slice(29, 59), slice(59, None)))
    place = "nearly as long as the gradient"
    _shows(place, median["rsgdm"], median["sgdm"], digits=1)
    _shows(place, 0.95, 31)

"""The numbers in the text of docs/results.md, outside its tables, from the runs themselves.

Each sentence is put together here from metrics.jsonl and must stand in the document, up to the
last digits of its numbers.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.train.documents import says

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
TEXT = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())


def _measured(study, optimizer, key="test_accuracy"):
    """A row a seed, a column an epoch; accuracies in points."""
    packed = json.loads((RESULTS / f"{study}.json").read_text())
    runs = [run for run in packed["runs"] if run["settings"]["optimizer"] == optimizer]
    runs.sort(key=lambda run: run["settings"]["seed"])
    rows = np.array([run["metrics"][key] for run in runs])
    return rows * (100 if key.endswith("accuracy") else 1)


def _fashion(study, one, other, key="test_accuracy"):
    """Paired differences, a row a seed, a column an epoch."""
    folder = f"fashion_mnist/{study}"
    return _measured(folder, one, key) - _measured(folder, other, key)


def _signed(value):
    return f"{value:+.2f}".replace("-", "−")


def _interval(differences):
    """Mean [95 %], by Student's t."""
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    return f"{_signed(np.mean(differences))} [{_signed(low)}, {_signed(high)}]"


def _says(sentence):
    assert says(TEXT, sentence), sentence


def test_digits_without_the_seeds_known_before_the_plan():
    pairs = (_measured("digits/tuned", "rsgdm") - _measured("digits/tuned", "sgdm"))[5:, -1]
    _says(f"these runs; {len(pairs)} pairs) rsgdm − sgdm is {_interval(pairs)}, and all")


def test_the_end_of_the_grid():
    ends = {
        name: _measured("tuning/digits/rate-12.8", name, "validation_accuracy")[:, -1]
        for name in ("sgdm", "rsgdm", "nesterov")
    }
    assert ends["sgdm"].min() > 90
    assert [len(of) for of in ends.values()] == [5, 5, 5]
    assert [int((ends[name] < 45).sum()) for name in ("rsgdm", "nesterov")] == [4, 4]
    _says("four end below 45 %")


@pytest.fixture(scope="module")
def tuning():
    """Rate → optimizer → validation accuracies of the last three epochs, a row a seed."""
    return {
        rate: {
            name: _measured(f"tuning/fashion_mnist/rate-{rate}", name, "validation_accuracy")[
                :, -3:
            ]
            for name in ("sgdm", "rsgdm", "nesterov")
        }
        for rate in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
    }


def test_the_calm_rate_is_the_highest_at_which_no_run_of_the_tuning_jumps(tuning):
    jumps = {
        rate: sum(int((np.abs(np.diff(ends)).max(axis=1) > 3).sum()) for ends in of.values())
        for rate, of in tuning.items()
    }
    assert [jumps[rate] for rate in (0.1, 0.2, 0.4, 0.8)] == [0] * 4
    assert min(jumps[rate] for rate in (1.6, 3.2, 6.4)) > 0
    assert jumps[1.6] + jumps[3.2] == 4
    assert sum(len(ends) for of in tuning.values() for ends in of.values()) == 7 * 6
    _says("in four of the twelve runs at 1.6 and 3.2, and in none of the 24 at lower rates")


def test_best_rates_by_the_mean_of_three_epochs(tuning):
    best = {
        name: max(tuning, key=lambda rate: tuning[rate][name].mean())
        for name in ("sgdm", "rsgdm", "nesterov")
    }
    assert best["sgdm"] == best["nesterov"]
    _says(f"have been {best['sgdm']} for sgdm and nesterov and {best['rsgdm']} for rsgdm.")


def test_these_rates_runs_put_together():
    calm = {name: _measured("fashion_mnist/calm", name)[:, -1] for name in ("sgdm", "nesterov")}
    rsgdm = _measured("fashion_mnist/tuned", "rsgdm")[:, -1]
    _says(
        f"rsgdm − sgdm is {_interval(rsgdm - calm['sgdm'])} and nesterov − sgdm "
        f"{_interval(calm['nesterov'] - calm['sgdm'])}."
    )


def test_sgdm_at_its_tuned_rate_and_at_the_calm_one():
    tuned = _measured("fashion_mnist/tuned", "sgdm")
    gain = (_measured("fashion_mnist/calm", "sgdm") - tuned)[:, -1]
    swing = np.ptp(tuned[:, -3:], axis=1).mean()
    _says(f"reach {tuned[:, -1].mean():.1f} %, and a run swings by {swing:.1f} points on average")
    _says(f"sgdm reaches {gain.mean():.1f} points more, which ten pairs do not establish")
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
    _says(
        f"swings by {spans.max():.0f} points in its last three epochs; the {len(spans) - 1} others"
    )
    by_epoch = _fashion("calm", "rsgdm", "sgdm")[:, -3:].mean(axis=0)
    _says("rsgdm leads by {:.2f}, {:.2f} and {:.2f} points".format(*by_epoch))


def test_pairs_at_the_papers_rate():
    rsgdm, nesterov = (
        np.sort(_fashion("ema", name, "sgdm")[:, -1]) for name in ("rsgdm", "nesterov")
    )
    _says(f"and nesterov by {nesterov.mean():.2f}.")
    _says(f"two of rsgdm's ten pairs differ by {rsgdm[-2]:.2f} and {rsgdm[-1]:.2f} points,")
    _says(f"the other eight by {_signed(rsgdm[0])} to {_signed(rsgdm[-3])}.")
    # All 2¹⁰ changes of sign.
    signs = 1 - 2 * (np.arange(2**10)[:, None] >> np.arange(10) & 1)
    means = np.abs(signs @ nesterov)
    p = np.mean(means >= abs(nesterov.sum()) * (1 - 1e-9))
    _says(f"has p = {p:.3f}. One of its pairs differs by {nesterov[-1]:.2f},")
    _says(f"the others by {_signed(nesterov[0])} to {_signed(nesterov[-2])}.")
    low, high = stats.ttest_1samp(nesterov, 0).confidence_interval(0.95)
    assert low < 0 < high


def test_what_the_lead_at_the_papers_rate_is_worth():
    lead = -_fashion("ema", "rsgdm", "sgdm", "test_loss").mean(axis=0)
    loss = _measured("fashion_mnist/ema", "sgdm", "test_loss").mean(axis=0)
    _says(
        f"rsgdm leads by {lead[0]:.4f} after the first epoch and by {lead[-1]:.4f} after the last"
    )
    _says(f"still falls by {loss[-2] - loss[-1]:.4f} in its last epoch")
    assert lead[-1] < (loss[-2] - loss[-1]) / 2
    gains = np.diff(_measured("fashion_mnist/ema", "sgdm").mean(axis=0))
    _says(f"sgdm gains {gains[-2]:.2f} and {gains[-1]:.2f} points in its last two epochs")


def test_at_ten_times_that_rate():
    accuracy = _fashion("heavy_ball", "rsgdm", "sgdm")
    loss = -_fashion("heavy_ball", "rsgdm", "sgdm", "test_loss")[:, -1].mean()
    whole = _measured("fashion_mnist/heavy_ball", "sgdm", "test_loss")[:, -1].mean()
    _says(f"In the mean of the last three it is ahead by {accuracy[:, -3:].mean():.2f}, and")
    _says(f"In loss it is ahead by {loss:.4f} of {whole:.2f}.")
    nesterov = _fashion("heavy_ball", "nesterov", "sgdm")[:, -1]
    assert np.std(nesterov) / np.std(accuracy[:, -1]) == pytest.approx(2, abs=0.1)


def test_an_early_look_at_eight_of_ten_seeds():
    pairs = _fashion("tuned", "rsgdm", "nesterov")[:, -1]
    # Of each half of five seeds the last was missing.
    early = np.delete(pairs, [4, 9])
    _says(f"of nesterov by {_interval(early)[1:].replace(' [', ' points [')}; with ten it is")
    _says(f"with ten it is {_interval(pairs)}, and at 0.8 nesterov")
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
        assert all(np.median(steps[:, of]) > 0.95 for of in (slice(29, 59), slice(59, None)))
    _says(f"cosine is {median['rsgdm']:.1f} for rsgdm and {median['sgdm']:.1f} for sgdm)")
    _says("From step 31 on it is above 0.95")

"""The numbers in the text of docs/results.md, outside its tables, from the runs themselves."""

import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsgdm_optax import linear, rsadam
from tests.train.documents import paragraph, shows
from train.report.statistics import detectable

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "results" / "annealed"
TEXT = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.slow  # it reads every run


def _runs(study, arm, rate=None):
    """An arm's runs by seed, read by nothing of the program's."""
    packed = json.loads((RESULTS / f"{study}.json").read_text())
    runs = [packed["settings"] | run["settings"] | run for run in packed["runs"]]
    chosen = [run for run in runs if run["arm"] == arm and rate in (None, run["learning_rate"])]
    return sorted(chosen, key=lambda run: run["seed"])


def _losses(study, arm, rate=None):
    return np.array([run["metrics"]["train_loss"][-1] for run in _runs(study, arm, rate)])


def _accuracies(study, arm, rate=None):
    """In per cent."""
    return np.array([100 * run["result"]["test_accuracy"] for run in _runs(study, arm, rate)])


def _points_ahead(study, arm, rate=None, other="sgdm"):
    """Mean difference of test accuracy, in points."""
    return float(np.mean(_accuracies(study, arm, rate) - _accuracies(study, other, rate)))


def _percent_below(study, rate):
    """How far rsgdm's loss is below sgdm's, by the mean lead."""
    return 100 * (1 - np.exp(-_lead(study, "rsgdm", "sgdm", rate)))


def _lead(study, one, other, rate=None):
    return float(np.mean(np.log(_losses(study, other, rate) / _losses(study, one, rate))))


# phrase of its paragraph → the leads that must stand in it: study, arms, rate
RATES, DECAY, BEST, CIFAR = "digits/rates", "digits/decay", "digits/best", "cifar10/rates"
LEADS = {
    "On digits rsgdm's lead over sgdm is": [
        (RATES, "rsgdm", "sgdm", rate) for rate in (0.1, 0.4, 1.6, 6.4)
    ],
    "On CIFAR-10 the lead is": [(CIFAR, "rsgdm", "sgdm", rate) for rate in (0.1, 0.4, 1.6)],
    "On digits there is no lead at β = 0.5": [(DECAY, "r50", "s50", rate) for rate in (0.4, 1.6)],
    "has this order and these signs": [
        ("cifar10/decay", "r50", "s50", 1.6),
        (CIFAR, "rsgdm", "sgdm", 1.6),
        ("cifar10/decay", "r97", "s97", 1.6),
    ],
    "at α = 0.1 c = 4 leads": [(RATES, "c4", "rsgdm", 0.1)],
    "of loss at the end": [(RATES, "nesterov", "rsgdm", 0.1)],
    "On CIFAR-10 the end is": [(CIFAR, "nesterov", "rsgdm", 0.1)],
    "Each at its own best rate**, chosen": [
        (BEST, arm, "sgdm", None) for arm in ("rsgdm", "nesterov")
    ],
    "best rate of four": [("cifar10/best", arm, "sgdm", None) for arm in ("rsgdm", "nesterov")],
    "future work, is ahead of": [
        ("digits/adam", "rsadam", other, None) for other in ("adam", "nadam")
    ],
    "best rate is 0.004 for all three": [
        ("cifar10/adam", "rsadam", other, None) for other in ("adam", "nadam")
    ],
    "rsadam and nadam at one rate": [
        ("digits/adam_equal", "rsadam", "nadam", rate) for rate in (0.004, 0.008, 0.016)
    ],
    "**9. Longer training.**": [("cifar10/longer", "rsgdm", "sgdm", None)],
    "So the gap between": [(BEST, arm, "sgdm", None) for arm in ("rsgdm", "nesterov")],
}


@pytest.mark.parametrize("phrase", LEADS)
def test_leads(phrase):
    text = paragraph(TEXT, phrase)
    for lead in LEADS[phrase]:
        assert shows(text, _lead(*lead), 3), f"no lead of {lead} in: {text}"


def test_the_answer_in_ten_lines():
    summary = TEXT[: TEXT.index("[The plan]")].strip()
    assert len(_lines(summary)) <= 1 + 10  # with the title
    equal = paragraph(summary, "**At equal rates**")
    for study in (RATES, CIFAR):
        for rate in (0.1, 1.6):
            assert shows(equal, _percent_below(study, rate), 0)
    best = paragraph(summary, "**Each at its own best rate**")
    for study, arm in (("cifar10/best", "rsgdm"), ("cifar10/best", "nesterov"), (BEST, "rsgdm")):
        assert shows(best, _points_ahead(study, arm), 2)


def test_the_texts_intervals_stand_in_the_tables():
    written = re.compile(r"<!-- results: .*?<!-- end of results -->", re.S)
    interval = re.compile(r"\[([+−-]?[\d.]+), ([+−-]?[\d.]+)\]")
    tables, prose = (
        {tuple(float(end.replace("−", "-")) for end in ends) for ends in interval.findall(text)}
        for text in ("".join(written.findall(TEXT)), written.sub("", TEXT))
    )
    assert prose <= tables
    assert prose


def _lines(text):
    return [line for line in text.splitlines() if line]


def test_the_readme():
    section = README[README.index("## Does it help?") : README.index("![Leads over sgdm")]
    assert len(_lines(section)) <= 1 + 12
    equal, best = (paragraph(README, f"**{kind} rates.**") for kind in ("Equal", "Best"))
    for study in (RATES, CIFAR):
        for rate in (0.1, 1.6):
            assert shows(equal, _percent_below(study, rate), 0)
    for arm in ("rsgdm", "nesterov"):
        assert shows(best, _points_ahead("cifar10/best", arm), 1)
    assert shows(best, _accuracies("cifar10/best", "rsgdm").mean(), 0)
    assert shows(best, _accuracies("cifar10/longer", "rsgdm").mean(), 0)
    assert shows(best, _points_ahead("cifar10/longer", "rsgdm"), 1)
    largest = max(
        abs(_points_ahead(RATES, arm, rate))
        for arm, most in (("rsgdm", 6.4), ("nesterov", 6.4), ("c2", 1.6), ("c4", 1.6))
        for rate in (0.1, 0.4, 1.6, 6.4)
        if rate <= most
    )
    assert 0.3 < largest < 0.4
    assert shows(best, 0.4, 1)


@pytest.mark.parametrize("arm", ["rsgdm", "nesterov"])
@pytest.mark.parametrize("rate", [0.1, 0.4, 1.6])
def test_accuracy_on_cifar10(arm, rate):
    assert shows(paragraph(TEXT, "On CIFAR-10 the lead is"), _points_ahead(CIFAR, arm, rate), 2)


@pytest.mark.parametrize("arm", ["s80", "s87"])
def test_other_decays_on_cifar10(arm):
    ours, theirs = _losses(CIFAR, "rsgdm", 1.6), _losses("cifar10/other", arm)
    assert shows(paragraph(TEXT, "a smaller β does not replace"), np.log(theirs / ours).mean(), 3)


@pytest.mark.parametrize("rate", [0.1, 1.6])
def test_a_larger_correction_on_cifar10(rate):
    ours, theirs = _losses("cifar10/correction", "c4", rate), _losses(CIFAR, "rsgdm", rate)
    assert shows(paragraph(TEXT, "weight c = 4 gains nothing"), np.log(theirs / ours).mean(), 3)


@pytest.mark.parametrize("a", [0.1, 0.4, 1.0, 1.6])
def test_the_order_of_theory_with_beta(a):
    """With a = αλ: sgdm's variance over rsgdm's is below 1 at β = 0.5, and grows with β."""
    gains = [
        linear.stationary_variance(linear.sgdm(decay), 1.0, a)
        / linear.stationary_variance(linear.rsgdm(decay), 1.0, a)
        for decay in (0.5, 0.9, 0.97)
    ]
    assert gains[0] < 1 < gains[1] < gains[2]


@pytest.mark.parametrize("arm", ["rsgdm", "nesterov"])
def test_accuracy_at_best_rates_on_cifar10(arm):
    assert shows(paragraph(TEXT, "best rate of four"), _points_ahead("cifar10/best", arm), 2)


@pytest.mark.parametrize(
    ("study", "phrase"), [(RATES, "steps after epoch 1"), (CIFAR, "On CIFAR-10 the end is")]
)
def test_steps_behind(study, phrase):
    ours, theirs = (_runs(study, arm, 0.1) for arm in ("rsgdm", "nesterov"))
    steps = []
    for one, other in zip(ours, theirs, strict=True):
        first, second, *_ = other["metrics"]["train_loss"]
        fall = (first - second) / other["metrics"]["step"][0]
        steps.append((one["metrics"]["train_loss"][0] - first) / fall)
    assert shows(paragraph(TEXT, phrase), np.mean(steps), 2)


@pytest.mark.parametrize("rate", [0.002, 0.004, 0.008, 0.016, 0.032, 0.064])
def test_rsadam_and_nadam_at_one_rate(rate):
    losses = [_losses("tuning/digits_adam", arm, rate) for arm in ("nadam", "rsadam")]
    leads = np.log(losses[0] / losses[1])
    text = paragraph(TEXT, "In the tuning, at equal rates")
    for value in (leads.mean(), leads.std(ddof=1)):
        assert shows(text, value, 3), f"no {value} in: {text}"
    assert (leads.min() > 0) == (rate == 0.004)


def test_longer_training():
    text = paragraph(TEXT, "**9. Longer training.**")
    assert shows(text, _points_ahead("cifar10/longer", "rsgdm"), 2)
    after = {}
    for study in ("cifar10/best", "cifar10/longer"):
        accuracies = [_accuracies(study, arm)[:7] for arm in ("rsgdm", "sgdm")]
        after[study] = accuracies[0] - accuracies[1]
    for each in accuracies:
        assert shows(text, each.mean(), 1)
    contrast = after["cifar10/longer"] - after["cifar10/best"]
    assert shows(text, contrast.mean(), 2)
    assert shows(text, detectable(7, contrast.std(ddof=1), 0.05 / 3), 1)
    for arm in ("sgdm", "nesterov"):  # the lowest and the highest
        accuracy = _accuracies("cifar10/best", arm).mean()
        assert shows(paragraph(TEXT, "best rate of four"), accuracy, 1)


def test_rsadam_on_cifar10():
    text = paragraph(TEXT, "best rate is 0.004 for all three")
    seeds = {}
    for other in ("adam", "nadam"):
        losses = [_losses("cifar10/adam", arm) for arm in (other, "rsadam")]
        seeds[other] = int(np.sum(losses[0] > losses[1]))
        assert shows(text, _points_ahead("cifar10/adam", "rsadam", other=other), 2)
        assert shows(text, seeds[other], 0)
    assert seeds == {"adam": 5, "nadam": 4}
    assert {run["learning_rate"] for run in _runs("cifar10/adam", "nadam")} == {0.004}


def test_the_first_steps_of_nadam_are_longer():
    text = paragraph(TEXT, "rsadam and nadam at one rate")
    for optimizer, is_longer in ((optax.nadam(1.0), True), (rsadam(1.0), False)):
        state = optimizer.init(jnp.zeros(()))
        for _ in range(3):
            update, state = optimizer.update(jnp.ones(()), state)
            assert shows(text, -float(update), 2) if is_longer else update == pytest.approx(-1)


def test_nadams_gain_from_its_rate():
    low, high = (_losses("tuning/digits_adam", "nadam", rate) for rate in (0.004, 0.016))
    assert shows(paragraph(TEXT, "leads nadam at 0.004"), np.log(low / high).mean(), 3)


def test_the_test_loss_at_best_rates():
    losses = [
        np.array([run["result"]["test_loss"] for run in _runs(BEST, arm)])
        for arm in ("rsgdm", "sgdm")
    ]
    text = paragraph(TEXT, "Its test loss is higher")
    assert shows(text, np.log(losses[0] / losses[1]).mean(), 3)


@pytest.mark.parametrize("dataset", ["cifar10", "digits"])
def test_the_hours_of_training(dataset):
    seconds = 0.0
    for path in RESULTS.glob("*/*.json"):
        packed = json.loads(path.read_text())
        for run in packed["runs"]:
            run = packed["settings"] | run["settings"] | run
            if run["dataset"] != dataset:
                continue
            steps, speeds = (run["metrics"][name] for name in ("step", "images_per_second"))
            images = run["batch_size"] * steps[0]  # an epoch's
            seconds += sum(images / speed for speed in speeds if speed)
    assert shows(paragraph(TEXT, "hours of training"), seconds / 3600, 1)


def test_the_pilot():
    losses = [_losses("tuning/digits_linear", arm, 1.6) for arm in ("sgdm", "rsgdm")]
    leads = np.log(losses[0] / losses[1])
    text = paragraph(TEXT, "The pilot's figures")
    for value in (leads.mean(), leads.std(ddof=1)):
        assert shows(text, value, 2), f"no {value} in: {text}"


def test_sharpness_beside_the_stable_limits():
    text = paragraph(TEXT, "No difference was shown, and one of")
    for rate in (1.6, 6.4):
        eigenvalues = {}
        for method in (linear.sgdm(0.9), linear.rsgdm(0.9)):
            arm = "rsgdm" if method.correction else "sgdm"
            files = sorted((RESULTS / "sharpness" / f"digits-{rate}").glob(f"{arm}-*.json"))
            eigenvalues[arm] = np.array([json.loads(f.read_text())["eigenvalue"] for f in files])
            assert shows(text, method.stability_limit / rate, 1)
            share = 100 * eigenvalues[arm].max() / (method.stability_limit / rate)
            assert share < 100
            if (arm, rate) == ("rsgdm", 6.4):
                assert shows(text, share, 0)
        ratios = eigenvalues["sgdm"] / eigenvalues["rsgdm"]
        assert len(ratios) == 5
        error = ratios.std(ddof=1) / 5**0.5
        assert abs(ratios.mean() - 1) < 2 * error < 2.8 - ratios.mean()

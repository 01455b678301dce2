"""The numbers in the text of docs/results.md, outside its tables, from the runs themselves."""

import json
import re

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsgdm_optax import linear, rsadam
from tests.train.documents import paragraph, shows
from tests.train.report import raw_results as raw
from train.report.statistics import detectable

TEXT = (raw.ROOT / "docs" / "results.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.slow  # it reads every run


# phrase of its paragraph → the leads that must stand in it: study, arms, rate
LEADS = {
    "On digits rsgdm's lead over sgdm is": [
        (raw.RATES, "rsgdm", "sgdm", rate) for rate in (0.1, 0.4, 1.6, 6.4)
    ],
    "On CIFAR-10 the lead is": [(raw.CIFAR, "rsgdm", "sgdm", rate) for rate in (0.1, 0.4, 1.6)],
    "On digits there is no lead at β = 0.5": [
        (raw.DECAY, "r50", "s50", rate) for rate in (0.4, 1.6)
    ],
    "has this order and these signs": [
        ("cifar10/decay", "r50", "s50", 1.6),
        (raw.CIFAR, "rsgdm", "sgdm", 1.6),
        ("cifar10/decay", "r97", "s97", 1.6),
    ],
    "at α = 0.1 c = 4 leads": [(raw.RATES, "c4", "rsgdm", 0.1)],
    "of loss at the end": [(raw.RATES, "nesterov", "rsgdm", 0.1)],
    "On CIFAR-10 the end is": [(raw.CIFAR, "nesterov", "rsgdm", 0.1)],
    "Each at its own best rate**, chosen": [
        (raw.BEST, arm, "sgdm", None) for arm in ("rsgdm", "nesterov")
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
    "So the gap between": [(raw.BEST, arm, "sgdm", None) for arm in ("rsgdm", "nesterov")],
}


@pytest.mark.parametrize("phrase", LEADS)
def test_leads(phrase):
    text = paragraph(TEXT, phrase)
    for lead in LEADS[phrase]:
        assert shows(text, raw.lead(*lead), 3), f"no lead of {lead} in: {text}"


def test_the_answer_in_ten_lines():
    summary = TEXT[: TEXT.index("[The plan]")].strip()
    assert len(raw.lines(summary)) <= 1 + 10  # with the title
    equal = paragraph(summary, "**At equal rates**")
    for study in (raw.RATES, raw.CIFAR):
        for rate in (0.1, 1.6):
            assert shows(equal, raw.percent_below(study, rate), 0)
    best = paragraph(summary, "**Each at its own best rate**")
    for study, arm in (
        ("cifar10/best", "rsgdm"),
        ("cifar10/best", "nesterov"),
        (raw.BEST, "rsgdm"),
    ):
        assert shows(best, raw.points_ahead(study, arm), 2)


def test_the_texts_intervals_stand_in_the_tables():
    written = re.compile(r"<!-- results: .*?<!-- end of results -->", re.S)
    prose = set(raw.intervals(written.sub("", TEXT)))
    assert prose
    assert prose <= set(raw.intervals("".join(written.findall(TEXT))))


@pytest.mark.parametrize("arm", ["rsgdm", "nesterov"])
@pytest.mark.parametrize("rate", [0.1, 0.4, 1.6])
def test_accuracy_on_cifar10(arm, rate):
    assert shows(
        paragraph(TEXT, "On CIFAR-10 the lead is"), raw.points_ahead(raw.CIFAR, arm, rate), 2
    )


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_where_rsgdm_is_behind(dataset):
    """Nesterov at the smallest rate, and ahead of it at none; sgdm at β = 0.5 and α = 1.6."""

    def ends(arms):
        rows = re.findall(rf"^\| {dataset} \| {arms}, α = ([\d.]+) (\|.*)$", TEXT, re.M)
        return {float(rate): raw.intervals(row)[0] for rate, row in rows}

    nesterov, half = ends("rsgdm over nesterov"), ends("r50 over s50")
    assert len(nesterov) >= 3
    assert all(low < 0 for low, _ in nesterov.values())
    assert [rate for rate, (_, high) in nesterov.items() if high < 0] == [min(nesterov)]
    assert half[1.6][1] < 0


@pytest.mark.parametrize("arm", ["s80", "s87"])
def test_other_decays_on_cifar10(arm):
    ours, theirs = raw.losses(raw.CIFAR, "rsgdm", 1.6), raw.losses("cifar10/other", arm)
    assert shows(paragraph(TEXT, "a smaller β does not replace"), np.log(theirs / ours).mean(), 3)


@pytest.mark.parametrize("rate", [0.1, 1.6])
def test_a_larger_correction_on_cifar10(rate):
    ours, theirs = (
        raw.losses("cifar10/correction", "c4", rate),
        raw.losses(raw.CIFAR, "rsgdm", rate),
    )
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
    assert shows(paragraph(TEXT, "best rate of four"), raw.points_ahead("cifar10/best", arm), 2)


@pytest.mark.parametrize(
    ("study", "phrase"),
    [(raw.RATES, "steps after epoch 1"), (raw.CIFAR, "On CIFAR-10 the end is")],
)
def test_steps_behind(study, phrase):
    ours, theirs = (raw.runs(study, arm, 0.1) for arm in ("rsgdm", "nesterov"))
    steps = []
    for one, other in zip(ours, theirs, strict=True):
        first, second, *_ = other["metrics"]["train_loss"]
        fall = (first - second) / other["metrics"]["step"][0]
        steps.append((one["metrics"]["train_loss"][0] - first) / fall)
    assert shows(paragraph(TEXT, phrase), np.mean(steps), 2)


@pytest.mark.parametrize("rate", [0.002, 0.004, 0.008, 0.016, 0.032, 0.064])
def test_rsadam_and_nadam_at_one_rate(rate):
    losses = [raw.losses("tuning/digits_adam", arm, rate) for arm in ("nadam", "rsadam")]
    leads = np.log(losses[0] / losses[1])
    text = paragraph(TEXT, "In the tuning, at equal rates")
    for value in (leads.mean(), leads.std(ddof=1)):
        assert shows(text, value, 3), f"no {value} in: {text}"
    assert (leads.min() > 0) == (rate == 0.004)


def test_longer_training():
    text = paragraph(TEXT, "**9. Longer training.**")
    assert shows(text, raw.points_ahead("cifar10/longer", "rsgdm"), 2)
    after = {}
    for study in ("cifar10/best", "cifar10/longer"):
        accuracies = [raw.accuracies(study, arm)[:7] for arm in ("rsgdm", "sgdm")]
        after[study] = accuracies[0] - accuracies[1]
    for each in accuracies:
        assert shows(text, each.mean(), 1)
    contrast = after["cifar10/longer"] - after["cifar10/best"]
    assert shows(text, contrast.mean(), 2)
    assert shows(text, detectable(7, contrast.std(ddof=1), 0.05 / 3), 1)
    for arm in ("sgdm", "nesterov"):  # the lowest and the highest
        accuracy = raw.accuracies("cifar10/best", arm).mean()
        assert shows(paragraph(TEXT, "best rate of four"), accuracy, 1)


def test_rsadam_on_cifar10():
    text = paragraph(TEXT, "best rate is 0.004 for all three")
    seeds = {}
    for other in ("adam", "nadam"):
        losses = [raw.losses("cifar10/adam", arm) for arm in (other, "rsadam")]
        seeds[other] = int(np.sum(losses[0] > losses[1]))
        assert shows(text, raw.points_ahead("cifar10/adam", "rsadam", other=other), 2)
        assert shows(text, seeds[other], 0)
    assert seeds == {"adam": 5, "nadam": 4}
    assert {run["learning_rate"] for run in raw.runs("cifar10/adam", "nadam")} == {0.004}


def test_the_first_steps_of_nadam_are_longer():
    text = paragraph(TEXT, "rsadam and nadam at one rate")
    for optimizer, is_longer in ((optax.nadam(1.0), True), (rsadam(1.0), False)):
        state = optimizer.init(jnp.zeros(()))
        for _ in range(3):
            update, state = optimizer.update(jnp.ones(()), state)
            assert shows(text, -float(update), 2) if is_longer else update == pytest.approx(-1)


def test_rsadams_two_best_rates():
    means = {
        rate: np.mean(
            [
                run["result"]["validation_accuracy"]
                for run in raw.runs("tuning/digits_adam", "rsadam", rate)
            ]
        )
        for rate in (0.002, 0.004, 0.008, 0.016, 0.032, 0.064)
    }
    assert (
        means[0.004] == pytest.approx(means[0.016], rel=1e-12) == pytest.approx(max(means.values()))
    )


def test_nadams_gain_from_its_rate():
    low, high = (raw.losses("tuning/digits_adam", "nadam", rate) for rate in (0.004, 0.016))
    assert shows(paragraph(TEXT, "leads nadam at 0.004"), np.log(low / high).mean(), 3)


def test_the_test_loss_at_best_rates():
    losses = [
        np.array([run["result"]["test_loss"] for run in raw.runs(raw.BEST, arm)])
        for arm in ("rsgdm", "sgdm")
    ]
    text = paragraph(TEXT, "Its test loss is higher")
    assert shows(text, np.log(losses[0] / losses[1]).mean(), 3)


@pytest.mark.parametrize("dataset", ["cifar10", "digits"])
def test_the_hours_of_training(dataset):
    seconds = 0.0
    for path in raw.RESULTS.glob("*/*.json"):
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
    losses = [raw.losses("tuning/digits_linear", arm, 1.6) for arm in ("sgdm", "rsgdm")]
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
            files = sorted((raw.RESULTS / "sharpness" / f"digits-{rate}").glob(f"{arm}-*.json"))
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

"""The rules of the predictions, on made-up studies whose answers are known."""

import itertools
import math
import shutil

import numpy as np
import pytest

from tests.train.made_up import write_run
from tests.train.report.made_up_studies import RATES, SEEDS, at_rates, data_set, write_study
from train.report.documents import predictions
from train.report.documents.leads import Cell, DataSet
from train.report.documents.results import Study


@pytest.mark.parametrize("arm", ["s50", "r50", "sgdm", "r97"])
def test_pairs_that_diverged_were_run(arm, tmp_path):
    """Of contrasts as well: the verdict does not wait for them for ever."""
    rates = at_rates(sgdm=[0.0] * 4, rsgdm=[-0.2] * 4)
    decay = {("s50", 0.4): 1.0, ("r50", 0.4): 0.9, ("s97", 0.4): 2.0, ("r97", 0.4): 1.7}
    write_study(tmp_path / "rates", rates)
    write_study(tmp_path / "decay", decay)
    folder = tmp_path / ("rates" if arm == "sgdm" else "decay")
    (run,) = folder.glob(f"{arm}-rate0.4-seed3" if arm == "sgdm" else f"{arm}-seed3")
    shutil.rmtree(run)
    write_run(folder, arm, 3, None, learning_rate=0.4)
    data = DataSet({name: Study(tmp_path / name) for name in ("rates", "decay")})
    answer = predictions.larger_decays(data, 0.3)
    assert min(row.difference.n for row in answer.rows) == len(SEEDS) - 1
    assert answer.verdict(len(SEEDS), 2) == "holds"
    assert answer.verdict(len(SEEDS), 4) == "2 of 4 tests run"
    # Of runs that are not there, it does wait, be it one test alone that lacks them.
    shutil.rmtree(run)
    data = DataSet({name: Study(tmp_path / name) for name in ("rates", "decay")})
    assert predictions.larger_decays(data, 0.3).verdict(len(SEEDS), 2) == "7 of 8 pairs run"


def test_studies_that_are_not_there_are_not_asked_for(tmp_path):
    data = data_set(tmp_path, correction={("c4", 0.1): 0.0})
    assert _verdict(predictions.larger_corrections, data) is None
    data = data_set(tmp_path, rates={("sgdm", 6.4): 0.0, ("rsgdm", 6.4): 0.0})
    assert _verdict(predictions.larger_rates, data) is None


def _verdict(prediction, data):
    answer = prediction(data, 0.3)
    return None if answer is None else answer.verdict(len(SEEDS), len(answer.rows))


# losses of rsgdm by rate, sgdm's being 0 → the verdict on the first prediction
LARGER_RATES = {
    (-0.1, -0.2, -0.3, -0.1): "holds",
    (-0.3, -0.2, -0.1, -0.1): "refuted",  # it shrinks
    (-0.1, 0.2, -0.3, -0.1): "refuted",  # it is behind at one
    (-0.1, -0.2, -0.3, 0.0): "undecided",
}


@pytest.mark.parametrize("losses", LARGER_RATES)
def test_larger_rates(losses, tmp_path):
    data = data_set(tmp_path, rates=at_rates(sgdm=[0.0] * 4, rsgdm=losses))
    assert _verdict(predictions.larger_rates, data) == LARGER_RATES[losses]


@pytest.mark.parametrize(
    ("leads", "verdict"),
    [((0.1, 0.2, 0.3), "holds"), ((0.1, 0.2, 0.15), "refuted"), ((0.2, 0.2, 0.3), "undecided")],
)
def test_larger_decays(leads, verdict, tmp_path):
    small, usual, large = leads
    rates = at_rates(sgdm=[0.0] * 4, rsgdm=[-usual] * 4)
    decay = {("s50", 0.4): 1.0, ("r50", 0.4): 1.0 - small}
    decay |= {("s97", 0.4): 2.0, ("r97", 0.4): 2.0 - large}
    # Arms that are not sgdm scatter alike, so their leads do not scatter at all.
    data = data_set(tmp_path, rates=rates, decay=decay)
    assert _verdict(predictions.larger_decays, data) == verdict
    assert _verdict(predictions.larger_decays, data_set(tmp_path / "b", rates=rates)) is None


@pytest.mark.parametrize(
    ("c2", "c4", "verdict"),
    [
        ((-0.4, -0.1), (-0.1, None), "holds"),  # one beats at α = 0.1; the other diverges at 6.4
        ((-0.1, -0.1), (-0.1, -0.1), "refuted"),  # both are behind at 0.1
        ((-0.4, -0.4), (-0.4, -0.1), "refuted"),  # one beats at 6.4
        ((-0.2, -0.1), (-0.2, -0.1), "undecided"),
    ],
)
def test_larger_corrections(c2, c4, verdict, tmp_path):
    cells = at_rates(sgdm=[0.0] * 4, rsgdm=[-0.2] * 4)
    for arm, (small, large) in (("c2", c2), ("c4", c4)):
        cells |= {(arm, 0.1): small, (arm, 6.4): large}
    data = data_set(tmp_path, rates=cells)
    assert _verdict(predictions.larger_corrections, data) == verdict


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ((0.0, 0.0, 0.0, 0.0), "holds"),
        ((0.0, 0.0, 0.0, -0.3), "refuted"),
        ((0.0, 0.0, 0.0, -0.19), "refuted"),  # equal within the margin
        ((0.0, 0.0, 0.0, None), "holds"),  # one that diverged does not match rsgdm
    ],
)
def test_other_decays(losses, verdict, tmp_path):
    cells = at_rates(sgdm=[0.0] * 4, rsgdm=[-0.2] * 4)
    cells |= dict(zip(itertools.product(("s80", "s87"), (1.6, 6.4)), losses, strict=True))
    data = data_set(tmp_path, rates=cells)
    assert _verdict(predictions.other_decays, data) == verdict


@pytest.mark.parametrize(
    ("accuracy", "lead", "verdict"),
    [(0.9005, 0.1, "holds"), (0.91, 0.1, "refuted"), (0.9005, -0.1, "refuted")],
)
def test_best_rates(accuracy, lead, verdict, tmp_path):
    cells = {("sgdm", 1.6): 0.0, ("rsgdm", 0.8): -lead, ("nesterov", 1.6): -lead}
    folder = write_study(tmp_path / "best", cells, accuracy={"rsgdm": accuracy})
    data = DataSet({"best": Study(folder)})
    assert _verdict(predictions.best_rates, data) == verdict


def test_best_rates_whose_accuracies_scatter(tmp_path):
    """Points of −2 to 2, so that no margin of 0.3 can be shown."""
    write_study(tmp_path / "best", {("sgdm", 1.6): 0.0, ("nesterov", 1.6): -0.1})
    for seed in SEEDS:
        accuracy = 0.9 + (-1) ** seed * 0.02
        loss = math.exp(-0.1 + (seed % 3 - 1) / 1000)
        write_run(
            tmp_path / "best", "rsgdm", seed, accuracy, train_loss=2 * loss, learning_rate=0.8
        )
    data = DataSet({"best": Study(tmp_path / "best")})
    assert _verdict(predictions.best_rates, data) == "undecided"


@pytest.mark.parametrize(
    ("losses", "accuracies", "verdict"),
    [
        ((-0.1, -0.1), (0.9, 0.9), "holds"),
        ((-0.1, -0.1), (0.91, 0.91), "holds"),
        ((-0.1, 0.2), (0.9, 0.9), "undecided"),  # not nadam's loss
        ((-0.1, -0.1), (0.91, 0.9), "undecided"),  # not nadam's accuracy
        ((0.1, 0.1), (0.9, 0.9), "refuted"),  # behind adam in loss
        ((-0.1, -0.1), (0.89, 0.89), "refuted"),  # behind adam in accuracy
    ],
)
def test_adam(losses, accuracies, verdict, tmp_path):
    """Of rsadam and nadam, adam's being 0 and 0.9."""
    ours = ("rsadam", "nadam")
    cells = {("adam", 0.01): 0.0} | {
        (arm, 0.01): loss for arm, loss in zip(ours, losses, strict=True)
    }
    accuracy = dict(zip(ours, accuracies, strict=True))
    data = DataSet({"adam": Study(write_study(tmp_path / "adam", cells, accuracy=accuracy))})
    assert _verdict(predictions.adam, data) == verdict
    assert _verdict(predictions.best_rates, data) is None


def test_adam_whose_accuracies_scatter(tmp_path):
    """Points of −2 to 2: that rsadam is not behind by 0.3 cannot be shown."""
    folder = write_study(tmp_path / "adam", {("rsadam", 0.01): -0.1, ("nadam", 0.01): -0.1})
    for seed in SEEDS:
        accuracy = 0.9 + (-1) ** seed * 0.02
        write_run(folder, "adam", seed, accuracy, train_loss=2.0, learning_rate=0.01)
    assert _verdict(predictions.adam, DataSet({"adam": Study(folder)})) == "undecided"


@pytest.mark.parametrize(
    ("leads", "verdict"),
    [
        ((0.1, 0.2, 0.1), "holds"),
        ((0.1, 0.2, -0.1), "refuted"),
        ((0.01, 0.01, 0.01), "refuted"),  # all of them are within the margin
        ((0.1, 0.2, 0.0), "undecided"),
    ],
)
def test_adam_at_equal_rates(leads, verdict, tmp_path):
    cells = {("nadam", rate): 0.0 for rate in RATES[:3]}
    cells |= {("rsadam", rate): -lead for rate, lead in zip(RATES, leads, strict=False)}
    # The best rates of another study are no part of it.
    data = data_set(tmp_path, adam_equal=cells, adam={("rsadam", 0.1): 9.0, ("nadam", 0.4): 0.0})
    assert _verdict(predictions.adam_at_equal_rates, data) == verdict
    rows = predictions.adam_at_equal_rates(data, 0.3).rows
    assert [row.pairs.name.partition(",")[0] for row in rows] == [
        *["rsadam over nadam"] * 3,
        *["rsadam − nadam"] * 3,
    ]


@pytest.mark.parametrize(
    ("short", "long", "verdict"),
    [(0.92, 0.91, "holds"), (0.91, 0.92, "refuted"), (0.91, 0.91, "undecided")],
)
def test_longer_training(short, long, verdict, tmp_path):
    cells = {("sgdm", 0.8): 0.0, ("rsgdm", 1.6): -0.1}
    studies = {
        name: Study(
            write_study(tmp_path / name, cells, accuracy={"rsgdm": accuracy}, epochs=epochs)
        )
        for name, accuracy, epochs in (("best", short, 2), ("longer", long, 3))
    }
    assert _verdict(predictions.longer_training, DataSet(studies)) == verdict
    contrast, after, lead = predictions.longer_training(DataSet(studies), 0.5).rows
    assert contrast.difference.mean == pytest.approx(100 * (long - short), abs=1e-9)
    assert after.difference.mean == pytest.approx(100 * (long - 0.9), rel=1e-9)
    assert lead.difference.mean == pytest.approx(0.1, abs=1e-2)
    assert contrast.pairs.name.startswith("rsgdm − sgdm after 3 epochs minus that after 2, ")


def test_the_lost_gradient_in_steps(tmp_path):
    """Losses 2 and 1 of nesterov: 0.1 a step of ten. rsgdm's 2.1 are one step behind."""
    for seed in SEEDS:
        write_run(tmp_path / "rates", "nesterov", seed, 0.9, train_loss=2.0, learning_rate=0.1)
        write_run(tmp_path / "rates", "rsgdm", seed, 0.9, train_loss=2.02, learning_rate=0.1)
    data = DataSet({"rates": Study(tmp_path / "rates")})
    pairs = data.steps_behind(Cell("rsgdm", 0.1), Cell("nesterov", 0.1))
    np.testing.assert_allclose(list(pairs.by_seed.values()), 0.2, rtol=1e-12)
    answer = predictions.lost_gradient(data, 0.3)
    assert [row.difference.n for row in answer.rows] == [8, 8]
    assert answer.verdict(8, 2) == "undecided"  # a fifth of a step; ln 1.01 is within the margin


@pytest.mark.parametrize(
    ("steps", "lead", "verdict"),
    [
        (0.6, 0.0, "holds"),
        (1.4, 0.01, "holds"),
        (0.4, 0.0, "undecided"),  # behind by less than the lost gradient
        (1.6, 0.0, "undecided"),  # by more
        (-1.0, 0.0, "refuted"),  # ahead in the first epoch
        (1.0, -0.04, "refuted"),  # still behind at the end
        (1.0, 0.04, "refuted"),  # or ahead
    ],
)
def test_lost_gradient(steps, lead, verdict, tmp_path):
    for seed in SEEDS:
        write_run(tmp_path / "rates", "nesterov", seed, 0.9, train_loss=2.0, learning_rate=0.1)
        write_run(
            tmp_path / "rates",
            "rsgdm",
            seed,
            0.9,
            train_loss=2.0 + 0.1 * steps,
            last_loss=math.exp(-lead + (seed % 3 - 1) / 1000),
            learning_rate=0.1,
        )
    data = DataSet({"rates": Study(tmp_path / "rates")})
    assert _verdict(predictions.lost_gradient, data) == verdict

"""The verdicts on the second plan's predictions, from made-up studies whose answers are known."""

import itertools
import math
import shutil

import numpy as np
import pytest
from scipy import stats

from rsgdm_optax import linear
from tests.train.made_up import write_run
from train.report.documents import predictions
from train.report.documents.lead_figures import stable_limit, variance
from train.report.documents.leads import Cell, DataSet, Pairs, family
from train.report.documents.results import Results, Study
from train.report.pack import pack

SEEDS = range(8)


def _study(folder, cells, **settings):
    """A study whose log losses are those of the cells (arm, rate), scattered a little by seed."""
    for (arm, rate), log_loss in cells.items():
        for seed in SEEDS:
            scatter = (seed % 3 - 1) / 1000 * (1 if arm == "sgdm" else -1)
            loss = None if log_loss is None else math.exp(log_loss + scatter)
            write_run(
                folder,
                arm,
                seed,
                None if loss is None else settings.get("accuracy", {}).get(arm, 0.9),
                train_loss=2 * (loss or 1.0),  # of epoch 1; that of epoch 2 is half of it
                learning_rate=rate,
            )
    return folder


def _data_set(tmp_path, **studies):
    return DataSet({name: Study(_study(tmp_path / name, cells)) for name, cells in studies.items()})


RATES = (0.1, 0.4, 1.6, 6.4)


def _rates(**of_arm):
    return {
        (arm, rate): value
        for arm, values in of_arm.items()
        for rate, value in zip(RATES, values, strict=True)
    }


def test_a_lead_is_the_ratio_of_losses(tmp_path):
    data = _data_set(tmp_path, rates=_rates(sgdm=[0.5] * 4, rsgdm=[0.2, 0.1, 0.0, 0.5]))
    pairs = data.leads(Cell("rsgdm", 0.1), Cell("sgdm", 0.1))
    expected = [0.3 + 2 * (seed % 3 - 1) / 1000 for seed in SEEDS]
    assert list(pairs.by_seed) == list(SEEDS)
    np.testing.assert_allclose(list(pairs.by_seed.values()), expected, rtol=1e-12)
    assert pairs.name == "rsgdm over sgdm, α = 0.1"
    assert data.rates("rsgdm", "sgdm") == list(RATES)
    assert data.has(Cell("rsgdm", 6.4))
    assert not data.has(Cell("rsgdm", 3.2))


def test_a_family_is_judged_as_one():
    """Against SciPy's exact permutation test, and Holm's method by hand."""
    random = np.random.default_rng(0)
    members = [
        Pairs(name, dict(enumerate(random.normal(mean, 1, 8))))
        for name, mean in (("near", 0.7), ("far", 3.0))
    ]
    near, far = family(members)
    for tested in (near, far):
        values = list(tested.pairs.by_seed.values())
        exact = stats.permutation_test(
            (values,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert tested.p == pytest.approx(exact.pvalue, rel=1e-12)
    assert far.adjusted == 2 * far.p
    assert near.adjusted == max(near.p, far.adjusted)
    assert far.is_above
    assert not far.is_below


def test_a_run_that_diverged_counts_as_behind():
    """By as much as the farthest pair; where both diverged, the pair counts for nothing."""
    leads = {seed: 1 + seed / 10 for seed in range(8)}
    pairs = Pairs("", leads, behind=frozenset({8}), ahead=frozenset({9}), lost=frozenset({10}))
    assert (pairs.run, pairs.diverged) == (11, 3)
    assert pairs.counted().by_seed == leads | {8: -1.7, 9: 1.7}
    assert pairs.counted().run == 11
    whole, broken = (family([each])[0] for each in (Pairs("", leads), pairs.counted()))
    assert whole.is_above
    assert broken.difference.mean == pytest.approx(sum(leads.values()) / 10)


@pytest.mark.parametrize("arm", ["s50", "r50", "sgdm", "r97"])
def test_pairs_that_diverged_were_run(arm, tmp_path):
    """Of contrasts as well: the verdict does not wait for them for ever."""
    rates = _rates(sgdm=[0.0] * 4, rsgdm=[-0.2] * 4)
    decay = {("s50", 0.4): 1.0, ("r50", 0.4): 0.9, ("s97", 0.4): 2.0, ("r97", 0.4): 1.7}
    _study(tmp_path / "rates", rates)
    _study(tmp_path / "decay", decay)
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
    data = _data_set(tmp_path, correction={("c4", 0.1): 0.0})
    assert _verdict(predictions.larger_corrections, data) is None
    data = _data_set(tmp_path, rates={("sgdm", 6.4): 0.0, ("rsgdm", 6.4): 0.0})
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
    data = _data_set(tmp_path, rates=_rates(sgdm=[0.0] * 4, rsgdm=losses))
    assert _verdict(predictions.larger_rates, data) == LARGER_RATES[losses]


@pytest.mark.parametrize(
    ("leads", "verdict"),
    [((0.1, 0.2, 0.3), "holds"), ((0.1, 0.2, 0.15), "refuted"), ((0.2, 0.2, 0.3), "undecided")],
)
def test_larger_decays(leads, verdict, tmp_path):
    small, usual, large = leads
    rates = _rates(sgdm=[0.0] * 4, rsgdm=[-usual] * 4)
    decay = {("s50", 0.4): 1.0, ("r50", 0.4): 1.0 - small}
    decay |= {("s97", 0.4): 2.0, ("r97", 0.4): 2.0 - large}
    # Arms that are not sgdm scatter alike, so their leads do not scatter at all.
    data = _data_set(tmp_path, rates=rates, decay=decay)
    assert _verdict(predictions.larger_decays, data) == verdict
    assert _verdict(predictions.larger_decays, _data_set(tmp_path / "b", rates=rates)) is None


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
    cells = _rates(sgdm=[0.0] * 4, rsgdm=[-0.2] * 4)
    for arm, (small, large) in (("c2", c2), ("c4", c4)):
        cells |= {(arm, 0.1): small, (arm, 6.4): large}
    data = _data_set(tmp_path, rates=cells)
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
    cells = _rates(sgdm=[0.0] * 4, rsgdm=[-0.2] * 4)
    cells |= dict(zip(itertools.product(("s80", "s87"), (1.6, 6.4)), losses, strict=True))
    data = _data_set(tmp_path, rates=cells)
    assert _verdict(predictions.other_decays, data) == verdict


@pytest.mark.parametrize(
    ("accuracy", "lead", "verdict"),
    [(0.9005, 0.1, "holds"), (0.91, 0.1, "refuted"), (0.9005, -0.1, "refuted")],
)
def test_best_rates(accuracy, lead, verdict, tmp_path):
    cells = {("sgdm", 1.6): 0.0, ("rsgdm", 0.8): -lead, ("nesterov", 1.6): -lead}
    folder = _study(tmp_path / "best", cells, accuracy={"rsgdm": accuracy})
    data = DataSet({"best": Study(folder)})
    assert _verdict(predictions.best_rates, data) == verdict


def test_best_rates_whose_accuracies_scatter(tmp_path):
    """Points of −2 to 2, so that no margin of 0.3 can be shown."""
    _study(tmp_path / "best", {("sgdm", 1.6): 0.0, ("nesterov", 1.6): -0.1})
    for seed in SEEDS:
        accuracy = 0.9 + (-1) ** seed * 0.02
        loss = math.exp(-0.1 + (seed % 3 - 1) / 1000)
        write_run(
            tmp_path / "best", "rsgdm", seed, accuracy, train_loss=2 * loss, learning_rate=0.8
        )
    data = DataSet({"best": Study(tmp_path / "best")})
    assert _verdict(predictions.best_rates, data) == "undecided"


@pytest.mark.parametrize(
    ("rsadam", "nadam", "verdict"),
    [(-0.1, -0.1, "holds"), (-0.1, 0.2, "undecided"), (0.1, 0.1, "refuted")],
)
def test_adam(rsadam, nadam, verdict, tmp_path):
    cells = {("adam", 0.01): 0.0, ("rsadam", 0.01): rsadam, ("nadam", 0.01): nadam}
    data = _data_set(tmp_path, adam=cells)
    assert _verdict(predictions.adam, data) == verdict
    assert _verdict(predictions.best_rates, data) is None


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
    data = _data_set(tmp_path, adam_equal=cells, adam={("rsadam", 0.1): 9.0, ("nadam", 0.4): 0.0})
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
        name: Study(_study(tmp_path / name, cells, accuracy={"rsgdm": accuracy}))
        for name, accuracy in (("best", short), ("longer", long))
    }
    assert _verdict(predictions.longer_training, DataSet(studies)) == verdict
    contrast, after, lead = predictions.longer_training(DataSet(studies), 0.5).rows
    assert contrast.difference.mean == pytest.approx(100 * (long - short), abs=1e-9)
    assert after.difference.mean == pytest.approx(100 * (long - 0.9), rel=1e-9)
    assert lead.difference.mean == pytest.approx(0.1, abs=1e-2)


def test_longer_runs_are_not_among_the_others(tmp_path):
    """They have the same arms and rates, after more epochs."""
    data = _data_set(
        tmp_path,
        best={("sgdm", 0.8): 0.0, ("rsgdm", 0.8): -0.1},
        longer={("sgdm", 0.8): 0.0, ("rsgdm", 0.8): -0.5},
    )
    both = Cell("rsgdm", 0.8), Cell("sgdm", 0.8)
    assert np.mean(list(data.leads(*both).by_seed.values())) == pytest.approx(0.1, abs=1e-2)
    long = data.leads(*both, "longer")
    assert np.mean(list(long.by_seed.values())) == pytest.approx(0.5, abs=1e-2)


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


@pytest.mark.parametrize("correction", [0.0, 0.9, 2.0, 4.0])
def test_the_curve_is_the_librarys(correction):
    method = linear.rsgdm(0.9, correction)
    assert stable_limit(correction) == pytest.approx(method.stability_limit, rel=1e-12)
    a = np.linspace(0.01, 0.99 * method.stability_limit, 20)
    expected = a * linear.stationary_variance(method, 1.0, a)  # α = 1, λ = a
    np.testing.assert_allclose(variance(correction, a), expected, rtol=1e-10)


def test_the_tables(tmp_path, monkeypatch):
    cells = _rates(sgdm=[0.0] * 4, rsgdm=[-0.1, -0.2, -0.3, None])
    pack([_study(tmp_path / "study", cells)], tmp_path / "results" / "digits" / "rates.json")
    results = Results(tmp_path / "results")
    assert "| 8 of 30 pairs run | not run |\n" in predictions.verdicts(results)
    # Of part of the pairs there is no mean and no p.
    assert "rsgdm over sgdm, α = 0.1 | 8 | not finished |  |  |" in predictions.tests(results)
    plan = predictions.PLANS["digits"]
    monkeypatch.setitem(predictions.PLANS, "digits", plan._replace(pairs=(8,) * 9))
    lines = predictions.verdicts(results).splitlines()
    assert len(lines) == 2 + len(predictions.PREDICTIONS)
    assert lines[2].startswith("| 1. At equal α rsgdm's training loss is below sgdm's, ")
    assert lines[2].endswith("| undecided | not run |")
    assert lines[3].endswith("| not run | not run |")
    assert lines[-1].endswith("| not planned | not run |")
    rows = predictions.tests(results).splitlines()[2:]
    assert len(rows) == 5
    assert "| 1 | digits | rsgdm over sgdm, α = 0.1 | 8 | +0.100 [+0." in rows[0]
    assert "| 8, 8 diverged | no pair |" in rows[3]
    assert "the lead at 1.6 minus that at 0.1 | 8 | +0.200 [" in rows[4]

"""Leads, and the tests of a family of them, from made-up studies whose leads are known."""

import numpy as np
import pytest
from scipy import stats

from tests.train.report.made_up_studies import RATES, SEEDS, at_rates, data_set, write_study
from train.report.documents.leads import Cell, DataSet, Pairs, family
from train.report.documents.results import Study


def test_a_lead_is_the_ratio_of_losses(tmp_path):
    data = data_set(tmp_path, rates=at_rates(sgdm=[0.5] * 4, rsgdm=[0.2, 0.1, 0.0, 0.5]))
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


def test_longer_runs_are_not_among_the_others(tmp_path):
    """They have the same arms and rates, after more epochs."""
    short, long = ({("sgdm", 0.8): 0.0, ("rsgdm", 0.8): -lead} for lead in (0.1, 0.5))
    data = DataSet(
        {
            "best": Study(write_study(tmp_path / "best", short)),
            "longer": Study(write_study(tmp_path / "longer", long, epochs=3)),
        }
    )
    assert (data.epochs("best"), data.epochs("longer")) == (2, 3)
    both = Cell("rsgdm", 0.8), Cell("sgdm", 0.8)
    for name, lead in ((None, 0.1), ("best", 0.1), ("longer", 0.5)):
        leads = data.leads(*both, name).by_seed.values()
        assert np.mean(list(leads)) == pytest.approx(lead, abs=1e-2)

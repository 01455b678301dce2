"""The verdict: one sentence a comparison, which cannot contradict its interval or its p value."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from train.common.errors import InputError
from train.report.scores import Measure, Score, Scores, comparisons
from train.report.tables import tabulate_scores
from train.report.verdict import Pairs, compare

ACCURACY = Measure("accuracy", "higher", "points of accuracy", "%", scale=100, digits=2)
LOSS = Measure("loss", "lower", "in loss")
MARGIN = 0.003


def _pairs(points, measure=ACCURACY, name="rsgdm", rate=None):
    differences = np.asarray(points, float) / measure.scale
    return Pairs(name, "sgdm", rate, measure, list(differences), [0.0] * len(differences), 0)


def _one(points, measure=ACCURACY, margin=MARGIN):
    (found,) = compare([_pairs(points, measure)], margin)
    return found


SPREAD = np.array([-3, -2, -1, 0, 0, 1, 2, 3]) / 100


@pytest.mark.parametrize(
    ("points", "verdict", "is_equivalent"),
    [
        (1 + SPREAD, "better", False),
        (-1 + SPREAD, "worse", False),
        (0.1 + SPREAD, "better", True),
        (-0.1 + SPREAD, "worse", True),
        (0.31 + SPREAD, "better", False),
        (SPREAD, "equivalent", True),
        (0.1 + 30 * SPREAD, "undecided", False),
        # Ten pairs of which one is far off: the mean alone is large.
        ([0.01] * 4 + [-0.01] * 5 + [9.0], "undecided", False),
        # Too few pairs for any direction; five are enough for a one-sided test at 5 %.
        (1 + SPREAD[:5], "undecided", False),
        (0.01 + SPREAD[:5], "equivalent", True),
        (0.01 + SPREAD[:4], "undecided", False),
        ([1.0] * 8, "better", False),
        ([1.0] * 5, "undecided", False),
        ([0.0] * 8, "equivalent", True),
        ([1.0], "undecided", False),
        ([], "undecided", False),
    ],
)
def test_verdicts(points, verdict, is_equivalent):
    found = _one(points)
    assert (found.verdict, found.is_equivalent) == (verdict, is_equivalent)
    # For a measure of which less is better, direction turns and nothing else does.
    turned = compare([_pairs(np.asarray(points) / 100, LOSS)], MARGIN)[0]
    opposite = {"better": "worse", "worse": "better"}
    assert turned.verdict == opposite.get(verdict, verdict)
    assert turned.is_equivalent == is_equivalent


def _said(points, measure=ACCURACY, margin=MARGIN):
    return _one(points, measure, margin).sentence().removeprefix("rsgdm against sgdm: ")


def test_sentences_have_the_numbers_of_their_comparison():
    # Of eight pairs the interval's ends are the sixth means of subsets from both sides.
    assert _said(1 + SPREAD) == "better by 1.00 [0.98, 1.02] points of accuracy."
    assert _said(-1 + SPREAD) == "worse by 1.00 [0.98, 1.02] points of accuracy."
    assert _said((1 + SPREAD), LOSS, None).startswith("worse by 1.0000 [0.98")
    assert _said((-1 + SPREAD), LOSS, None).startswith("better by 1.0000 [0.98")
    # At 90 % it is the twelfth: the mean of −3, −2, 2 and others.
    within = "equivalent within ±0.3 points of accuracy: [-0.01, 0.01] at 90 %."
    assert _said(SPREAD) == within
    also = _said(0.1 + SPREAD)
    assert also.startswith("better by 0.10 [0.08, 0.12] points of accuracy, but equivalent within")
    assert also.endswith(": [0.09, 0.11] at 90 %.")
    assert "5 pairs cannot show anything at 95 %; at least 6 are needed." in _said(1 + SPREAD[:5])
    assert "1 pair cannot show anything at 95 %" in _said([1.0])
    assert _said([]) == "undecided in accuracy: there is no pair."
    assert _said([0.0] * 8, margin=None) == "undecided in accuracy: no pair differs."
    found = _one(0.1 + 30 * SPREAD)
    assert _said(0.1 + 30 * SPREAD) == (
        f"undecided: an effect of {100 * found.detectable:.2f} or more points of accuracy would "
        "have been seen with 80 % power."
    )


def test_an_undecided_effect_is_never_larger_than_the_one_that_would_have_been_seen():
    points = [1, 1, 1, 1, 1, -0.01]  # far from normal: the t test's power says little
    found = _one(points)
    assert found.verdict == "undecided"
    assert found.difference.mean > found.detectable
    assert _said(points) == "undecided: between -0.01 and 1.00 points of accuracy."


scores = st.lists(
    st.one_of(st.integers(-4, 6).map(float), st.floats(-2, 3, allow_subnormal=False)),
    min_size=0,
    max_size=10,
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(scores, min_size=1, max_size=4), st.sampled_from([ACCURACY, LOSS]))
def test_no_contradiction_within_a_family(family, measure):
    """Sentence, interval and adjusted p say the same."""
    for each in compare([_pairs(points, measure) for points in family], 1.0 / measure.scale):
        low, high = each.difference.low, each.difference.high
        excludes = low is not None and (low > 0 or high < 0)
        assert excludes == (each.verdict in ("better", "worse"))
        assert excludes == (each.adjusted is not None and each.adjusted <= 0.05)
        if excludes:
            side = 1 if low > 0 else -1
            assert side * each.difference.mean > 0
            assert (side * measure.sign > 0) == (each.verdict == "better")
        ends = each.equivalence.low, each.equivalence.high
        inside = None not in ends and -each.margin < ends[0] <= ends[1] < each.margin
        assert (
            inside == each.is_equivalent or 1 - max(map(abs, ends)) * measure.scale < 1e-6
        )  # a tie
        said = each.sentence().removeprefix("rsgdm against sgdm: ")
        assert said.startswith(each.verdict)
        assert each.is_equivalent == ("equivalent" in said)


def test_a_family_is_adjusted_for_its_size():
    clear = _pairs(np.arange(1.0, 7))  # p = 2/64
    tie = _pairs([1.0, -1, 1, -1])
    none = _pairs([])
    assert compare([clear])[0].verdict == "better"
    found = compare([clear, tie, none])
    assert [each.p for each in found] == [0.03125, 1, None]
    assert [each.adjusted for each in found] == [
        0.0625,
        1,
        None,
    ]  # of two: what has no pair is no test
    assert [each.verdict for each in found] == ["undecided"] * 3
    assert found[0].difference.low is None  # 2/64 is more than 2.5 %
    assert "at 97.5 %; at least 7 are needed" in found[0].sentence()


@pytest.mark.parametrize("count", [1, 3])
def test_a_family_is_wrong_in_at_most_5_of_100_studies(count):
    rng = np.random.default_rng(count)
    studies, wrong = 300, {"direction": 0, "equivalent": 0}
    for _ in range(studies):
        noise = rng.normal(0, 0.1, (count, 8))
        found = compare([_pairs(each) for each in noise], MARGIN)
        wrong["direction"] += any(each.verdict in ("better", "worse") for each in found)
        # At the margin itself the true difference is not within it.
        at = compare([_pairs(each + 100 * MARGIN) for each in noise], MARGIN)
        wrong["equivalent"] += any(each.is_equivalent for each in at)
    for times in wrong.values():
        assert stats.binomtest(times, studies, 0.05, alternative="greater").pvalue > 0.001, wrong
        assert times > 0.01 * studies  # the level is made use of


def _scores(*runs):
    made = tuple(Score(arm, rate, seed, {"loss": value}) for arm, rate, seed, value in runs)
    return Scores("", (LOSS,), made)


def test_pairs_are_seeds_that_both_have_and_that_did_not_diverge():
    runs = [("a", None, seed, 5.0 + seed) for seed in (1, 2, 3, 10)]
    runs += [("b", None, seed, 1.0 * seed) for seed in (10, 9, 3, 2)]
    scores = _scores(*runs)
    (pairs,) = Pairs.of(scores, ("a", "b"), LOSS)
    assert (pairs.ours, pairs.theirs, pairs.diverged) == ([7, 8, 15], [2, 3, 10], 0)
    diverged = Scores("", (LOSS,), (*scores.runs[:-1], Score("b", None, 2, {})))
    (pairs,) = Pairs.of(diverged, ("a", "b"), LOSS)
    assert (pairs.ours, pairs.diverged) == ([8, 15], 1)


def test_arms_of_several_rates_are_compared_at_each_rate_that_both_have():
    runs = [("a", rate, seed, rate) for rate in (0.1, 0.2, 0.4) for seed in range(2)]
    runs += [("b", rate, seed, 2 * rate) for rate in (0.4, 0.1, 0.8) for seed in range(2)]
    runs += [("c", 0.3, seed, 0.0) for seed in range(2)]
    scores = _scores(*runs)
    assert [pairs.rate for pairs in Pairs.of(scores, ("b", "a"), LOSS)] == [0.1, 0.4]
    assert Pairs.of(scores, ("c", "a"), LOSS) == []
    one = _scores(*[run for run in runs if run[:2] in (("a", 0.2), ("c", 0.3))])
    (pairs,) = Pairs.of(one, ("c", "a"), LOSS)  # each its own rate
    assert (pairs.theirs, pairs.rate) == ([0.2, 0.2], None)
    (found, _) = compare(Pairs.of(scores, ("b", "a"), LOSS))
    assert found.name == "b − a, rate 0.1"
    assert found.sentence().startswith("b against a, rate 0.1: ")


def test_the_comparisons_that_count():
    def of(*arms):
        return _scores(*((arm, None, 0, 1.0) for arm in arms))

    three = of("x", "sgdm", "y")
    assert comparisons(three, None, None) == [("x", "sgdm"), ("y", "sgdm")]
    assert comparisons(three, "y", None) == [("x", "y"), ("sgdm", "y")]
    assert comparisons(of("x", "y"), None, None) == [("y", "x")]
    assert comparisons(of("x"), None, None) == []
    assert comparisons(three, None, ["y:x", "x:sgdm"]) == [("y", "x"), ("x", "sgdm")]


@pytest.mark.parametrize(
    ("baseline", "compare", "why"),
    [
        ("z", None, "--baseline: 'z' is no arm of Table 2; allowed: x, y, w"),
        (None, ["x:z"], "--compare: 'z' is no arm of Table 2; allowed: x, y, w"),
        (None, ["x"], r"--compare: 'x' is not two arms A:B"),
        (None, [":y"], r"--compare: ':y' is not two arms A:B"),
        (None, ["x:x"], r"--compare: 'x:x' is not two arms A:B"),
        (None, ["x:y", "y:x"], r"--compare: 'y:x' is given twice"),
        (
            None,
            ["x:w"],
            r"--compare: 'x:w' of Table 2: no learning rate in common; x has 0.1, w has 0.2, 0.4",
        ),
    ],
)
def test_comparisons_of_what_is_not_there(baseline, compare, why):
    runs = [("x", 0.1, 0, 1.0), ("y", 0.1, 0, 1.0), ("w", 0.2, 0, 1.0), ("w", 0.4, 0, 1.0)]
    with pytest.raises(InputError, match=f"^{re.escape(why)}$"):
        comparisons(_scores(*runs), baseline, compare, "Table 2: digits")


def test_arms_without_a_rate_in_common_are_named():
    runs = [("sgdm", rate, seed, rate) for rate in (0.1, 0.2) for seed in range(8)]
    runs += [("mine", 0.4, seed, 0.0) for seed in range(8)]
    table = tabulate_scores(_scores(*runs), "title", None)
    assert table.comparisons == []
    note = (
        "Not compared: mine with sgdm, no learning rate in common; mine has 0.4, sgdm has 0.1, 0.2."
    )
    assert note in table.notes()


def test_comparisons_without_a_pair_are_not_counted():
    runs = [("sgdm", 0.1, seed, 1.0 + seed / 10) for seed in range(8)]
    runs += [("a", 0.1, seed, seed / 10) for seed in range(8)]
    scores = _scores(*runs)
    lost = tuple(Score("lost", 0.1, seed, {}) for seed in range(8))
    with_lost = Scores("", (LOSS,), (*scores.runs, *lost))
    inference = tabulate_scores(with_lost, "title", None).notes()[1]
    assert "p adjusted for the 1 comparison of a measure" in inference
    only_lost = Scores("", (LOSS,), (*scores.runs[:8], *lost))
    table = tabulate_scores(only_lost, "title", None)
    assert table.verdicts() == ["lost against sgdm: undecided in loss: there is no pair."]
    assert not any("Holm" in note for note in table.notes())


def test_what_is_equivalent_is_said_where_no_direction_can_be():
    # Five pairs show no direction at any level, and with one comparison an equivalence.
    runs = [
        (arm, rate, seed, 1.0 + seed)
        for arm in ("x", "y")
        for rate in (0.1, 0.2)
        for seed in range(5)
    ]
    runs = [run for run in runs if run[:2] != ("y", 0.2)]
    (said,) = tabulate_scores(_scores(*runs), "title", 0.5).verdicts()
    assert said.startswith(
        "y against x, rate 0.1: equivalent within ±0.5 in loss: [0.0000, 0.0000]"
    )

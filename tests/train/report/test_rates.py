"""Each arm's best rate, and how often it is best when the seeds are drawn again."""

import pytest

from train.report.rates import best_rates
from train.report.scores import Measure, Score, Scores
from train.report.tables import tabulate_scores

LOSS = Measure("loss", "lower", "in loss")


def _scores(table, measures=(LOSS,)):
    """Arm → rate → values, by seed; None diverged."""
    runs = [
        Score(arm, rate, seed, {} if value is None else dict.fromkeys(["loss"], value))
        for arm, cells in table.items()
        for rate, values in cells.items()
        for seed, value in enumerate(values)
    ]
    return Scores("", measures, tuple(runs))


def test_best_rates_and_how_often_each_wins():
    scores = _scores(
        {
            "clear": {0.1: [3, 3, 3, 3], 0.2: [1, 1, 1, 1], 0.4: [2, 2, 2, 2]},
            # The second is better but for one seed; it loses where that seed is drawn twice or
            # more of four times: 1 − (3/4)⁴ − 4·(1/4)·(3/4)³ = 0.2617.
            "unsure": {0.1: [1, 1, 1, 1], 0.2: [0, 0, 0, 3.5]},
            "diverging": {0.1: [5, 5, 5, 5], 0.2: [1, 1, 1, None]},
            "lost": {0.1: [None, None], 0.2: [None, None]},
        }
    )
    clear, unsure, diverging, lost = best_rates(scores)
    assert (clear.rate, clear.wins, clear.at_end) == (0.2, {0.2: 1.0}, False)
    assert (unsure.rate, unsure.at_end, unsure.seeds) == (0.2, True, 4)
    # Four standard deviations of 10,000 draws.
    assert unsure.wins[0.1] == pytest.approx(0.2617, abs=0.018)
    assert sum(unsure.wins.values()) == pytest.approx(1)
    assert best_rates(scores)[1] == unsure
    # It can win only where its diverged run is not drawn: (3/4)⁴.
    assert diverging.rate == 0.1
    assert diverging.wins[0.2] == pytest.approx(0.3164, abs=0.019)
    assert (lost.rate, lost.wins) == (None, {})


def test_equal_rates_are_told_apart_by_the_next_measure_else_the_lower_is_best():
    accuracy = Measure("accuracy", "higher", "points")
    runs = [
        Score(arm, rate, seed, {"accuracy": value, "loss": loss})
        for arm, loss_of in (("a", {0.1: 2.0, 0.2: 1.0}), ("b", {0.1: 1.0, 0.2: 1.0}))
        for rate, loss in loss_of.items()
        # Equal means, though not in floating point.
        for seed, value in enumerate((0.7, 0.1) if rate == 0.1 else (0.6, 0.2))
    ]
    found = best_rates(Scores("", (accuracy, LOSS), tuple(runs)))
    assert [each.rate for each in found] == [0.2, 0.1]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (2, "2 seeds can be drawn in 3 ways only"),
        (4, "4 seeds can be drawn in 35 ways only"),
        (5, ""),
    ],
)
def test_few_seeds_say_little_of_a_best_rate(seeds, said):
    scores = _scores({"a": {0.1: [1.0] * seeds, 0.2: [2.0] * seeds}})
    notes = " ".join(tabulate_scores(scores, "title", None, []).rate_notes())
    assert said in notes
    assert ("can be drawn in" in notes) == bool(said)

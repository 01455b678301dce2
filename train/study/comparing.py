"""Which comparisons a study asks for, and whether it has the seeds that they need."""

from collections.abc import Sequence

from train.common.errors import InputError
from train.report.scores import Score, Scores, comparisons, count_text
from train.report.statistics import least_pairs
from train.runs.settings import RunConfig
from train.study.config import StudySettings


def check_comparisons(study: StudySettings) -> None:
    """Raises `InputError` if a comparison that is asked for cannot be made."""
    if study.baseline is not None and study.compare:
        raise InputError("compare: not together with baseline; each names the comparisons")
    runs = [Score(arm.name, rate, 0, {}) for arm in study.arms for rate in study.rates(arm.name)]
    comparisons(Scores("", (), tuple(runs)), study.baseline, study.compare or None)


def too_few_seeds(study: StudySettings, runs: Sequence[RunConfig]) -> str | None:
    """One line, if so few seeds cannot show any difference, however large; else None.

    Args:
      study: the comparisons.
      runs: all runs that the report will be on.
    """
    scores = Scores("", (), tuple(Score(r.arm, r.learning_rate, r.seed, {}) for r in runs))
    pairs = [
        len(scores.cell(arm, ours).keys() & scores.cell(other, theirs).keys())
        for arm, other in comparisons(scores, study.baseline, study.compare or None)
        for ours, theirs in scores.matched(arm, other)
    ]
    if not pairs or max(pairs) >= least_pairs(len(pairs)):
        return None
    return (
        f"{count_text(max(pairs), 'seed')} cannot show any difference: "
        f"{count_text(len(pairs), 'comparison')} a measure, so at least {least_pairs(len(pairs))} "
        "seeds are needed"
    )

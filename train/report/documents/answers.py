"""What the studies say of each prediction: the verdicts, and every test behind them."""

from collections.abc import Sequence

from train.report.cells import difference_text, markdown_table, p_text
from train.report.documents.leads import DataSet, Tested
from train.report.documents.predictions import MARGINS, PREDICTIONS
from train.report.documents.results import Results

_HEADER = ["prediction", "data", "", "pairs", "mean [interval]", "p", "Holm"]


def data_sets(results: Results) -> dict[str, DataSet]:
    """The studies by data set."""
    return {
        name: DataSet(
            {
                place.removeprefix(f"{name}/"): study
                for place, study in results.studies.items()
                if place.startswith(f"{name}/")
            }
        )
        for name in MARGINS
    }


def verdicts(results: Results) -> str:
    """A line a prediction: what it says, and the verdict on each data set."""
    sets, lines = data_sets(results), []
    for number, (rule, planned) in enumerate(PREDICTIONS, 1):
        said = (rule.__doc__ or "").strip()
        words = []
        for name, data in sets.items():
            if name not in planned:
                words.append("not planned")
                continue
            answer = rule(data, MARGINS[name])
            words.append("not run" if answer is None else answer.verdict(*planned[name]))
        lines.append([f"{number}. {said}", *words])
    return markdown_table(["prediction", *MARGINS], lines)


def tests(results: Results) -> str:
    """Every test behind the verdicts; of what is not finished, how many pairs there are."""
    sets, lines = data_sets(results), list[Sequence[str]]()
    for number, (rule, planned) in enumerate(PREDICTIONS, 1):
        for name in planned:
            answer = rule(sets[name], MARGINS[name])
            if answer is None:
                continue
            is_finished = not answer.missing(*planned[name])
            lines += [
                [f"{number}", name, *_cells(row, is_finished=is_finished)] for row in answer.rows
            ]
    return markdown_table(_HEADER, lines)


def _cells(row: Tested, *, is_finished: bool) -> list[str]:
    pairs = f"{row.pairs.run}"
    if row.pairs.diverged:
        pairs += f", {row.pairs.diverged} diverged"
    if not is_finished:  # a look at part of the pairs would be one test more
        return [row.pairs.name, pairs, "not finished", "", ""]
    digits = 2 if "points" in row.pairs.name or "steps" in row.pairs.name else 3
    shown = map(p_text, (row.p, row.adjusted))
    return [row.pairs.name, pairs, difference_text(row.difference, 1, digits), *shown]

"""Comparisons that no prediction names, each tested alone: they were chosen after a look."""

from collections.abc import Iterator

from train.report.cells import difference_text, markdown_table, p_text
from train.report.documents.answers import data_sets
from train.report.documents.leads import Cell, DataSet, Pairs, family
from train.report.documents.results import Results

_HEADER = ["data", "", "pairs", "mean [95 % interval]", "p"]


def unplanned(results: Results) -> str:
    """A line a comparison, with no adjustment for the others."""
    lines = []
    for name, data in data_sets(results).items():
        for pairs in _comparisons(data):
            (row,) = family([pairs])
            digits = 2 if "points" in pairs.name else 3
            mean = difference_text(row.difference, 1, digits)
            lines.append([name, pairs.name, f"{row.difference.n}", mean, p_text(row.p)])
    return markdown_table(_HEADER, lines)


def _comparisons(data: DataSet) -> Iterator[Pairs]:
    rsgdm, others = data.rates("rsgdm", "sgdm"), ("rsgdm", "nesterov")
    for rate in data.rates("rsgdm", "nesterov"):
        yield data.leads(Cell("rsgdm", rate), Cell("nesterov", rate))
    for arm in others:
        for rate in data.rates(arm, "sgdm"):
            yield data.accuracies(Cell(arm, rate), Cell("sgdm", rate))
    for ours, theirs in (("r50", "s50"), ("r97", "s97")):
        for rate in data.rates(ours, theirs, "decay"):
            yield data.leads(Cell(ours, rate), Cell(theirs, rate))
    for cell in (Cell(arm, rate) for rate in rsgdm for arm in ("s80", "s87")):
        if data.has(cell):
            yield data.accuracies(Cell("rsgdm", cell.rate), cell)
    if data.has(*map(Cell, ("sgdm", *others)), study="best"):
        for loss in ("clean_train_loss", "test_loss"):
            for arm in others:
                yield data.leads(Cell(arm), Cell("sgdm"), "best", loss)

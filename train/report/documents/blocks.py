"""The text that documents take from results/: one function a block."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from train.report.documents import experiments, figures
from train.report.documents.figures import Gallery
from train.report.documents.last_epochs import CONTROL, last_epochs
from train.report.documents.results import Results, Study, measured_on
from train.report.rates import rate_table
from train.report.report import Report, curves
from train.report.statistics import BASELINE, Difference
from train.report.tables import difference_text, markdown_table, paired
from train.report.verdict import PRIMARY
from train.runs.measurements import BIAS_VARIANCE, NESTEROV_DISTANCE

_NOTHING = "*Nothing has been run yet.*"


def summary(results: Results, gallery: Gallery) -> str:
    """Every optimizer of every study in a line, and all differences in a figure."""
    if not results.studies:
        return _NOTHING
    header = ["study", "optimizer", "rate α", "seeds", "accuracy %", f"− {BASELINE} [95 %]"]
    lines = [line for name, study in results.studies.items() for line in _lines(name, study)]
    tables = {name: study.table for name, study in results.studies.items()}
    figure = gallery.show(
        "differences",
        "Paired differences of accuracy with their 95 % intervals",
        partial(figures.differences, tables, BASELINE),
    )
    (points,) = {table.margin_points for table in tables.values()}
    note = (
        "Accuracy of the last epoch, mean ± standard deviation over seeds. Differences are paired "
        f"by seed, in points. Verdict: direction; size against a margin of ±{points:g} points."
    )
    return f"{markdown_table([*header, 'verdict'], lines)}\n\n{note}\n\n{figure}"


def _lines(name: str, study: Study) -> list[list[str]]:
    table = study.table
    differences = {cells[0]: cells[3] for cells in table.comparison_cells() if cells[1] != "loss"}
    verdicts = {
        comparison.optimizer: f"{comparison.direction}; {comparison.size}"
        for comparison in table.comparisons
    }
    ours = {row.optimizer for row in table.rows}  # the paper's lines are left out
    return [
        [name, *cells[:4], differences.get(cells[0], ""), verdicts.get(cells[0], "")]
        for cells in table.cells()
        if cells[0] in ours
    ]


def studies(results: Results, gallery: Gallery) -> str:
    """Each study's report, where it was made, and its learning curves."""
    blocks = []
    for name, study in results.studies.items():
        report = Report(Path(), [study.merged], [study.table]).markdown()
        report += _to_nesterov(study)
        where = f"{measured_on(study.environments)} Training took {_duration(study.seconds)}."
        pictures = " ".join(_curves(name, study, what, gallery) for what in ("accuracy", "loss"))
        blocks.append(f"### {name}\n\n{report}\n{where}\n\n{pictures}")
    return "\n\n".join(blocks) or _NOTHING


def _to_nesterov(study: Study) -> str:
    """RSGDM's differences to Nesterov's, where both had one rate: theory says that they are one."""
    if not study.share_rate(PRIMARY, CONTROL):
        return ""
    runs = study.merged.by_optimizer()
    pairs = paired(runs[PRIMARY], runs[CONTROL], study.table.evaluation)
    accuracy = difference_text(Difference.of(pairs.accuracy), 100, 2)
    loss = difference_text(Difference.of(pairs.loss), 1, 4)
    return (
        f"\n{PRIMARY} − {CONTROL}, at one rate, {len(pairs.accuracy)} pairs, not tested: "
        f"{accuracy} points of accuracy, {loss} in loss.\n"
    )


def _curves(name: str, study: Study, what: str, gallery: Gallery) -> str:
    evaluation = study.table.evaluation
    shown = curves(study.merged, evaluation)[f"{evaluation}_{what}"]
    return gallery.show(
        f"{name.replace('/', '-')}-{what}",
        f"{name}: {evaluation} {what} against epochs",
        partial(figures.learning_curve, shown, evaluation, what),
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def tuning(results: Results, _gallery: Gallery) -> str:
    """The rates that were tried, and the best of each optimizer."""
    blocks = []
    for name, by_rate in results.tuning.items():
        rates = sorted(by_rate)
        table = rate_table(rates, [by_rate[rate].table for rate in rates])
        where = measured_on(one for study in by_rate.values() for one in study.environments)
        blocks.append(f"### {name}\n\n{table}{where}")
    return "\n\n".join(blocks) or _NOTHING


def _last_epochs(results: Results, _gallery: Gallery) -> str:
    return last_epochs(results.studies) if results.studies else _NOTHING


def _nesterov_distance(results: Results, gallery: Gallery) -> str:
    measured = results.nesterov_distance.items()
    blocks = [experiments.nesterov_distance(name, runs, gallery) for name, runs in measured]
    return "\n\n".join(blocks) or _NOTHING


def _bias_variance(results: Results, gallery: Gallery) -> str:
    measured = results.bias_variance.items()
    blocks = [experiments.bias_variance(name, runs, gallery) for name, runs in measured]
    return "\n\n".join(blocks) or _NOTHING


# Name in the documents → its text.
BLOCKS: dict[str, Callable[[Results, Gallery], str]] = {
    "summary": summary,
    "studies": studies,
    "last epochs": _last_epochs,
    "tuning": tuning,
    NESTEROV_DISTANCE: _nesterov_distance,
    BIAS_VARIANCE: _bias_variance,
}

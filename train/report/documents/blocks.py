"""The text that documents take from results/: one function a block."""

from collections.abc import Callable
from functools import partial

from train.report.cells import difference_text, markdown_table
from train.report.documents import experiments, figures, lead_figures
from train.report.documents.answers import data_sets, tests, verdicts
from train.report.documents.figures import Gallery
from train.report.documents.last_epochs import CONTROL, last_epochs
from train.report.documents.results import Results, Study, measured_on
from train.report.documents.unplanned import unplanned
from train.report.figures import draw_rates
from train.report.statistics import BASELINE, Difference, paired_differences
from train.report.studies import curves, study_scores
from train.report.tables import RATES_HEADER
from train.report.verdict import PRIMARY, Comparison, Pairs
from train.runs.measurements import BIAS_VARIANCE, NESTEROV_DISTANCE, SHARPNESS

_NOTHING = "*Nothing has been run yet.*"


def summary(results: Results, gallery: Gallery) -> str:
    """Every optimizer of every study in a line, and all differences in a figure."""
    if not results.studies:
        return _NOTHING
    header = ["study", "optimizer", "rate", "seeds", "accuracy %", f"− {BASELINE} [interval]"]
    lines = [line for name, study in results.studies.items() for line in _lines(name, study)]
    tables = {name: study.table for name, study in results.studies.items()}
    figure = gallery.show(
        "differences",
        "Paired differences of accuracy with their 95 % intervals",
        partial(figures.differences, tables, BASELINE),
    )
    note = (
        "Accuracy of the last epoch, mean ± standard deviation over seeds. Differences are paired "
        "by seed, in points, with the interval at which Holm's method judged them. "
        "Rates are as given: those of heavy_ball as PyTorch reads them."
    )
    return f"{markdown_table([*header, 'verdict'], lines)}\n\n{note}\n\n{figure}"


def _lines(name: str, study: Study) -> list[list[str]]:
    table = study.table
    ours = {row.arm for row in table.rows}  # the paper's lines are left out
    cells = [line[:4] for line in table.cells() if line[0] in ours]
    against = {(each.arm, each.rate): each for each in table.main_comparisons}
    lines = []
    for row, shown in zip(table.rows, cells, strict=True):
        each = against.get((row.arm, row.rate if table.best_rates else None))
        said = (
            ["", ""] if each is None else [difference_text(each.difference, 100, 2), _verdict(each)]
        )
        lines.append([name, *shown, *said])
    return lines


def _verdict(each: Comparison) -> str:
    """One word, and the interval of an equivalence; a difference may be within the margin."""
    within = (
        f"equivalent, {difference_text(each.equivalence, 100, 2)}" if each.is_equivalent else ""
    )
    return (
        within if each.verdict == "equivalent" else "; ".join(filter(None, [each.verdict, within]))
    )


def studies(results: Results, gallery: Gallery) -> str:
    """Each study's report, where it was made, and its learning curves."""
    blocks = []
    for name, study in results.studies.items():
        report = study.table.markdown() + "\n"
        report += _to_nesterov(study)
        where = f"{measured_on(study.environments)} Training took {_duration(study.seconds)}."
        pictures = " ".join(_curves(name, study, what, gallery) for what in ("accuracy", "loss"))
        blocks.append(f"### {name}\n\n{report}\n{where}\n\n{pictures}")
    return "\n\n".join(blocks) or _NOTHING


def _to_nesterov(study: Study) -> str:
    """RSGDM's differences to Nesterov's, where both had one rate: theory says that they are one."""
    if not study.share_rate(PRIMARY, CONTROL):
        return ""
    texts = []
    for measure in study.table.measures[:2]:
        (pairs,) = Pairs.of(study_scores(study.merged), (PRIMARY, CONTROL), measure)
        difference = Difference.of(paired_differences(pairs.ours, pairs.theirs))
        texts.append(f"{difference_text(difference, measure.scale, measure.digits)} {measure.unit}")
    return (
        f"\n{PRIMARY} − {CONTROL}, at one rate, {difference.n} pairs, not tested: "
        f"{', '.join(texts)}.\n"
    )


def _curves(name: str, study: Study, what: str, gallery: Gallery) -> str:
    evaluation = study.evaluation
    shown = curves(study.merged)[f"{evaluation}_{what}"]
    return gallery.show(
        f"{name.replace('/', '-')}-{what}",
        f"{name}: {evaluation} {what} against epochs",
        partial(figures.learning_curve, shown, evaluation, what),
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def tuning(results: Results, gallery: Gallery) -> str:
    """The rates that were tried, and the best of each optimizer."""
    blocks = []
    for name, study in results.tuning.items():
        table = study.table
        figure = gallery.show(
            name.replace("/", "-"),
            f"{name}: {study.evaluation} accuracy against the learning rate",
            partial(draw_rates, study_scores(study.merged)),
        )
        parts = [
            markdown_table(table.header(), table.cells()),
            markdown_table(RATES_HEADER, table.rate_cells()),
            "\n".join([table.title_note(), *table.rate_notes()]),
            measured_on(study.environments),
            figure,
        ]
        blocks.append("\n\n".join([f"### {name}", *parts]))
    return "\n\n".join(blocks) or _NOTHING


def runs(results: Results, _gallery: Gallery) -> str:
    """What every study has run: its cells, its settings, where and how long."""
    blocks = []
    for name, study in results.studies.items():
        table = study.table
        where = f"{measured_on(study.environments)} Training took {_duration(study.seconds)}."
        cells = markdown_table(table.header(), table.cells())
        blocks.append(f"### {name}\n\n{cells}\n\n{table.title_note()}\n\n{where}")
    return "\n\n".join(blocks) or _NOTHING


def answers(results: Results, gallery: Gallery) -> str:
    """The verdict on each prediction, and two figures."""
    shown = {
        name: partial(draw, data_sets(results))
        for name, draw in (("scores", lead_figures.scores), ("leads", lead_figures.leads))
    }
    captions = {
        "scores": "Training loss and test accuracy against the learning rate",
        "leads": "Leads over sgdm of c = 0.9 (rsgdm), 2 and 4: measured, with intervals by Holm's "
        "method within each curve, from −1.2 on; and in theory",
    }
    pictures = [gallery.show(name, captions[name], draw) for name, draw in shown.items()]
    return "\n\n".join([verdicts(results), *pictures])


def _tests(results: Results, _gallery: Gallery) -> str:
    return tests(results)


def _unplanned(results: Results, _gallery: Gallery) -> str:
    return unplanned(results)


def _sharpness(results: Results, _gallery: Gallery) -> str:
    return experiments.sharpness(results.sharpness) if results.sharpness else _NOTHING


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
    "answers": answers,
    "tests": _tests,
    "unplanned": _unplanned,
    "runs": runs,
    SHARPNESS: _sharpness,
    NESTEROV_DISTANCE: _nesterov_distance,
    BIAS_VARIANCE: _bias_variance,
}

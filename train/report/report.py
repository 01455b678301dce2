"""The report on studies, from their files alone, or on the scores of a CSV file.

python train/report.py STUDY
python train/report.py STUDY STUDY ... --output FOLDER
python train/report.py SCORES.csv --better lower

A STUDY is a folder, or the one file that tools/pack_study.py made of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from train.common.arguments import Parser, number, path
from train.common.errors import InputError
from train.report.csv_scores import CsvScores
from train.report.merge import Merged, merge
from train.report.output import Report, Section, check_earlier, check_output
from train.report.scores import comparisons
from train.report.studies import study_scores, tabulate
from train.report.tables import tabulate_scores
from train.report.verdict import MARGIN_POINTS
from train.runs.folders import REPORT

__all__ = ["Report", "build_report", "main", "read_csv_report", "read_report"]

Better = Literal["higher", "lower"]


def build_report(study: Path, *more: Path, **options: Any) -> Report:
    """Reads every finished run of the studies, and writes the report; see `read_report`."""
    report = read_report(study, *more, **options)
    report.write()
    return report


def read_report(
    study: Path,
    *more: Path,
    output: Path | None = None,
    margin_points: float = MARGIN_POINTS,
    baseline: str | None = None,
    compare: Sequence[str] | None = None,
) -> Report:
    """Reads every finished run of the studies; nothing is written.

    Args:
      study: its folder, or the file that it was packed into.
      *more: other studies; those of the same settings share a table.
      output: the report's folder; that of a single folder lies in it, unless told otherwise.
      margin_points: the difference of accuracies, in points, that is too small to matter.
      baseline: the arm that all others are compared with; None for sgdm, else the first.
      compare: the comparisons that count, "A:B" for A against B, instead of those.

    Raises:
      InputError: if a path is no study or holds no finished run, a file cannot be read, runs
      contradict each other, an arm is not there, or the output is something else.
    """
    if not 0 < margin_points < 100:
        raise InputError(f"margin: {margin_points!r} is not a number of points above 0, below 100")
    groups = merge([study, *more])
    if output is None and (more or study.is_file()):
        raise InputError(
            "--output: missing; a report on several studies, or on a packed one, needs a folder of "
            "its own"
        )
    sections = []
    for heading, group in zip(_headings(groups), groups, strict=True):
        scores = study_scores(group)
        arms = comparisons(scores, baseline, compare, heading)
        table = tabulate(group, margin_points, name_folders=bool(more), arms=arms)
        sections.append(Section(heading, table, scores, group))
    folder = study / REPORT if output is None else output
    if more or folder.resolve() != (study / REPORT).resolve():
        check_output(folder, [study, *more])
    check_earlier(folder)
    return Report(folder, sections)


def read_csv_report(
    path: Path,
    *,
    output: Path | None = None,
    margin: float | None = None,
    better: Better = "higher",
    baseline: str | None = None,
    compare: Sequence[str] | None = None,
) -> Report:
    """Reads the scores of a CSV file, a table a task; nothing is written.

    Args:
      path: of the file: see `train/report/csv_scores.py`.
      output: the report's folder; None for NAME-report beside the file NAME.csv.
      margin: the difference of scores that is too small to matter; None asks for no equivalence.
      better: whether the higher score or the lower one is better.
      baseline: as in `read_report`.
      compare: as in `read_report`.

    Raises:
      InputError: naming file and line, or the option.
    """
    if margin is not None and not 0 < margin < float("inf"):
        raise InputError(f"margin: {margin!r} is not a number above 0")
    file = CsvScores(path, better)
    sections = []
    for k, scores in enumerate(file.tasks, 1):
        named = f"Table {k}: {scores.task}" if scores.task else f"Table {k}"
        heading = named if len(file.tasks) > 1 else ""
        arms = comparisons(scores, baseline, compare, heading)
        file.check_pairs(scores, arms)
        title = f"{path.name}, {scores.task}" if scores.task else path.name
        table = tabulate_scores(scores, f"{title}, {better} is better", margin, arms)
        sections.append(Section(heading, table, scores, None))
    folder = path.with_name(f"{path.stem}-report") if output is None else output
    check_output(folder, [])
    check_earlier(folder)
    return Report(folder, sections)


def _headings(groups: Sequence[Merged]) -> list[str]:
    """A table's number and the settings that tell it from others; the rates are in its rows."""
    if len(groups) == 1:
        return [""]
    configs = [group.runs[0].config for group in groups]
    telling = [
        name for name in configs[0].shared if len({config.shared[name] for config in configs}) > 1
    ]
    headings = []
    for k, config in enumerate(configs, 1):
        settings = ", ".join(f"{name} {getattr(config, name)!s:.16}" for name in telling)
        headings.append(f"Table {k}: {settings}" if settings else f"Table {k}")
    return headings


def main() -> int:
    """Rebuilds the report and prints its tables; returns the exit status."""
    given = _parser().parse_args()
    first = given.studies[0]
    is_csv = any(path.suffix.lower() == ".csv" for path in given.studies)
    margin = None if given.margin is None else number("margin", given.margin)
    named = {"output": given.output, "baseline": given.baseline, "compare": given.compare}
    if is_csv:
        if len(given.studies) > 1:
            raise InputError(f"{given.studies[1]}: a report on a file of scores is on it alone")
        report = read_csv_report(first, margin=margin, better=given.better or "higher", **named)
    else:
        if given.better is not None:
            raise InputError("--better: only for a file of scores; a study's measures are known")
        points = MARGIN_POINTS if margin is None else margin
        report = read_report(*given.studies, margin_points=points, **named)
    report.write()
    report.show()
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="report.py",
        description="Rebuild the tables and figures of one study or several from their files. "
        "Studies of the same settings share a table. Or report on the scores of any program: a "
        "CSV file with the columns arm, seed and score, and, where there are several, rate and "
        "task.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "studies",
        metavar="STUDY|FILE.csv",
        nargs="+",
        type=path,
        help="folder that training wrote, or the file that it was packed into; or scores",
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=path,
        help="needed for several studies or a packed one (default: STUDY/report, or FILE-report)",
    )
    parser.add_argument(
        "--margin",
        metavar="SIZE",
        help="difference too small to matter: in points of accuracy "
        f"(default: {MARGIN_POINTS}), or as the scores are (default: none)",
    )
    parser.add_argument(
        "--better", choices=("higher", "lower"), help="which score of a file (default: higher)"
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--baseline",
        metavar="ARM",
        help="compare every other arm with this one (default: sgdm, or else the first arm)",
    )
    chosen.add_argument(
        "--compare",
        metavar="A:B",
        nargs="+",
        help="the comparisons that count: A against B; the more, the more seeds are needed",
    )
    return parser

"""The text that documents take from results/: one function a block."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import result_figures as figures
from result_figures import Gallery

from train import correction, straying
from train.comparison import BASELINE
from train.config import RunConfig
from train.measurement import Numbers, read_numbers
from train.merging import Merged, merge
from train.report import Report, curves
from train.table import StudyTable, markdown_table, tabulate, title_of
from train.tune import rate_table
from train.verdict import MARGIN_POINTS

_NOTHING = "*Nothing has been run yet.*"
_ENVIRONMENT = {
    "platform": "{}",
    "cpus": "{} CPUs",
    "device": "device {}",
    "python": "Python {}",
    "packages": "{}",
    "commit": "commit {:.12}",
}


class Study:
    """The finished runs of one folder."""

    def __init__(self, folder: Path):
        self.merged: Merged
        (self.merged,) = merge([folder])
        self.table: StudyTable = tabulate(self.merged, MARGIN_POINTS, name_folders=False)

    @property
    def environments(self) -> list[dict[str, Any]]:
        return [run.environment for run in self.merged.runs]

    @property
    def seconds(self) -> float:
        """Time spent on training, evaluation apart; a diverged run's last epoch has none."""
        return sum(
            run.config.batch_size * (line["step"] / line["epoch"]) / line["images_per_second"]
            for run in self.merged.runs
            for line in run.metrics
            if line["images_per_second"]
        )


class Results:
    """Everything under results/, by the name of its folder."""

    def __init__(self, folder: Path):
        # A study none of whose runs has ended is not there yet.
        found = sorted({path.parents[1] for path in folder.rglob("result.json")})
        self.studies: dict[str, Study] = {}
        self.tuning: dict[str, dict[float, Study]] = {}
        for path in found:
            name = path.relative_to(folder).as_posix()
            if name.startswith("tuning/"):
                rates = self.tuning.setdefault(Path(name).parent.as_posix(), {})
                rates[float(path.name.removeprefix("rate-"))] = Study(path)
            else:
                self.studies[name] = Study(path)
        self.straying = _measured(folder, straying.NAME)
        self.correction = _measured(folder, correction.NAME)


def _measured(folder: Path, name: str) -> dict[str, list[Numbers]]:
    found: dict[str, list[Numbers]] = {}
    for path in sorted((folder / name).rglob("*.json")):
        key = path.parent.relative_to(folder).as_posix()
        found.setdefault(key, []).append(read_numbers(path, name))
    return found


def summary(results: Results, gallery: Gallery) -> str:
    """Every comparison in a line, and in one figure."""
    if not results.studies:
        return _NOTHING
    header = ["study", "optimizer", "rate α", "seeds", "accuracy %", f"− {BASELINE} [95 %]"]
    lines = []
    for name, study in results.studies.items():
        table = study.table
        verdicts = {of.optimizer: f"{of.direction}; {of.size}" for of in table.comparisons}
        of_baseline = {
            line[0]: line[3] for line in table.comparison_cells() if line[1] == "accuracy"
        }
        for optimizer, rate, seeds, accuracy, *_ in table.cells():
            if optimizer in {row.optimizer for row in table.rows}:  # the paper's are not ours
                difference = of_baseline.get(optimizer, "")
                verdict = verdicts.get(optimizer, "")
                lines.append([name, optimizer, rate, seeds, accuracy, difference, verdict])
    tables = {name: study.table for name, study in results.studies.items()}
    figure = gallery.show(
        "differences",
        "Paired differences of accuracy with their 95 % intervals",
        lines,
        lambda: figures.differences(tables, BASELINE),
    )
    (points,) = {table.margin_points for table in tables.values()}
    notes = (
        "Accuracy of the last epoch, mean ± standard deviation over seeds. Differences are paired "
        f"by seed, in points. Verdict: direction; size against a margin of ±{points:g} points."
    )
    return f"{markdown_table([*header, 'verdict'], lines)}\n\n{notes}\n\n{figure}"


def studies(results: Results, gallery: Gallery) -> str:
    """Each study's report, where it was made, and its learning curves."""
    blocks = []
    for name, study in results.studies.items():
        report = Report(folder=Path(), headings=[""], tables=[study.table]).markdown()
        where = f"{_where(study.environments)} Training took {_duration(study.seconds)} in all."
        pictures = " ".join(_curves(name, study, what, gallery) for what in ("accuracy", "loss"))
        blocks.append(f"### {name}\n\n{report}\n{where}\n\n{pictures}")
    return "\n\n".join(blocks) or _NOTHING


def _curves(name: str, study: Study, what: str, gallery: Gallery) -> str:
    evaluation = study.table.evaluation
    shown = curves(study.merged, evaluation)[f"{evaluation}_{what}"]
    return gallery.show(
        f"{name.replace('/', '-')}-{what}",
        f"{name}: {evaluation} {what} against epochs",
        shown,
        lambda: figures.learning_curve(shown, evaluation, what),
    )


def tuning(results: Results, _gallery: Gallery) -> str:
    """The rates that were tried, and the best of each optimizer."""
    blocks = []
    for name, by_rate in results.tuning.items():
        rates = sorted(by_rate)
        table = rate_table(rates, [by_rate[rate].table for rate in rates])
        where = _where(one for study in by_rate.values() for one in study.environments)
        blocks.append(f"### {name}\n\n{table}{where}")
    return "\n\n".join(blocks) or _NOTHING


def stray(results: Results, gallery: Gallery) -> str:
    """How far each arm is from Nesterov at some steps, and at the end."""
    blocks = []
    for name, runs in results.straying.items():
        last = runs[0]["step"][-1]
        places = [runs[0]["step"].index(step) for step in (1, 10, 50, last)]
        header = ["", *(f"step {runs[0]['step'][k]}" for k in places), "accuracy %"]
        (measure,) = (key for key in runs[0] if key.endswith("_accuracy"))
        rows = []
        for arm, (label, *_) in figures.STRAYING.items():
            distances = np.array([run["distance"][arm] for run in runs])
            rows.append(
                [label, *(_range(distances[:, k]) for k in places), _accuracy(runs, measure, arm)]
            )
        bounds = np.array([np.divide(run["bound"], run["nesterov_norm"]) for run in runs])
        rows.append(["bound α·β·‖g₁‖", *(_range(bounds[:, k]) for k in places), ""])
        rows.append(["nesterov", *[""] * len(places), _accuracy(runs, measure, "nesterov")])
        figure = gallery.show(
            name.replace("/", "-"),
            "Distance to Nesterov's parameters against steps",
            runs,
            lambda runs=runs: figures.straying(runs),
        )
        note = (
            f"{_title(runs)}, rate α {runs[0]['learning_rate']:.3g}; {len(runs)} seeds. Distances "
            "to Nesterov's parameters over their length: median, and range over seeds. Accuracy: "
            f"{measure.removesuffix('_accuracy')}, last epoch, mean ± standard deviation."
        )
        table = markdown_table(header, rows)
        blocks.append(f"### {name}\n\n{table}\n\n{note}\n{_environments(runs)}\n\n{figure}")
    return "\n\n".join(blocks) or _NOTHING


def correct(results: Results, gallery: Gallery) -> str:
    """Bias and noise of m and n in phases of training, for each optimizer that drove it."""
    blocks = []
    for name, all_runs in results.correction.items():
        by_driver: dict[str, list[Numbers]] = {}
        for run in all_runs:
            by_driver.setdefault(run["settings"]["optimizer"], []).append(run)
        parts = []
        for driver, runs in by_driver.items():
            decay = runs[0]["settings"]["decay"]
            figure = gallery.show(
                f"{name.replace('/', '-')}-{driver}",
                f"Bias and noise of m and n along a training by {driver}",
                runs,
                lambda runs=runs, decay=decay: figures.correction(runs, decay),
            )
            tables = (
                markdown_table(["steps", *header], rows)
                for header, columns in ((_BIAS, _bias), (_NOISE, _noise))
                for rows in [[[name, *columns(runs, part)] for name, part in _phases(runs[0])]]
            )
            parts.append(
                "\n\n".join(
                    [
                        f"Driven by {driver}, rate α {runs[0]['learning_rate']:.3g}, "
                        f"{len(runs)} seeds:",
                        *tables,
                        figure,
                    ]
                )
            )
        note = (
            f"{_title(all_runs)}; {all_runs[0]['replicas']} replicas. In units of ‖G‖, as roots of "
            "mean squares over the steps: start-up, lag, bias, noise, and error, which is both. "
            "Drawn: the bias of the replicas' mean. Gain: variance over that of g. Cosine: of "
            "single replicas with G. Lag in steps: how far G − E m goes along G's last change, in "
            "such changes. Means over seeds ± standard deviation."
        )
        blocks.append("\n\n".join([f"### {name}", *parts, f"{note}\n{_environments(all_runs)}"]))
    return "\n\n".join(blocks) or _NOTHING


_BIAS = [
    *("start-up βᵗ", "lag of m, (1−β)ξ", "lag of n, (1−β)ς"),
    *("bias of m", "bias of n", "n/m", "bias of m, drawn"),
]
_NOISE = [
    *("noise of g", "noise of m", "noise of n", "gain of m", "gain of n"),
    *("error n/m", "cosine m", "cosine n", "lag m, steps", "lag n, steps"),
]


def _phases(run: Numbers) -> list[tuple[str, slice]]:
    """The start-up in two parts, then a phase for each learning rate."""
    last = run["step"][-1]
    stage = run["settings"]["halve_every"] * run["steps_per_epoch"]
    ends = sorted({end for end in (10, 30, *range(stage, last, stage)) if end < last} | {last})
    starts = [0, *ends[:-1]]
    return [(f"{a + 1}–{b}", slice(a, b)) for a, b in zip(starts, ends, strict=True)]


def _bias(runs: Sequence[Numbers], steps: slice) -> Iterator[str]:
    for quantity in ("start_squared", "xi_squared", "sigma_squared"):
        yield _over_seeds(runs, lambda run, of=quantity: _root(run, steps, (of,)), 2)
    biases = (("m", "bias_squared"),), (("n", "bias_squared"),)
    for bias in biases:
        yield _over_seeds(runs, lambda run, of=bias: _root(run, steps, *of), 2)
    m, n = biases
    yield _over_seeds(runs, lambda run: _root(run, steps, *n) / _root(run, steps, *m), 3)
    yield _over_seeds(runs, lambda run: _root(run, steps, ("m", "bias_squared_drawn")), 2)


def _noise(runs: Sequence[Numbers], steps: slice) -> Iterator[str]:
    for name in "gmn":
        yield _over_seeds(runs, lambda run, of=name: _root(run, steps, (of, "variance")), 2)
    for name in "mn":
        yield _over_seeds(
            runs,
            lambda run, of=name: (
                _average(run, steps, of, "variance") / _average(run, steps, "g", "variance")
            ),
            4,
        )
    m, n = ([(name, what) for what in ("bias_squared", "variance")] for name in "mn")
    yield _over_seeds(runs, lambda run: _root(run, steps, *n) / _root(run, steps, *m), 3)
    for name in "mn":
        yield _over_seeds(runs, lambda run, of=name: _average(run, steps, of, "cosine_drawn"), 2)
    for name in "mn":
        yield _over_seeds(
            runs,
            lambda run, of=name: (
                _average(run, steps, of, "behind") / _average(run, steps, "change_squared")
            ),
            2,
        )


def _average(run: Numbers, steps: slice, *path: str) -> float:
    values: Any = run
    for key in path:
        values = values[key]
    return float(np.mean(values[steps]))


def _root(run: Numbers, steps: slice, *paths: tuple[str, ...]) -> float:
    """The root of a sum of mean squares, in units of the gradient; 0 if noise made it negative."""
    total = sum(_average(run, steps, *path) for path in paths)
    return float(np.sqrt(max(total, 0.0) / _average(run, steps, "gradient_squared")))


def _over_seeds(runs: Sequence[Numbers], value: Callable[[Numbers], float], digits: int) -> str:
    values = [value(run) for run in runs]
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


def _accuracy(runs: Sequence[Numbers], measure: str, arm: str) -> str:
    return _over_seeds(runs, lambda run: 100 * run[measure][arm], 2)


def _range(values: Any) -> str:
    low, middle, high = (f"{value:.2g}" for value in np.quantile(values, (0, 0.5, 1)))
    return middle if low == high else f"{middle} ({low} … {high})"


def _title(runs: Sequence[Numbers]) -> str:
    (title,) = {title_of(RunConfig(**run["settings"])) for run in runs}
    return title


def _environments(runs: Sequence[Numbers]) -> str:
    return _where(run["environment"] for run in runs)


def _where(environments: Iterable[dict[str, Any]]) -> str:
    """The machines, versions and commits, each once."""
    lines = []
    for environment in environments:
        facts = {key: environment[key] for key in _ENVIRONMENT if environment.get(key)}
        if "packages" in facts:
            facts["packages"] = ", ".join(map(" ".join, facts["packages"].items()))
        line = ", ".join(_ENVIRONMENT[key].format(value) for key, value in facts.items())
        if line not in lines:
            lines.append(line)
    return f"Measured on {'; and on '.join(lines)}."


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


# Name in the documents → its text.
BLOCKS: dict[str, Callable[[Results, Gallery], str]] = {
    "summary": summary,
    "studies": studies,
    "tuning": tuning,
    "straying": stray,
    "correction": correct,
}

"""The tables of what train/experiments/ measured inside of training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from train.report.cells import markdown_table
from train.report.documents import figures
from train.report.documents.figures import Gallery
from train.report.documents.results import measured_on
from train.report.studies import title_of
from train.runs.measurements import Numbers
from train.runs.settings import RunConfig

_STEPS = (1, 10, 50)  # and the last one
_BIAS = (
    *("steps", "start-up βᵗ", "lag of m, (1−β)ξ", "lag of n, (1−β)ς"),
    *("bias of m", "bias of n", "n/m", "bias of m, drawn"),
)
_NOISE = (
    *("steps", "noise of g", "noise of m", "noise of n", "gain of m", "gain of n"),
    *("error n/m", "cosine m", "cosine n", "lag m, steps", "lag n, steps"),
)
_EXPLAINED = (
    "In units of ‖G‖, as roots of mean squares over the steps: start-up, lag, bias, noise, and "
    "error, which is bias and noise. Drawn: the bias of the replicas' mean. Gain: variance over "
    "that of g. Cosine: of single replicas with G. Lag in steps: how far G − E m goes along G's "
    "last change, in such changes. Means over seeds ± standard deviation."
)


def nesterov_distance(name: str, runs: Sequence[Numbers], gallery: Gallery) -> str:
    """How far each arm is from Nesterov momentum at some steps, and its last accuracy."""
    steps = runs[0]["step"]
    places = [steps.index(step) for step in _STEPS if step < steps[-1]] + [len(steps) - 1]
    (measure,) = (key for key in runs[0] if key.endswith("_accuracy"))

    def line(label: str, distances: Any, arm: str | None = None) -> list[str]:
        accuracy = _over_seeds(runs, lambda run: 100 * run[measure][arm], 2) if arm else ""
        return [label, *(_range(np.array(distances)[:, k]) for k in places), accuracy]

    rows = [
        line(label, [run["distance"][arm] for run in runs], arm)
        for arm, (label, *_) in figures.ARMS.items()
    ]
    rows.append(
        line("the bound α·β·‖g₁‖", [np.divide(run["bound"], run["nesterov_norm"]) for run in runs])
    )
    rows.append(line("nesterov", [np.zeros(len(steps)) for _ in runs], "nesterov"))
    table = markdown_table(["", *(f"step {steps[k]}" for k in places), "accuracy %"], rows)
    figure = gallery.show(
        name.replace("/", "-"),
        "Distance to Nesterov's parameters against steps",
        partial(figures.nesterov_distance, runs),
    )
    note = (
        f"{_title(runs)}, rate α {runs[0]['learning_rate']:.3g}; {len(runs)} seeds. Distances to "
        "Nesterov's parameters over their length: median, and range over seeds. Accuracy: "
        f"{measure.removesuffix('_accuracy')}, last epoch, mean ± standard deviation."
    )
    return f"### {name}\n\n{table}\n\n{note}\n{_where(runs)}\n\n{figure}"


def bias_variance(name: str, all_runs: Sequence[Numbers], gallery: Gallery) -> str:
    """Bias and noise of m and n in phases of training, for each optimizer that drove it."""
    by_driver: dict[str, list[Numbers]] = {}
    for run in all_runs:
        by_driver.setdefault(run["settings"]["arm"], []).append(run)
    parts = [f"### {name}"]
    for driver, runs in by_driver.items():
        rate = f"rate α {runs[0]['learning_rate']:.3g}"
        parts.append(f"Driven by {driver}, {rate}, {len(runs)} seeds:")
        for header, columns in ((_BIAS, _bias), (_NOISE, _noise)):
            rows = [
                [f"{steps.start + 1}–{steps.stop}", *columns(runs, steps)]
                for steps in _phases(runs[0])
            ]
            parts.append(markdown_table(header, rows))
        parts.append(
            gallery.show(
                f"{name.replace('/', '-')}-{driver}",
                f"Bias and noise of m and n along a training by {driver}",
                partial(figures.bias_variance, runs, runs[0]["settings"]["decay"]),
            )
        )
    (replicas,) = {run["replicas"] for run in all_runs}
    parts.append(f"{_title(all_runs)}; {replicas} replicas. {_EXPLAINED}\n{_where(all_runs)}")
    return "\n\n".join(parts)


def _phases(run: Numbers) -> list[slice]:
    """The start-up in two parts, then a phase for each learning rate."""
    last = run["step"][-1]
    stage = run["settings"]["halve_every"] * run["steps_per_epoch"]
    ends = sorted({end for end in (10, 30, *range(stage, last, stage)) if end < last} | {last})
    return [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _bias(runs: Sequence[Numbers], steps: slice) -> Iterator[str]:
    def root(*path: str) -> Callable[[Numbers], float]:
        return lambda run: _root(run, steps, path)

    m, n = (root(name, "bias_squared") for name in "mn")
    for quantity in ("start_squared", "xi_squared", "sigma_squared"):
        yield _over_seeds(runs, root(quantity), 2)
    for bias in (m, n):
        yield _over_seeds(runs, bias, 2)
    yield _over_seeds(runs, lambda run: n(run) / m(run), 3)
    yield _over_seeds(runs, root("m", "bias_squared_drawn"), 2)


def _noise(runs: Sequence[Numbers], steps: slice) -> Iterator[str]:
    def mean(*path: str) -> Callable[[Numbers], float]:
        return lambda run: _mean(run, steps, *path)

    def ratio(above: Sequence[str], below: Sequence[str]) -> Callable[[Numbers], float]:
        return lambda run: mean(*above)(run) / mean(*below)(run)

    def error(run: Numbers, name: str) -> float:
        return _root(run, steps, (name, "bias_squared"), (name, "variance"))

    def noise(name: str) -> Callable[[Numbers], float]:
        return lambda run: _root(run, steps, (name, "variance"))

    for name in "gmn":
        yield _over_seeds(runs, noise(name), 2)
    for name in "mn":
        yield _over_seeds(runs, ratio((name, "variance"), ("g", "variance")), 4)
    yield _over_seeds(runs, lambda run: error(run, "n") / error(run, "m"), 3)
    for name in "mn":
        yield _over_seeds(runs, mean(name, "cosine_drawn"), 2)
    for name in "mn":
        yield _over_seeds(runs, ratio((name, "behind"), ("change_squared",)), 2)


def _mean(run: Numbers, steps: slice, *path: str) -> float:
    values: Any = run
    for key in path:
        values = values[key]
    return float(np.mean(values[steps]))


def _root(run: Numbers, steps: slice, *paths: Sequence[str]) -> float:
    """The root of a sum of mean squares, in units of the gradient; 0 if noise made it negative."""
    total = sum(_mean(run, steps, *path) for path in paths)
    return float(np.sqrt(max(total, 0.0) / _mean(run, steps, "gradient_squared")))


def _over_seeds(runs: Sequence[Numbers], value: Callable[[Numbers], float], digits: int) -> str:
    values = [value(run) for run in runs]
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


def _range(values: Any) -> str:
    low, middle, high = (f"{value:.2g}" for value in np.quantile(values, (0, 0.5, 1)))
    return middle if low == high else f"{middle} ({low} … {high})"


def _title(runs: Sequence[Numbers]) -> str:
    (title,) = {title_of(RunConfig(**run["settings"])) for run in runs}
    return title


def _where(runs: Sequence[Numbers]) -> str:
    return measured_on(run["environment"] for run in runs)


def sharpness(measured: Mapping[str, Sequence[Numbers]]) -> str:
    """The largest eigenvalues of each arm, and sgdm's over rsgdm's, by data set and rate."""
    found: dict[tuple[str, float], dict[str, dict[int, float]]] = {}
    for runs in measured.values():
        for run in runs:
            settings = run["settings"]
            cell = settings["dataset"], settings["learning_rate"]
            of_arm = found.setdefault(cell, {}).setdefault(settings["arm"], {})
            if run["eigenvalue"] is not None:
                of_arm[settings["seed"]] = run["eigenvalue"]
    lines = []
    for (dataset, rate), arms in sorted(found.items()):
        ours, theirs = arms.get("sgdm", {}), arms.get("rsgdm", {})
        ratios = [ours[seed] / theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
        cells = [_spread(list(values.values())) for values in (ours, theirs)]
        lines.append([dataset, f"{rate:g}", f"{len(ratios)}", *cells, _spread(ratios)])
    header = ["data", "α", "pairs", "sgdm", "rsgdm", "sgdm / rsgdm"]
    every = [run for runs in measured.values() for run in runs]
    where = measured_on(run["environment"] for run in every)
    note = f"Largest eigenvalue of the Hessian, mean ± standard deviation over seeds. {where}"
    return f"{markdown_table(header, lines)}\n\n{note}"


def _spread(values: Sequence[float]) -> str:
    """Three significant digits."""
    if not values:
        return "none"
    text = f"{np.mean(values):.3g}"
    return f"{text} ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else text

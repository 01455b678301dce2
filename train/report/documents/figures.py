"""The figures of the documents: differences, learning curves, what experiments measured."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.common.files import write_bytes
from train.report.drawing import GREY, STYLES, Axes, Figure, drawing, render
from train.report.figures import draw_curves
from train.report.tables import StudyTable

ARMS = {  # arm → label, colour, line
    "pushed": ("nesterov, start moved by α·β·‖g₁‖ at random", "#56B4E9", (0, (1, 1))),
    "rsgdm": ("rsgdm", *STYLES["rsgdm"]),
    "sgdm": ("sgdm", *STYLES["sgdm"]),
    "twin": ("nesterov, start moved by 10⁻⁷ at random", *STYLES["nesterov"]),
    "rsgdm_gradient": ("rsgdm with g₀ = 0 (nesterov but for rounding)", "#009E73", "-."),
}


class Gallery:
    """Figures by name."""

    def __init__(self) -> None:
        self.figures: dict[str, Figure] = {}

    def show(self, name: str, text: str, draw: Callable[[], Figure]) -> str:
        """Draws a figure; returns its place in Markdown."""
        with drawing():
            self.figures[name] = draw()
        return f"![{text}](FIGURES/{name}.svg)"

    def write(self, folder: Path) -> None:
        """Writes the figures, and removes those that are shown no more."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.svg"):
            if path.stem not in self.figures:
                path.unlink(missing_ok=True)
        for name, figure in self.figures.items():
            write_bytes(folder / f"{name}.svg", render(figure, "svg", text_as_paths=True))


def learning_curve(curves: Any, evaluation: str, what: str) -> Figure:
    """Accuracy or loss of the evaluation against epochs."""
    label = {"accuracy": f"{evaluation.capitalize()} accuracy (%)"}
    return draw_curves(
        curves,
        label.get(what, f"{evaluation.capitalize()} {what}"),
        is_accuracy=what == "accuracy",
    )


def differences(tables: dict[str, StudyTable], baseline: str) -> Figure:
    """The paired differences of all studies, with their intervals, and the margin."""
    rows = [
        (
            name,
            each.arm,
            100 * np.array([each.difference.mean, each.difference.low, each.difference.high]),
        )
        for name, table in tables.items()
        for each in table.main_comparisons
        if each.difference.low is not None
    ]
    figure = Figure(figsize=(6.4, 0.9 + 0.3 * len(rows)), layout="constrained")
    axes = _axes(figure.add_subplot())
    margins = {
        each.margin for table in tables.values() for each in table.main_comparisons if each.margin
    }
    for margin in (100 * margin for margin in margins):
        axes.axvspan(-margin, margin, color="0.93", linewidth=0, zorder=0)
    axes.axvline(0, color=GREY, linewidth=0.8)
    for k, (_, optimizer, (mean, low, high)) in enumerate(rows):
        colour, _ = STYLES[optimizer]
        axes.plot([low, high], [k, k], color=colour)
        axes.plot(mean, k, "o", color=colour, markersize=4)
    axes.set_yticks(range(len(rows)), [f"{name}: {optimizer}" for name, optimizer, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"Accuracy − {baseline}'s, points; grey: the margin")
    return figure


def nesterov_distance(runs: Sequence[Any]) -> Figure:
    """Distance to Nesterov's parameters, one line a seed."""
    figure = Figure(figsize=(7.6, 4.6), layout="constrained")
    axes = _axes(figure.add_subplot())
    steps = np.array(runs[0]["step"])
    for arm, (label, colour, dashes) in ARMS.items():
        distances = np.array([run["distance"][arm] for run in runs])
        lines = axes.plot(
            steps,
            np.where(distances > 0, distances, np.nan).T,  # a logarithmic axis has no zero
            color=colour,
            linestyle=dashes,
            linewidth=1,
        )
        lines[0].set_label(label)
    bound = np.mean([np.divide(run["bound"], run["nesterov_norm"]) for run in runs], axis=0)
    axes.plot(steps, bound, color=GREY, linewidth=2.5, zorder=1, label="the bound α·β·‖g₁‖ (mean)")
    axes.set_yscale("log")
    axes.set(xlabel="Step", ylabel="Distance to nesterov's parameters, relative")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def bias_variance(runs: Sequence[Any], decay: float) -> Figure:
    """Bias and noise of m and n in units of the gradient, root mean squares over the runs."""
    figure = Figure(figsize=(7.6, 4), layout="constrained")
    start, whole = (_axes(figure.add_subplot(1, 2, k)) for k in (1, 2))
    steps = np.array(runs[0]["step"])
    first = steps <= 30
    gradient = _mean(run["gradient_squared"] for run in runs)

    def relative(squares: Iterable[Any]) -> np.ndarray:
        return np.asarray(np.sqrt(_mean(squares) / gradient))

    for name, method, rest, sign in (("m", "sgdm", "xi", "ξ"), ("n", "rsgdm", "sigma", "ς")):
        colour, _ = STYLES[method]
        bias = relative(run[name]["bias_squared"] for run in runs)
        lag = relative(run[f"{rest}_squared"] for run in runs)
        noise = relative(run[name]["variance"] for run in runs)
        start.plot(steps[first], bias[first], color=colour, label=f"bias of {name}")
        start.plot(
            steps[first], lag[first], "--", color=colour, label=f"lag of {name}, (1−β){sign}"
        )
        whole.plot(steps, bias, color=colour)
        whole.plot(steps, noise, ":", color=colour, label=f"noise of {name}")
    start.plot(
        steps[first],
        decay ** steps[first],
        color=GREY,
        linewidth=2.5,
        zorder=1,
        label="start-up, βᵗ",
    )
    start.set(title="The start: where the bias comes from", xlabel="Step")
    start.set(ylabel="In units of ‖G‖", ylim=(0, None))
    whole.set(title="The whole training: bias and noise", xlabel="Step", yscale="log")
    (lines, labels), (more_lines, more_labels) = (
        axes.get_legend_handles_labels() for axes in (start, whole)
    )
    figure.legend(lines + more_lines, labels + more_labels, loc="outside upper center", ncols=4)
    return figure


def _mean(values: Iterable[Any]) -> np.ndarray:
    return np.asarray(np.mean(list(values), axis=0))


def _axes(axes: Axes) -> Axes:
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes

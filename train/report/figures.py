"""The four figures of the paper's kind: accuracy and loss, training and test, against epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from train.report.drawing import STYLES, Axes, Figure, drawing, render, ticker
from train.runs.store import write_bytes

_EPOCHS_TO_ENLARGE = 9

# optimizer → one row of values a seed, one column an epoch
Curves = Mapping[str, Sequence[Sequence[float | None]]]


def figures(curves: Mapping[str, Curves], evaluation: str) -> dict[str, Figure]:
    """Each measure's curves: means over seeds, in bands of one standard deviation to each side."""
    labels = {
        "train_accuracy": "Training accuracy (%)",
        "train_loss": "Training loss",
        f"{evaluation}_accuracy": f"{evaluation.capitalize()} accuracy (%)",
        f"{evaluation}_loss": f"{evaluation.capitalize()} loss",
    }
    with drawing():
        return {
            measure: draw_curves(curves[measure], label, is_accuracy=measure.endswith("accuracy"))
            for measure, label in labels.items()
        }


def write_figures(folder: Path, drawn: Mapping[str, Figure]) -> list[Path]:
    """Writes each figure as PNG and SVG under its name, and returns the files."""
    files = []
    for name, figure in drawn.items():
        for suffix in ("png", "svg"):
            files.append(folder / f"{name}.{suffix}")
            write_bytes(files[-1], render(figure, suffix))
    return files


def draw_curves(curves: Curves, label: str, *, is_accuracy: bool) -> Figure:
    """Each optimizer's mean and band against epochs; call it in `drawing`.

    A band never reaches beyond the values seen. Losses have a logarithmic axis unless one is zero.

    Args:
      curves: what to draw; None is a gap.
      label: of the vertical axis.
      is_accuracy: whether they are accuracies, as fractions, and not losses.
    """
    figure = Figure(figsize=(4.6, 3.3), layout="constrained")
    axes = figure.add_subplot()
    values = {
        name: np.array(rows, float) * (100 if is_accuracy else 1)
        for name, rows in curves.items()
        if rows
    }
    epochs = max((rows.shape[1] for rows in values.values()), default=1)
    _plot(axes, values)
    axes.set_xlabel("Epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    if not is_accuracy:
        _scale(axes, values)
    elif epochs >= _EPOCHS_TO_ENLARGE:
        # The curves end close together, and leave the corner below them empty.
        inset = axes.inset_axes((0.42, 0.12, 0.56, 0.5))
        _plot(inset, values, first=epochs - epochs // 3)
        inset.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
        inset.tick_params(labelsize=7)
        inset.margins(x=0.02)
    if values:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _scale(axes: Axes, values: Mapping[str, np.ndarray]) -> None:
    """A logarithmic axis with a few numbers on it, if all values are positive."""
    seen = np.concatenate([rows.ravel() for rows in values.values()] or [np.array([])])
    seen = seen[~np.isnan(seen)]
    if not len(seen) or seen.min() <= 0:
        return
    decades = np.log10(seen.max()) - np.log10(seen.min())
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def _plot(axes: Axes, values: Mapping[str, np.ndarray], first: int = 1) -> None:
    """Mean and band of each optimizer, from an epoch on."""
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    for optimizer, rows in values.items():
        epochs = np.arange(first, rows.shape[1] + 1)
        shown = rows[:, first - 1 :]
        mean = shown.mean(axis=0)
        colour, dashes = STYLES[optimizer]
        label = f"{optimizer} (n = {len(rows)})"
        axes.plot(epochs, mean, color=colour, linestyle=dashes, label=label)
        if len(rows) > 1:
            std = shown.std(axis=0, ddof=1)
            # Never beyond what was seen: on a logarithmic axis a band must not reach zero.
            low = np.maximum(mean - std, shown.min(axis=0))
            high = np.minimum(mean + std, shown.max(axis=0))
            axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)

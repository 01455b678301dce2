"""The four figures of the paper's kind: accuracy and loss, training and test, against epochs."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from train.records import write_bytes

# Okabe and Ito's colours, told apart by colour-blind readers; the dashes help in grey.
STYLES = {
    "sgdm": ("#000000", "-"),
    "rsgdm": ("#D55E00", "-"),
    "nesterov": ("#0072B2", (0, (4, 2))),
    "rsgdm_compact": ("#E69F00", (0, (1, 1))),
    "sgd": ("#009E73", "-."),
    "adam": ("#CC79A7", "-"),
    "nadam": ("#56B4E9", "-"),
    "adan": ("#B8A800", "-"),
}
SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "rsgdm_optax",  # the same data give the same file
    "svg.fonttype": "none",
}

_EPOCHS_TO_ENLARGE = 9

# optimizer → one row of values a seed, one column an epoch
Curves = Mapping[str, Sequence[Sequence[float]]]


def draw_figures(folder: Path, curves: Mapping[str, Curves], evaluation: str) -> list[Path]:
    """Writes each measure's curves as PNG and SVG, and returns the files.

    The lines are means over seeds; the bands reach one standard deviation to each side, but never
    beyond the values seen.
    """
    names = {
        "train_accuracy": "Training accuracy (%)",
        "train_loss": "Training loss",
        f"{evaluation}_accuracy": f"{evaluation.capitalize()} accuracy (%)",
        f"{evaluation}_loss": f"{evaluation.capitalize()} loss",
    }
    files = []
    with mpl.rc_context(SETTINGS):
        for measure, label in names.items():
            figure = draw_curves(curves[measure], label, is_accuracy=measure.endswith("accuracy"))
            files += _write(folder / measure, figure)
    return files


def draw_curves(curves: Curves, label: str, *, is_accuracy: bool) -> Figure:
    """Each optimizer's mean and band against epochs, drawn with the settings that hold now."""
    figure = Figure(figsize=(4.6, 3.3), layout="constrained")
    axes = figure.add_subplot()
    values = {
        name: np.array(rows) * (100 if is_accuracy else 1) for name, rows in curves.items() if rows
    }
    epochs = max((rows.shape[1] for rows in values.values()), default=1)
    _plot(axes, values)
    axes.set_xlabel("Epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not is_accuracy:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif epochs >= _EPOCHS_TO_ENLARGE:
        # The curves end close together, and leave the corner below them empty.
        inset = axes.inset_axes((0.42, 0.12, 0.56, 0.5))
        _plot(inset, values, first=epochs - epochs // 3)
        inset.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        inset.tick_params(labelsize=7)
        inset.margins(x=0.02)
    if values:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


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


def _write(path: Path, figure: Figure) -> list[Path]:
    formats: dict[str, Any] = {"png": {"dpi": 200}, "svg": {"metadata": {"Date": None}}}
    files = []
    for suffix, options in formats.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, **options)
        files.append(path.with_suffix(f".{suffix}"))
        write_bytes(files[-1], buffer.getvalue())
    return files

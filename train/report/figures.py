"""The figures of a report: learning curves, differences, and scores against rates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.common.files import write_bytes
from train.report.drawing import GREY, Axes, Figure, drawing, plain, render, styles, ticker
from train.report.scores import Scores
from train.report.studies import Curves
from train.report.tables import StudyTable

_EPOCHS_TO_ENLARGE = 9


def curve_figures(curves: Mapping[str, Curves], evaluation: str) -> dict[str, Figure]:
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


def table_figures(table: StudyTable, scores: Scores) -> dict[str, Figure]:
    """The differences, if something is compared; scores against rates, if there are several."""
    found = {}
    with drawing():
        if table.comparisons:
            found["differences"] = draw_differences(table)
        if table.best_rates:
            found["rates"] = draw_rates(scores)
    return found


def draw_differences(table: StudyTable) -> Figure:
    """Each comparison's mean difference and interval, one panel a measure; call it in `drawing`.

    The interval is the table's, at the level of Holm's method. What so few pairs cannot show has a
    dot alone.
    """
    measures = list(dict.fromkeys(each.measure for each in table.comparisons))
    names = list(dict.fromkeys(each.name for each in table.comparisons))
    size = (1.4 + 2.8 * len(measures), 1.1 + 0.3 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    every = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    colours = styles(each.arm for each in table.comparisons)
    for axes, measure in zip(every, measures, strict=True):
        _grid(axes)
        axes.axvline(0, color=GREY, linewidth=0.8)
        for each in (each for each in table.comparisons if each.measure == measure):
            place, (colour, _), found = names.index(each.name), colours[each.arm], each.difference
            if found.mean is None:
                continue
            if found.low is not None and found.high is not None:
                ends = [measure.scale * found.low, measure.scale * found.high]
                axes.plot(ends, [place, place], color=colour)
            axes.plot(measure.scale * found.mean, place, "o", color=colour, markersize=4)
            if each.margin is not None:
                margin = measure.scale * each.margin
                axes.axvspan(-margin, margin, color="0.93", linewidth=0, zorder=0)
        way = "→ better" if measure.better == "higher" else "better ←"
        axes.set_xlabel(f"{measure.unit.removeprefix('in ').capitalize()}, difference; {way}")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(4))
        axes.grid(visible=False, axis="y")
    every[0].set_yticks(range(len(names)), list(map(plain, names)))
    every[0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def draw_rates(scores: Scores) -> Figure:
    """Mean of the first measure against the rate, in bands over seeds; call it in `drawing`.

    A rate with a diverged run is a gap.
    """
    measure = scores.measures[0]
    figure = Figure(figsize=(4.6, 3.3), layout="constrained")
    axes = figure.add_subplot()
    _grid(axes)
    of_arm = styles(scores.arms)
    for arm in scores.arms:
        rates = [rate for rate in scores.rates(arm) if rate is not None]
        cells = [list(scores.cell(arm, rate).values()) for rate in rates]
        rows = [
            measure.scale * np.array([run.values.get(measure.name, np.nan) for run in cell])
            for cell in cells
        ]
        if rates:
            draw_band(
                axes, np.array(rates), rows, f"{arm} (n = {max(map(len, rows))})", of_arm[arm]
            )
    axes.set_xscale("log")
    ticks = sorted({rate for arm in scores.arms for rate in scores.rates(arm) if rate is not None})
    axes.set_xticks(ticks, [f"{rate:g}" for rate in ticks])
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    symbol = f" ({measure.symbol})" if measure.symbol else ""
    axes.set(xlabel="Learning rate", ylabel=f"{measure.name.capitalize()}{symbol}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def write_figures(folder: Path, drawn: Mapping[str, Figure]) -> list[Path]:
    """Writes each figure as PNG and SVG under its name, and returns the files."""
    files = []
    for name, figure in drawn.items():
        for suffix in ("png", "svg"):
            files.append(folder / f"{name}.{suffix}")
            write_bytes(files[-1], render(figure, suffix))
    return files


def draw_curves(curves: Curves, label: str, *, is_accuracy: bool) -> Figure:
    """Each arm's mean and band against epochs; call it in `drawing`.

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
    """Mean and band of each arm, from an epoch on; epochs without any evaluation are no gaps."""
    _grid(axes)
    of_arm = styles(values)
    measured = {k for rows in values.values() for k in np.flatnonzero(~np.isnan(rows).all(axis=0))}
    for arm, rows in values.items():
        shown = [k for k in range(first - 1, rows.shape[1]) if k in measured]
        label = f"{arm} (n = {len(rows)})"
        draw_band(axes, np.array(shown) + 1, [rows[:, k] for k in shown], label, of_arm[arm])


def _grid(axes: Axes) -> None:
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def draw_band(
    axes: Axes, x: np.ndarray, values: Sequence[np.ndarray], label: str, style: tuple[str, Any]
) -> None:
    """Mean of the values at each x, a standard deviation to each side; NaN makes a gap."""
    colour, dashes = style
    mean = np.array([at.mean() for at in values])
    marker = "o" if len(x) < 2 else ""  # a line of one point is none
    axes.plot(x, mean, color=colour, linestyle=dashes, label=plain(label), marker=marker)
    if all(len(at) > 1 for at in values):
        std = np.array([at.std(ddof=1) for at in values])
        # Never beyond what was seen: on a logarithmic axis a band must not reach zero.
        low = np.maximum(mean - std, [at.min() for at in values])
        high = np.minimum(mean + std, [at.max() for at in values])
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)

"""The figures of leads: what was measured, and theory's curves beside it."""

from collections.abc import Callable, Mapping

import numpy as np

from train.report.documents.leads import Cell, DataSet, family
from train.report.drawing import GREY, STYLES, Axes, Figure, ticker
from train.report.figures import draw_band

_DECAY = 0.9  # of the studies `rates`
_CORRECTIONS = {"c = 0.9, rsgdm": ("rsgdm", _DECAY), "c = 2": ("c2", 2.0), "c = 4": ("c4", 4.0)}
_COLOURS = {"rsgdm": STYLES["rsgdm"], "c2": STYLES["nadam"], "c4": STYLES["adam"]}
_SHOWN = (-1.2, 1.0)  # what is far behind lies below
_MARKERS = ("o", "s")  # of the data sets


def scores(data_sets: Mapping[str, DataSet]) -> Figure:
    """Training loss and test accuracy against α, in bands over seeds; a row a data set."""
    shown = {name: data for name, data in data_sets.items() if data.rates("rsgdm", "sgdm")}
    figure = Figure(figsize=(7.2, 0.5 + 2.6 * max(1, len(shown))), layout="constrained")
    rows = figure.subplots(max(1, len(shown)), 2, squeeze=False)
    for (name, data), (loss, accuracy) in zip(shown.items(), rows, strict=False):
        _against_rates(loss, data, data.losses)
        _against_rates(accuracy, data, data.test_accuracies)
        loss.set_yscale("log")
        loss.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        loss.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        loss.yaxis.set_minor_formatter(ticker.NullFormatter())
        loss.set_ylabel(f"{name}: training loss")
        accuracy.set_ylabel("Test accuracy (%)")
    for axes in rows[-1]:
        axes.set_xlabel("Learning rate α")
    figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _against_rates(axes: Axes, data: DataSet, values: Callable[[Cell], list[float]]) -> None:
    _grid(axes)
    rates = data.rates("rsgdm", "sgdm")
    for arm in ("sgdm", "rsgdm", "nesterov"):
        rows = [np.array(values(Cell(arm, rate))) for rate in rates]
        draw_band(axes, np.array(rates), rows, arm, STYLES[arm])
    _rate_axis(axes, rates)


def leads(data_sets: Mapping[str, DataSet]) -> Figure:
    """Leads over sgdm against α; and ln of SGDM's stationary variance over theirs against αλ."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    measured, theory = figure.subplots(1, 2, sharey=True)
    _grid(measured)
    _grid(theory)
    every: set[float] = set()
    for marker, (name, data) in zip(_MARKERS, data_sets.items(), strict=True):
        for arm, _ in _CORRECTIONS.values():
            rates = data.rates(arm, "sgdm")
            if not rates:
                continue
            every |= set(rates)
            tested = family([data.leads(Cell(arm, rate), Cell("sgdm", rate)) for rate in rates])
            colour, _ = _COLOURS[arm]
            means = [each.difference.mean for each in tested]
            measured.plot(rates, means, color=colour, marker=marker, markersize=4, linewidth=1)
            for rate, each in zip(rates, tested, strict=True):
                ends = each.difference.low, each.difference.high
                measured.plot([rate, rate], ends, color=colour)
        if data.rates("rsgdm", "sgdm"):
            measured.plot([], [], color=GREY, marker=marker, markersize=4, label=name)
    _rate_axis(measured, sorted(every))
    measured.set(xlabel="Learning rate α", ylabel="Lead over sgdm", title="Measured")
    for label, (arm, correction) in _CORRECTIONS.items():
        a = np.geomspace(0.01, 0.9999 * stable_limit(correction), 400)
        colour, _ = _COLOURS[arm]
        theory.plot(
            a, np.log(variance(0.0, a) / variance(correction, a)), color=colour, label=label
        )
    theory.set_xscale("log")
    theory.set(xlabel="αλ", ylim=_SHOWN, title="Theory: ln of the variances' ratio")
    for axes in (measured, theory):
        axes.axhline(0, color=STYLES["sgdm"][0], linewidth=0.8)
    for axes in (theory, measured):
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            axes.legend(handles, labels, loc="upper left", fontsize=8)
    return figure


def stable_limit(correction: float, decay: float = _DECAY) -> float:
    """The αλ from which on a quadratic diverges: docs/linear-momentum.md."""
    return 2 * (1 + decay) / ((1 - decay) * (1 + 2 * correction))


def variance(correction: float, a: np.ndarray, decay: float = _DECAY) -> np.ndarray:
    """The stationary variance on a noisy quadratic in units of ασ²/λ, at a = αλ.

    What `rsgdm_optax.linear.stationary_variance` says, without JAX: a report needs none.
    """
    left = 2 * (1 + decay) - a * (1 - decay) * (1 + 2 * correction)
    top = 1 + decay + a * correction * (1 - decay) * (1 + 2 * correction)
    return np.asarray(top / ((1 + a * correction) * left))


def _rate_axis(axes: Axes, rates: list[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())


def _grid(axes: Axes) -> None:
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)

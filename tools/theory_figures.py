"""Draws the figures of docs/theory.md and docs/linear-momentum.md: `make figures`.

python tools/theory_figures.py [FOLDER]
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsgdm_optax import analysis, linear
from train.common.files import write_bytes
from train.report.drawing import GREY, STYLES, Axes, Figure, drawing, render

DECAY = 0.9
Array = npt.NDArray[Any]
METHODS: Mapping[str, Callable[[float], linear.LinearMomentum]] = {
    "sgd": lambda _: linear.sgd(),
    "sgdm": linear.sgdm,
    "nesterov": linear.nesterov,
    "rsgdm": linear.rsgdm,
}


def rise_turn_fall() -> Array:
    """70 gradients: still, a rise, a turn, a fall below zero, still again."""
    t = np.arange(70)
    return np.interp(t, [0, 5, 25, 30, 50, 70], [0.0, 0.0, 1.0, 1.0, -0.5, -0.5])


def _axes(
    columns: int = 1, *, width: float = 4.6, height: float = 3.2
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = [figure.add_subplot(1, columns, k + 1) for k in range(columns)]
    for one in axes:
        one.grid(color="0.9", linewidth=0.6)
        one.set_axisbelow(True)
    return figure, axes


def _legend(figure: Figure, axes: Axes, columns: int) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=columns)


def weights() -> Figure:
    """What each of the first twelve gradients weighs in the twelfth update."""
    steps = 12
    figure, (axes,) = _axes()
    i = np.arange(1, steps + 1)
    markers = {"sgdm": "o", "nesterov": "s", "rsgdm": "D"}
    for method, marker in markers.items():
        colour, _ = STYLES[method]
        # Nesterov's hollow squares leave RSGDM's points visible where the two agree.
        hollow = method == "nesterov"
        w = METHODS[method](DECAY).weights(steps)
        axes.plot(
            i,
            w,
            marker,
            color=colour,
            markerfacecolor="none" if hollow else colour,
            markersize=8 if hollow else 4,
            label=method,
        )
    axes.annotate(
        "RSGDM drops g₁", (1.1, 0.001), (2.2, 0.004), arrowprops={"arrowstyle": "->"}, fontsize=8
    )
    axes.set(xlabel="Gradient", ylabel="Weight in the update", ylim=(0, 0.2), xticks=i)
    _legend(figure, axes, 3)
    return figure


def lag() -> Figure:
    """M and n behind a gradient that rises, turns and falls, without and with noise."""
    figure, panels = _axes(2, width=7.6, height=3.6)
    true = rise_turn_fall()
    noise = 0.3 * np.random.default_rng(0).standard_normal(len(true))
    for axes, gradients in zip(panels, (true, true + noise), strict=True):
        terms = analysis.bias_terms(gradients, DECAY)
        if gradients is not true:
            axes.plot(gradients, ".", color=GREY, markersize=2.5)
        axes.plot(true, color=GREY, linewidth=2.5, label="true gradient")
        axes.plot(terms.m, color=STYLES["sgdm"][0], label="m, SGDM")
        axes.plot(terms.n, color=STYLES["rsgdm"][0], label="n, RSGDM")
        axes.set(xlabel="Step", ylim=(-1.2, 1.6))
    panels[0].set_ylabel("Gradient and its estimates")
    panels[1].tick_params(labelleft=False)
    _legend(figure, panels[0], 3)
    return figure


def frequency() -> Figure:
    """Gain and delay against the frequency of an oscillating gradient."""
    figure, (gain, delay) = _axes(2, width=7.6)
    f = np.geomspace(1e-3, 0.5, 400)
    for method in ("sgd", "sgdm", "rsgdm"):
        colour, dashes = STYLES[method]
        response = METHODS[method](DECAY).frequency_response(f)
        label = "rsgdm, nesterov" if method == "rsgdm" else method
        gain.loglog(f, np.abs(response), color=colour, linestyle=dashes, label=label)
        delay.semilogx(f, -np.angle(response) / (2 * np.pi * f), color=colour, linestyle=dashes)
    gain.set(xlabel="Frequency (cycles a step)", ylabel="Gain", ylim=(0.04, 1.5))
    gain.set_yticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
    gain.minorticks_off()
    delay.set(xlabel="Frequency (cycles a step)", ylabel="Delay (steps)")
    _legend(figure, gain, 3)
    return figure


def stability() -> Figure:
    """The largest stable αλ against the decay; below each curve its method is stable."""
    figure, (axes,) = _axes()
    decays = np.linspace(0, 0.98, 200)
    for method in ("sgdm", "rsgdm", "sgd"):
        limit = np.array([METHODS[method](decay).stability_limit for decay in decays])
        colour, dashes = STYLES[method]
        label = "rsgdm, nesterov" if method == "rsgdm" else method
        axes.semilogy(decays, limit, color=colour, linestyle=dashes, label=label)
        axes.fill_between(decays, 1, limit, color=colour, alpha=0.08, linewidth=0)
    for method in ("sgdm", "rsgdm"):
        at_decay = METHODS[method](DECAY).stability_limit
        axes.plot(DECAY, at_decay, "o", color=STYLES[method][0], markersize=4)
        axes.annotate(
            f"{at_decay:.4g}", (DECAY, at_decay), (5, -9), textcoords="offset points", fontsize=8
        )
    axes.set(xlabel="Decay β", ylabel="Largest stable αλ", xlim=(0, 1), ylim=(1, 250))
    axes.set_yticks(
        [1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"]
    )
    axes.minorticks_off()
    _legend(figure, axes, 3)
    return figure


def bias() -> Figure:
    """ξ and ς: where the correction shrinks the bias, and where it does not."""
    figure, panels = _axes(2, width=7.6)
    ramp = np.arange(1.0, 31.0)
    t = 10
    powers = DECAY ** np.arange(t - 1, -1, -1.0)
    ramp[0] = ramp[t - 1] - np.sum((powers * (ramp[:t] - ramp[t - 1]))[1:]) / powers[0]
    for axes, gradients in zip(panels, (rise_turn_fall(), ramp), strict=True):
        terms = analysis.bias_terms(gradients, DECAY)
        step = np.arange(1, len(gradients) + 1)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.plot(step, terms.xi, color=STYLES["sgdm"][0], label="ξ, SGDM")
        axes.plot(step, terms.sigma, color=STYLES["rsgdm"][0], label="ς, RSGDM")
        axes.set_xlabel("Step")
    sigma = analysis.bias_terms(ramp, DECAY).sigma[t - 1]
    panels[1].plot([t, t], [0, sigma], color=GREY, linestyle=":")
    panels[1].annotate("ξ = 0, ς is not", (t, sigma / 2), (t + 1, 4), fontsize=8)
    panels[0].set_ylabel("Bias / (1 − β)")
    _legend(figure, panels[0], 2)
    return figure


def feedback() -> Figure:
    """The stationary variance on a noisy quadratic against SGDM's, for several weights of z."""
    figure, (axes,) = _axes(width=5.6, height=3.6)
    sgdm = linear.sgdm(DECAY)
    end = 21.0
    axes.axhline(1, color=STYLES["sgdm"][0], linewidth=1, label="sgdm")
    weights = {"c = β/2": DECAY / 2, "c = β, rsgdm": DECAY, "c = 2": 2.0, "c = 4": 4.0}
    for name, (label, c) in zip(("sgd", "rsgdm", "nesterov", "adam"), weights.items(), strict=True):
        method = linear.rsgdm(DECAY, c)
        limit = method.stability_limit
        a = np.linspace(0.02, min(end, 0.9999 * limit), 500)
        ratio = linear.stationary_variance(method, 1.0, a) / linear.stationary_variance(
            sgdm, 1.0, a
        )
        colour, dashes = STYLES[name]
        axes.plot(a, ratio, color=colour, linestyle=dashes, label=label)
        if limit < end:
            axes.axvline(limit, color=colour, linewidth=0.8, linestyle=":")
            axes.annotate(
                f"{limit:.3g}", (limit, 1.97), (3, -2), textcoords="offset points", fontsize=8
            )
    axes.set(xlabel="αλ", ylabel="Variance, relative to SGDM's", xlim=(0, end), ylim=(0, 2))
    axes.set_xticks(range(0, 21, 4))
    _legend(figure, axes, 5)
    return figure


FIGURES: Mapping[str, Callable[[], Figure]] = {
    figure.__name__: figure for figure in (weights, lag, frequency, stability, bias, feedback)
}


def main(folder: Path) -> None:
    """Writes every figure as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    with drawing():
        for name, draw in FIGURES.items():
            write_bytes(folder / f"{name}.svg", render(draw(), "svg", text_as_paths=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "figures")

"""Draws the paths of optimizers on three small functions, for docs/gallery.md.

python tools/gallery.py

One rule chooses every learning rate: of a grid of eight rates a decade, the one whose loss is least
at the end, in the mean over the last tenth of the steps and, where gradients are noisy, over 32
sequences of noise. All else is fixed: β = 0.9 and Adam's usual constants.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import rsgdm_optax

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = DOCS / "figures" / "gallery"
RATES = 10 ** (np.arange(-32, 17) / 8)  # 0.0001 to 100
OPTIMIZERS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "sgdm": rsgdm_optax.sgdm,
    "nesterov": rsgdm_optax.nesterov,
    "rsgdm, c = 0.9": functools.partial(rsgdm_optax.rsgdm, compact=True),
    "rsgdm, c = 4.25": functools.partial(rsgdm_optax.rsgdm, correction=4.25, compact=True),
    "adam": optax.adam,
    "rsadam": rsgdm_optax.rsadam,
}
COLOURS = ("#666666", "#000000", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7")


class Problem(NamedTuple):
    """A function of two parameters, where a path starts on it, and what is drawn."""

    title: str
    loss: Callable[[jax.Array], jax.Array]
    start: tuple[float, float]
    minimum: tuple[float, float]
    steps: int
    noise: float  # standard deviation of each entry of the gradient
    window: tuple[float, float, float, float]  # left, right, bottom, top


def quadratic(small: float, large: float) -> Callable[[jax.Array], jax.Array]:
    """Turned by 30 degrees: along the axes, Adam's division would make the curvatures equal."""
    turn = np.deg2rad(30)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    matrix = axes.T @ np.diag([small, large]) @ axes
    return lambda p: (
        0.5 * (matrix[0, 0] * p[0] ** 2 + matrix[1, 1] * p[1] ** 2) + (matrix[0, 1] * p[0] * p[1])
    )


PROBLEMS = {
    "rosenbrock": Problem(
        "Rosenbrock's function",
        lambda p: 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2,
        (-1.2, 1.0),
        (1.0, 1.0),
        300,
        0.0,
        (-1.6, 1.5, -0.6, 1.7),
    ),
    "quadratic": Problem(
        "Quadratic, curvatures 1 and 50",
        quadratic(1, 50),
        (-4.0, -1.0),
        (0.0, 0.0),
        60,
        0.0,
        (-4.6, 2.6, -3.6, 1.8),
    ),
    "noisy": Problem(
        "Quadratic, curvatures 1 and 10, gradients with noise of 2",
        quadratic(1, 10),
        (-4.0, -1.0),
        (0.0, 0.0),
        100,
        2.0,
        (-4.6, 2.6, -2.6, 1.8),
    ),
}


def path(problem: Problem, optimizer: optax.GradientTransformation, seed: Any = 0) -> jax.Array:
    """The parameters from the start on, of shape (steps + 1, 2)."""
    params = jnp.asarray(problem.start)
    noise = problem.noise * jax.random.normal(jax.random.key(seed), (problem.steps, 2))

    def step(carry: Any, noise: jax.Array) -> Any:
        params, state = carry
        gradient = jax.grad(problem.loss)(params) + noise
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    _, points = jax.lax.scan(step, (params, optimizer.init(params)), noise)
    return jnp.concatenate([params[None], points])


def tuned(problem: Problem, optimizer: Callable[[Any], Any]) -> tuple[float, float]:
    """The best rate of the grid, and its loss at the end."""
    seeds = jnp.arange(32 if problem.noise else 1)

    def at_the_end(rate: jax.Array, seed: jax.Array) -> jax.Array:
        points = path(problem, optimizer(rate), seed)[-problem.steps // 10 :]
        return jnp.mean(jax.vmap(problem.loss)(points))

    def mean_loss(rate: jax.Array) -> jax.Array:
        return jnp.mean(jax.vmap(functools.partial(at_the_end, rate))(seeds))

    found = np.asarray(jax.vmap(mean_loss)(jnp.asarray(RATES)))
    best = int(np.argmin(np.where(np.isfinite(found), found, np.inf)))
    return float(RATES[best]), float(found[best])


def figure(problem: Problem, rates: dict[str, float]) -> Figure:
    """A panel a path, and one with the losses of all."""
    left, right, bottom, top = problem.window
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(bottom, top, 200))
    heights = np.log10(np.asarray(problem.loss(jnp.stack([x, y]))) + 1e-3)
    drawing = Figure(figsize=(11, 5.2), layout="constrained")
    panels = drawing.subplots(2, 4)
    curves = panels.flat[-1]
    for panel, colour, (name, rate) in zip(panels.flat, COLOURS, rates.items(), strict=False):
        points = np.asarray(path(problem, OPTIMIZERS[name](rate)))
        panel.contour(x, y, heights, levels=9, colors="#bbbbbb", linewidths=0.5, linestyles="solid")
        panel.plot(*points.T, color=colour, linewidth=1, marker=".", markersize=3)
        panel.plot(*problem.minimum, color="black", marker="+", markersize=9)
        panel.set(title=f"{name}\nα = {rate:.2g}", xlim=(left, right), ylim=(bottom, top))
        panel.title.set(fontsize=9, color=colour)
        panel.tick_params(labelsize=7)
        losses = np.asarray(jax.vmap(problem.loss)(jnp.asarray(points)))
        curves.plot(losses, color=colour, linewidth=1)
    curves.set(yscale="log", title="loss against steps")
    curves.title.set_fontsize(9)
    curves.tick_params(labelsize=7)
    drawing.suptitle(problem.title)
    return drawing


def table(results: dict[str, dict[str, tuple[float, float]]]) -> str:
    """Rates and losses at the end, an optimizer a row."""
    head = "".join(f" {name}: α | loss at the end |" for name in results)
    lines = [f"| optimizer |{head}", "|---|" + "---|---|" * len(results)]
    for name in OPTIMIZERS:
        cells = (
            f" {rate:.2g} | {loss:.2g} |" for rate, loss in (r[name] for r in results.values())
        )
        lines.append(f"| {name} |" + "".join(cells))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the figures, and the table into docs/gallery.md."""
    jax.config.update("jax_enable_x64", val=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    results = {}
    for name, problem in PROBLEMS.items():
        results[name] = {label: tuned(problem, make) for label, make in OPTIMIZERS.items()}
        drawing = figure(problem, {label: rate for label, (rate, _) in results[name].items()})
        drawing.savefig(FIGURES / f"{name}.png", dpi=130)
    page = DOCS / "gallery.md"
    text = page.read_text(encoding="utf-8")
    marked = r"(<!-- table -->\n).*?(<!-- end of table -->)"
    text = re.sub(marked, lambda match: match[1] + table(results) + match[2], text, flags=re.S)
    page.write_text(text, encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()

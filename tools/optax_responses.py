"""What the weights of past gradients say of every transformation in optax and optax.contrib.

python tools/optax_responses.py

It writes the tables between the marks in docs/linear-momentum.md, in a few minutes, from the
installed optax. tests/library/test_responses.py says when the linear ones are stale.
"""

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
import optax

from rsgdm_optax import linear
from rsgdm_optax.linear import LinearMomentum

Array = npt.NDArray[Any]
DOCUMENT = Path(__file__).parents[1] / "docs" / "linear-momentum.md"
BETA = 0.6  # of every average: after STEPS steps 10⁻⁷ of a start is left; 1 − BETA is another
STEPS = 32
LARGE = 1e12  # an eps beside which a denominator is nothing: the numerator is left
LINEAR = 1e-9
MEMBER = 1e-6  # of the largest weight
# By the name of a parameter, where a function has it; learning rates are 1.
COMMON: Mapping[str, Any] = {
    "learning_rate": 1.0,
    **dict.fromkeys(("decay", "momentum", "beta", "b1"), BETA),
    **dict.fromkeys(("clipping", "max_delta", "threshold", "max_norm", "step_size"), 1.0),
    "step_size_fn": lambda _: 1.0,
    "eta": 0.1,
    "gamma": 0.5,
    "key": 0,
}
# What a row has beyond these: (label, function, arguments).
VARIANTS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("sgd, no momentum", "sgd", {"momentum": None}),
    ("sgd, nesterov", "sgd", {"nesterov": True}),
    ("trace, nesterov", "trace", {"nesterov": True}),
    ("ema, debias=False", "ema", {"debias": False}),
    ("adan, b1 = b2", "adan", {"b2": BETA}),
    ("scale_by_adan, b1 = b2", "scale_by_adan", {"b2": BETA}),
    ("apply_every, k=2", "apply_every", {"k": 2}),
    ("contrib.scale_by_muon, one step x ↦ x", "scale_by_muon", {"ns_coeffs": (1, 0, 0)}),
)
PAPER = "Δg₁ = 0"
MATRICES = ("sm3", "scale_by_sm3", "contrib.scale_by_muon")  # they take no scalars


class Row(NamedTuple):
    """One transformation: how far it is from linear, and what it or its numerator is."""

    name: str
    nonlinearity: float
    part: str  # "all", "numerator" or "none"
    member: str
    start: str


def functions() -> dict[str, Callable[..., Any]]:
    """Every public function of optax that says that it returns a transformation."""
    found: dict[str, Callable[..., Any]] = {}
    for module, prefix in ((optax, ""), (optax.contrib, "contrib.")):
        for name, function in sorted(vars(module).items()):
            is_made = inspect.isfunction(function) or isinstance(function, functools.partial)
            if not is_made or name.startswith("_"):
                continue
            if "Transformation" in str(inspect.signature(function).return_annotation):
                found[prefix + name] = function
    return found


def rows() -> tuple[list[Row], list[str]]:
    """A row of each function that can be probed, and the names of the others."""
    found, left = [], []
    for name, function in functions().items():
        short = name.removeprefix("contrib.")
        try:
            found.append(row(name, function))
        except (TypeError, IndexError, ValueError):  # it asks for a loss, or for more arguments
            left.append(name)
        found += [row(label, function, more) for label, each, more in VARIANTS if each == short]
    return found, left


def row(name: str, function: Callable[..., Any], more: Mapping[str, Any] | None = None) -> Row:
    """What one function makes."""
    parameters = inspect.signature(function).parameters
    arguments = {key: value for key, value in COMMON.items() if key in parameters} | dict(
        more or {}
    )
    is_matrix = name.partition(",")[0] in MATRICES
    at = np.random.default_rng(0).standard_normal((STEPS, 2, 3)) if is_matrix else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is deprecated
        found = linear.impulse_response(function(**arguments), STEPS, at=at)
        if found.nonlinearity < LINEAR:
            return Row(name, found.nonlinearity, "all", *described(found.weights))
        if "eps" in parameters:
            numerator = linear.impulse_response(
                function(**arguments | {"eps": LARGE}), STEPS, at=at
            )
            if numerator.nonlinearity < LINEAR:
                words = described(numerator.weights, with_gain=False)
                return Row(name, found.nonlinearity, "numerator", *words)
    return Row(name, found.nonlinearity, "none", "", "")


def described(weights: Array, *, with_gain: bool = True) -> tuple[str, str]:
    """The member of the family, and how it starts."""
    if not weights.any():
        return "zero", ""
    try:
        found = linear.identify(weights)
        if found.error < MEMBER:
            return member(found.method, with_gain=with_gain), start(found.method)
        steps = np.arange(1.0, len(weights) + 1)
        debiased = linear.identify(weights * (1 - found.method.pole**steps)[:, None])
    except ValueError:
        return "none", "weights that change from step to step"
    if debiased.error < MEMBER:
        return member(debiased.method, with_gain=with_gain), "debiased"
    late = max(
        np.abs(found.sign * found.method.impulse(t)[:-1] - weights[t - 1, t - 1 : 0 : -1]).max()
        for t in (STEPS - 1, STEPS)
    )
    if late < MEMBER * np.abs(weights[-1]).max():
        return member(found.method, with_gain=with_gain), "other"
    return "none", f"off by {found.error:.0e}"


def member(method: LinearMomentum, *, with_gain: bool) -> str:
    """The shortest name of a method."""
    beta, c = float(method.pole), float(method.correction)
    gain = float(method.gain) if with_gain else 1.0
    is_zero = abs(c) < 1e-5
    if beta < MEMBER:
        name = "SGD" if is_zero else f"OGDA, w = {c:.4g}"
    elif is_zero:
        name = f"SGDM, β = {beta:.4g}"
    elif abs(c - beta) < 1e-5:
        name = f"{'RSGDM' if start(method) == PAPER else 'Nesterov'}, β = {beta:.4g}"
    else:
        name = f"c = {c:.4g}, β = {beta:.4g}"
    return name if abs(gain - 1) < 1e-5 else f"{gain:.4g} × {name}"


def start(method: LinearMomentum) -> str:
    """What becomes of the first gradient."""
    if method.first is None:
        return "as any gradient"
    gain, beta, c = float(method.gain), float(method.pole), float(method.correction)
    now, then = (float(weight) / gain for weight in method.first)
    if abs(now) + abs(then) < MEMBER:
        return "dropped"
    off = abs(now - (1 - beta)) + abs(then - (1 - beta) * (beta - c))
    return PAPER if off < MEMBER else "other"


def line(row: Row) -> str:
    """A row of the first two tables."""
    off = "" if row.part == "all" else f" {row.nonlinearity:.1g} |"
    return f"| `{row.name}` |{off} {row.member} | {row.start} |"


def block() -> Iterator[str]:
    """The lines between the marks."""
    found, left = rows()
    yield f"optax {optax.__version__}, {STEPS} steps, every average's decay {BETA}, gradients of a"
    yield "scalar parameter of zero.\n"
    yield "**Linear** (off by less than 10⁻⁹):\n"
    yield "| transformation | what it is | first gradient |\n|---|---|---|"
    yield from (line(row) for row in found if row.part == "all")
    yield f"\n**Linear except for a denominator.** With eps = {LARGE:.0e} the numerator is left:\n"
    yield "| transformation | not linear by | its numerator | first gradient |\n|---|---|---|---|"
    yield from (line(row) for row in found if row.part == "numerator")
    yield "\n**Not linear**, and by how much:"
    words = [f"`{row.name}` {row.nonlinearity:.1g}" for row in found if row.part == "none"]
    yield ", ".join(words) + "."
    yield "\n**Not probed**: they wrap another transformation or ask for more than gradients:"
    yield ", ".join(f"`{name}`" for name in left) + "."


MARKS = re.compile(r"(<!-- responses -->\n)(.*?)(<!-- end of responses -->)", re.S)


def main() -> None:
    """Renews the document."""
    jax.config.update("jax_enable_x64", True)  # noqa: FBT003
    text = "\n".join(block()) + "\n"
    before, mark, _, end, after = MARKS.split(DOCUMENT.read_text(encoding="utf-8"))
    DOCUMENT.write_text(before + mark + text + end + after, encoding="utf-8")
    print(f"{DOCUMENT.name} is renewed")


if __name__ == "__main__":
    main()

"""The tables of optax's transformations, by the rows of those that every optax has."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import optax_responses  # noqa: E402

DOCUMENT = optax_responses.DOCUMENT.read_text(encoding="utf-8")
VARIANTS = {label: (function, more) for label, function, more in optax_responses.VARIANTS}
# Linear in every version of optax, with names in the family, and a few numerators.
NAMES = [
    *("identity", "scale", "sgd", "sgd, no momentum", "sgd, nesterov", "trace", "trace, nesterov"),
    *("ema", "ema, debias=False", "optimistic_gradient_descent", "scale_by_optimistic_gradient"),
    *("apply_every, k=2", "adam", "scale_by_adam", "nadam"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_linear_rows_are_todays(name, x64):
    function, more = VARIANTS.get(name, (name, None))
    row = optax_responses.row(name, optax_responses.functions()[function], more)
    line = optax_responses.line(row)
    assert line in DOCUMENT.splitlines(), "run `python tools/optax_responses.py`"


def test_rows_say_what_is_known(x64):
    functions = optax_responses.functions()
    members = {
        name: optax_responses.row(name, functions[name])[2:]
        for name in ("scale_by_optimistic_gradient", "ema", "clip", "set_to_zero")
    }
    assert members == {
        "scale_by_optimistic_gradient": ("all", "OGDA, w = 0.6", "Δg₁ = 0"),
        "ema": ("all", "SGDM, β = 0.6", "debiased"),
        "clip": ("none", "", ""),
        "set_to_zero": ("all", "zero", ""),
    }

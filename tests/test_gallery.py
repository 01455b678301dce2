"""The gallery's paths are the optimizers', and its rates the best of the grid."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from tests.library import reference

GALLERY = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "gallery.py"))
QUADRATIC = GALLERY["PROBLEMS"]["quadratic"]
TURN = np.deg2rad(30)
AXES = np.array([[np.cos(TURN), np.sin(TURN)], [-np.sin(TURN), np.cos(TURN)]])
MATRIX = AXES.T @ np.diag([1.0, 50.0]) @ AXES


def _path(method, rate, **arguments):
    points = [np.array(QUADRATIC.start)]

    def gradients():
        for _ in range(QUADRATIC.steps):
            yield MATRIX @ points[-1]

    for n in method(gradients(), 0.9, **arguments):
        points.append(points[-1] - rate * n)
    return np.array(points)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method", "arguments"),
    [
        ("sgdm", reference.sgdm, {}),
        ("nesterov", reference.nesterov, {}),
        ("rsgdm, c = 0.9", reference.rsgdm, {}),
        ("rsgdm, c = 4.25", reference.rsgdm, {"correction": lambda _: 4.25}),
    ],
)
def test_paths(name, method, arguments, x64):
    found = GALLERY["path"](QUADRATIC, GALLERY["OPTIMIZERS"][name](0.05))
    np.testing.assert_allclose(found, _path(method, 0.05, **arguments), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_the_chosen_rate_is_the_best(x64):
    rate, loss = GALLERY["tuned"](QUADRATIC, GALLERY["OPTIMIZERS"]["sgdm"])
    rates = GALLERY["RATES"][:40]  # the others diverge, to numbers beyond float64
    points = [_path(reference.sgdm, r)[-QUADRATIC.steps // 10 :] for r in rates]
    losses = [np.mean([0.5 * p @ MATRIX @ p for p in end]) for end in points]
    assert rate == rates[np.argmin(losses)]
    np.testing.assert_allclose(loss, min(losses), rtol=1e-9)

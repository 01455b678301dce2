"""The largest eigenvalue at the end of training, against a full matrix."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.commands import status
from train.experiments import sharpness
from train.experiments.sharpness import MOST_ITERATIONS, TOLERANCE, largest_eigenvalue


def _symmetric(largest: float) -> np.ndarray:
    """A 12×12 matrix with this eigenvalue, and others of at most half its size."""
    rng = np.random.default_rng(0)
    vectors, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    values = np.append(largest, rng.uniform(-0.5, 0.5, 11) * abs(largest))
    return (vectors * values) @ vectors.T


@pytest.mark.parametrize("largest", [5.0, -5.0, 1e-6])
def test_the_eigenvalue_of_largest_magnitude(largest):
    matrix = jnp.asarray(_symmetric(largest), jnp.float32)

    def product(tree):
        image = matrix @ jnp.concatenate([tree["a"], tree["b"]])
        return {"a": image[:5], "b": image[5:]}

    start = {"a": jnp.ones(5), "b": jnp.arange(7.0)}
    found = jax.jit(lambda start: largest_eigenvalue(product, start))(start)
    # What is left shrinks by at least a half a step, so the last change is of its size.
    np.testing.assert_allclose(found.value, largest, rtol=2 * TOLERANCE)
    assert 1 < found.iterations < MOST_ITERATIONS


@pytest.mark.slow
def test_the_end_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "--preset demo --train-examples 256 --epochs 1 --optimizers sgdm --seeds 1 --output out"
    assert status(sharpness, words, monkeypatch) == 0
    found = json.loads(Path("out/sgdm-seed0.json").read_text())
    assert found["status"] == "done"
    assert found["eigenvalue"] > 0
    assert 1 < found["iterations"] < MOST_ITERATIONS

"""The largest eigenvalue at the end of training, against matrices of known ones."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.commands import status
from train.experiments import sharpness
from train.experiments.sharpness import TOLERANCE, largest_eigenvalue

SIZE = 40  # more than the vectors that ARPACK keeps: it has to start again


def _symmetric(values: np.ndarray) -> np.ndarray:
    vectors, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(SIZE, SIZE)))
    return (vectors * values) @ vectors.T


@pytest.mark.parametrize("largest", [5.0, 1e-6])
@pytest.mark.parametrize("smallest", [-0.5, -10.0])
def test_the_largest_eigenvalue(largest, smallest):
    rest = np.linspace(smallest, 0.95, SIZE - 1)
    matrix = jnp.asarray(_symmetric(largest * np.append(rest, 1.0)), jnp.float32)

    def product(tree):
        image = matrix @ jnp.concatenate([tree["a"], tree["b"]])
        return {"a": image[:5], "b": image[5:]}

    found = largest_eigenvalue(product, {"a": jnp.ones(5), "b": jnp.arange(SIZE - 5.0)})
    np.testing.assert_allclose(found.value, largest, rtol=TOLERANCE)
    assert 20 <= found.products <= 10 * SIZE


@pytest.mark.slow
def test_the_end_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "--preset demo --train-examples 256 --epochs 1 --optimizers sgdm --seeds 1 --output out"
    assert status(sharpness, words, monkeypatch) == 0
    found = json.loads(Path("out/sgdm-seed0.json").read_text())
    assert found["status"] == "done"
    assert found["eigenvalue"] > 0
    assert found["products"] >= 20

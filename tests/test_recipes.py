"""Each recipe, run as a user runs it, against NumPy in float64 or PyTorch's own numbers."""

import importlib.util
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.library import reference

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes"
LIMIT = 600  # seconds, to end a hang
# What a recipe needs that no other part of the repository does.
NEEDS = {"equinox_module": "equinox", "keras_jax": "keras", "optuna_study": "optuna"}
DATA = np.random.default_rng(0)
X = DATA.normal(size=(64, 4)).astype(np.float32).astype(np.float64)
Y = X @ [1.0, -2.0, 3.0, 0.5]


def run(name: str, *words: object) -> dict[str, list[str]]:
    """What a recipe prints, `name: value` a line; the values of a repeated name in their order."""
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", RECIPES / f"{name}.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, list[str]] = {}
    for label, value in re.findall(r"^(.+): (.+)$", done.stdout, re.M):
        printed.setdefault(label, []).append(value)
    return printed


def numbers(words: list[str]) -> np.ndarray:
    return np.array([float(number) for value in words for number in value.split()])


def loss(w, x=X, y=Y):
    return np.mean((x @ w - y) ** 2)


def trained(steps, x=X, y=Y, change=lambda gradient: gradient, synced=0):
    """Weights of least squares by Algorithm 1, from zero, at the recipes' α = 0.2 and β = 0.9."""
    w = slow = np.zeros(x.shape[1])

    def gradients():
        for _ in range(steps):
            yield change(2 / len(x) * x.T @ (x @ w - y))

    for t, n in enumerate(reference.rsgdm(gradients(), 0.9), 1):
        w = w - 0.2 * n
        if synced and t % synced == 0:
            w = slow = slow + 0.5 * (w - slow)
    return slow if synced else w


def test_every_recipe_is_tested():
    text = Path(__file__).read_text(encoding="utf-8")
    for path in RECIPES.glob("*.py"):
        assert text.count(f'"{path.stem}"') >= 1, path
        assert f"recipes/{path.name}" in path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["plain_jax", "flax_nnx", "flax_linen", "equinox_module", "keras_jax"]
)
def test_frameworks_take_the_same_steps(name):
    printed = run(name)
    # Six decimals are printed, and float32 rounds 50 times at weights of 3.
    np.testing.assert_allclose(numbers(printed["weights"]), trained(50), atol=2e-6)
    assert printed.get("compile", ["refused"]) == ["refused"]


def test_logged_rate():
    printed = run("logged_rate")
    np.testing.assert_allclose(numbers(printed["rate"]), 0.5 - 0.05 * np.arange(5), rtol=1e-6)
    np.testing.assert_allclose(numbers(printed["decay"]), [0.9], rtol=1e-6)  # not 0.8984
    assert numbers(printed["decay after the change"]) == [0.5]


@pytest.mark.slow
def test_parameter_groups():
    printed = run("parameter_groups")
    # One step from 1 with the gradient 0.1·1: α·(1−β)·0.1 off, where weights decay.
    expected = {
        "embedding": 1.0,
        "encoder/bias": 1.0,
        "encoder/kernel": 1 - 0.1 * 0.1 * 0.1,
        "head/bias": 1.0,
        "head/kernel": 1 - 1.0 * 0.1 * 0.1,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(numbers(printed[name]), [value], atol=1e-6)
    assert printed["buffers"] == ["23"]  # 12 + 3 and 6 + 2; the frozen part has none


@pytest.mark.slow
def test_wrappers():
    printed = {name: numbers(words).item() for name, words in run("wrappers").items()}

    def clip(gradient):
        return gradient / max(1.0, np.linalg.norm(gradient))

    assert printed["accumulation, distance to whole batches"] < 1e-6
    # In float32; a loss of 1e-3 is a difference of numbers near 3.
    expected = loss(trained(50, change=clip)), loss(trained(50, synced=5))
    found = printed["clipping, loss"], printed["lookahead, loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert printed["schedule_free, loss"] < 0.01 * loss(np.zeros(4))


@pytest.mark.slow
def test_sharded():
    printed = {name: numbers(words).item() for name, words in run("sharded").items()}
    assert printed["devices"] == 8
    assert printed["rows on one device, of parameters"] == 16 / 8
    assert printed["rows on one device, of the buffer"] == 16 / 8
    assert printed["distance to one device"] < 2e-6  # another order of summation


@pytest.mark.slow
def test_checkpoint_on_another_number_of_devices(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 16)).astype(np.float32).astype(np.float64)
    y = x @ rng.normal(size=16).astype(np.float32)
    for devices, before in ((8, 0), (2, 10)):
        printed = run("checkpoint", tmp_path, str(devices))
        assert printed["devices"] == [str(devices)]
        assert printed["steps already taken"] == [str(before)]
        expected = trained(before + 10, x, y)
        np.testing.assert_allclose(numbers(printed["weights"]), expected, atol=2e-6)


@pytest.mark.slow
def test_upgrade_state():
    printed = run("upgrade_state")
    for name in ("another chain, distance", "one buffer, distance"):
        assert numbers(printed[name]) < 5e-7  # from parameters of 3, in float32


@pytest.mark.slow
def test_from_pytorch():
    recipe = runpy.run_path(str(RECIPES / "from_pytorch.py"))
    golden = json.loads((ROOT / "tests/golden/torch_sgd.json").read_text())
    gradients = np.array(golden["gradients"])
    with_buffers = [case for case in golden["cases"] if case["arguments"]["momentum"]]
    assert len(with_buffers) == 5
    for case in with_buffers:
        for steps in (1, 2, len(gradients)):
            p, _ = recipe["torch_sgd"](
                np.zeros(3), lambda _, t: gradients[t], steps, **case["arguments"]
            )
            # Both are float64, in another order of operations.
            np.testing.assert_allclose(p, case["path"][steps - 1], rtol=1e-12, atol=1e-14)
    printed = run("from_pytorch")
    assert len(printed) == 4
    for words in printed.values():
        assert numbers(words) < 5e-7  # from parameters of 3, in float32


@pytest.mark.slow
def test_callback(tmp_path):
    recipe = runpy.run_path(str(RECIPES / "callback.py"))
    seen = []
    recipe["train"](lambda step, metrics: seen.append((step, metrics)))
    assert [step for step, _ in seen] == [10, 20, 30]
    w = np.array([1.0, -2.0])
    losses = []

    def gradients():
        for _ in range(30):
            losses.append(np.sum(w**2))
            yield 2 * w

    for n in reference.rsgdm(gradients(), 0.9):
        w = w - 0.2 * n
    expected = [losses[step - 1] for step in (10, 20, 30)]
    found = [metrics["loss"] for _, metrics in seen]
    np.testing.assert_allclose(found, expected, rtol=1e-4)  # small ones after oscillation

    class Run:
        def log(self, metrics, step):
            self.last = (step, metrics)

        log_metrics = log

    for listener in ("to_wandb", "to_mlflow"):
        there = Run()
        recipe[listener](there)(*seen[-1])
        assert there.last == seen[-1]

    run("callback", tmp_path)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 20, 30]
    np.testing.assert_allclose([event.value for event in events.Scalars("loss")], found, rtol=1e-6)


@pytest.mark.slow
def test_optuna_study(tmp_path):
    printed = run("optuna_study", tmp_path, "2")
    results = {path: json.loads(path.read_text()) for path in tmp_path.glob("*/*/result.json")}
    assert len(results) == 2
    best = min(results, key=lambda path: results[path]["validation_loss"])
    assert not any("test_loss" in result for result in results.values())
    rate = float(best.parts[-3].removeprefix("rate-"))
    np.testing.assert_allclose(numbers(printed["best rate"]), [rate], rtol=1e-3)  # 4 digits
    assert numbers(printed["validation loss"]) == results[best]["validation_loss"]

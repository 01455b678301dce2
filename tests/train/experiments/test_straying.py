"""How far optimizers stray from Nesterov: against softmax regression in NumPy, and a real study."""

import json

import numpy as np
import pytest

from tests.library import reference
from tests.train.conftest import one_device, small
from tests.train.softmax import Linear, gradient, parameters
from train.data.dataset import load
from train.engine.epochs import Trainer
from train.engine.recipe import Recipe, make_network
from train.engine.steps import Keys, epoch_order
from train.experiments.measurement import Subject, measure_all
from train.experiments.nesterov_distance import FIRST_STEPS, straying
from train.models.cpu_convolution import VARIABLE
from train.models.resnet import MODELS

BATCH, EPOCHS = 64, 15
DECAY, WEIGHT_DECAY, RATE = 0.8, 0.01, 0.5


@pytest.fixture
def subject(x64, monkeypatch):
    monkeypatch.setitem(MODELS, "linear", Linear)
    monkeypatch.setenv(VARIABLE, "xla")  # there is no convolution
    config = small(
        "unused",
        optimizers=("nesterov",),
        epochs=EPOCHS,
        halve_every=5,
        batch_size=BATCH,
        decay=DECAY,
        weight_decay=WEIGHT_DECAY,
        learning_rate=RATE,
        augment=False,
        model="linear",
    )
    data = load("digits", train_examples=config.run.train_examples)
    trainer = Trainer(data, devices=one_device())
    return Subject(trainer, data, config.runs(data.fingerprint)[0])


def _path(subject, keys, method, **options):
    """Parameters after every step, by hand in NumPy."""
    theta = parameters(make_network(subject.dataset, "linear"), keys)
    path, gradients = [theta], []
    for step in range(Recipe(subject.run, subject.dataset).steps):
        epoch, position = divmod(step, Recipe(subject.run, subject.dataset).steps_per_epoch)
        order = np.asarray(epoch_order(keys, epoch, len(subject.dataset.train)))
        chosen = order[position * BATCH : (position + 1) * BATCH]
        gradients.append(gradient(theta, subject.dataset, chosen, WEIGHT_DECAY))
        direction = list(method(gradients, DECAY, **options))[-1]
        theta = theta - RATE * 0.5 ** (epoch // 5) * direction
        path.append(theta)
    return np.stack(path), gradients[0]


@pytest.mark.slow
def test_distances_equal_those_of_paths_in_numpy(subject):
    keys = Keys.of_seed(3)
    found = straying(subject)(3)
    assert found["step"] == [*range(FIRST_STEPS + 1), *range(52, 61, 4)]
    nesterov, first = _path(subject, keys, reference.nesterov)
    norms = np.linalg.norm(nesterov, axis=1)
    # Numbers are written with six digits.
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5)  # noqa: E731
    close(found["nesterov_norm"], norms[found["step"]])
    for name in ("rsgdm", "sgdm"):
        path, _ = _path(subject, keys, getattr(reference, name))
        distances = np.linalg.norm(path - nesterov, axis=1) / norms
        close(found["distance"][name], distances[found["step"]])
    close(found["first_gradient_norm"], np.linalg.norm(first))
    close(found["bound"], RATE * DECAY * np.linalg.norm(first))


@pytest.mark.slow
def test_first_step_strays_by_the_first_push(subject):
    found = straying(subject)(0)
    push = RATE * (1 - DECAY) * DECAY * found["first_gradient_norm"]
    assert found["distance"]["rsgdm"][1] * found["nesterov_norm"][1] == pytest.approx(
        push, rel=1e-5
    )


def test_with_g0_zero_rsgdm_stays_with_nesterov(subject):
    # Rounding alone: the loss is convex, so that differences do not grow.
    assert max(straying(subject)(1)["distance"]["rsgdm_gradient"]) < 1e-14


@pytest.mark.slow
def test_twins_start_as_far_away_as_said_and_differ(subject):
    measure = straying(subject)
    found, other = measure(0), measure(1)
    twin, pushed = found["distance"]["twin"], found["distance"]["pushed"]
    assert twin[0] == pytest.approx(1e-7, rel=1e-5)
    assert pushed[0] == pytest.approx(found["bound"] / found["start_norm"], rel=1e-5)
    assert min(twin) > 0
    assert found["distance"] != other["distance"]
    assert measure(0) == found


@pytest.mark.slow
def test_the_trainings_are_those_of_a_study(trained, tmp_path):
    config = small(tmp_path / "out", optimizers=("nesterov",))
    measure_all("straying", config, straying)
    for seed in range(2):
        found = json.loads((tmp_path / "out" / f"nesterov-seed{seed}.json").read_text())
        for name in ("sgdm", "rsgdm"):
            result = json.loads((trained / f"{name}-seed{seed}" / "result.json").read_text())
            assert found["test_accuracy"][name] == result["test_accuracy"]


def test_what_pushes_sgdm_away_from_nesterov_adds_up_to_its_average():
    g = np.random.default_rng(0).standard_normal((50, 3))  # docs/first-studies.md states this
    m, nesterov = (np.stack(list(each(g, DECAY))) for each in (reference.sgdm, reference.nesterov))
    np.testing.assert_allclose(np.cumsum(nesterov - m, axis=0), DECAY * m, rtol=0, atol=1e-14)

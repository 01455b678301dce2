"""Bias and variance of m and n along a training: against softmax regression in NumPy."""

import jax
import numpy as np
import pytest

from rsgdm_optax import analysis
from tests.library import reference
from tests.train.conftest import one_device, small
from tests.train.softmax import Linear, gradient, parameters
from train.data.dataset import load
from train.engine.epochs import Trainer
from train.engine.recipe import Recipe, make_network
from train.engine.steps import Keys, epoch_order
from train.experiments.bias_variance import REPLICAS, correction
from train.experiments.measurement import Subject
from train.models.cpu_convolution import VARIABLE
from train.models.resnet import MODELS

BATCH, EPOCHS, SEED = 64, 6, 2
DECAY, WEIGHT_DECAY, RATE = 0.8, 0.01, 2.0
METHODS = {"m": reference.sgdm, "n": reference.rsgdm, "N": reference.nesterov}


@pytest.fixture
def subject(x64, monkeypatch):
    monkeypatch.setitem(MODELS, "linear", Linear)
    monkeypatch.setenv(VARIABLE, "xla")  # there is no convolution
    config = small(
        "unused",
        optimizers=("sgdm",),
        epochs=EPOCHS,
        halve_every=EPOCHS,
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


def _gradients(subject, path, keys):
    """Of the keys' batches, one a step, at the parameters of the path."""
    found = []
    for step, theta in enumerate(path):
        epoch, position = divmod(step, Recipe(subject.run, subject.dataset).steps_per_epoch)
        order = np.asarray(epoch_order(keys, epoch, len(subject.dataset.train)))
        chosen = order[position * BATCH : (position + 1) * BATCH]
        found.append(gradient(theta, subject.dataset, chosen, WEIGHT_DECAY))
    return found


def _driven_by_sgdm(subject, keys):
    """The parameters before every step."""
    path = [parameters(make_network(subject.dataset, "linear"), keys)]
    while len(path) < Recipe(subject.run, subject.dataset).steps:
        m = list(reference.sgdm(_gradients(subject, path, keys), DECAY))[-1]
        path.append(path[-1] - RATE * m)
    return path


def _squared(vectors):
    return np.sum(np.square(vectors), axis=-1)


@pytest.mark.slow
def test_every_number_equals_numpys(subject):
    found = correction(subject)(SEED)
    keys = Keys.of_seed(SEED)
    path = _driven_by_sgdm(subject, keys)
    everything = np.arange(len(subject.dataset.train))
    full = np.stack([gradient(t, subject.dataset, everything, WEIGHT_DECAY) for t in path])
    change = np.diff(full, axis=0, prepend=full[:1])
    terms = analysis.bias_terms(full, DECAY)
    # Numbers are written with six digits; what should be zero is a difference of numbers near 1.
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-12)  # noqa: E731

    assert found["step"] == list(range(1, Recipe(subject.run, subject.dataset).steps + 1))
    close(found["gradient_squared"], _squared(full))
    close(found["change_squared"], _squared(change))
    close(found["start_squared"], _squared(terms.gradient - full))
    close(found["xi_squared"], _squared((1 - DECAY) * terms.xi))
    close(found["sigma_squared"], _squared((1 - DECAY) * terms.sigma))

    _, *orders = jax.random.split(keys.augmentation, 1 + REPLICAS)
    drawn = [_gradients(subject, path, keys._replace(order=order)) for order in orders]
    for name, method in METHODS.items():
        mean = np.stack(list(method(full, DECAY)))
        values = np.stack([list(method(gradients, DECAY)) for gradients in drawn])
        variance = np.var(values, axis=0, ddof=1).sum(-1)
        close(found[name]["bias_squared"], _squared(mean - full))
        close(found[name]["variance"], variance)
        close(
            found[name]["bias_squared_drawn"],
            _squared(values.mean(0) - full) - variance / REPLICAS,
        )
        close(found[name]["behind"], np.sum((full - mean) * change, axis=-1))
        norm = np.sqrt(_squared(full))
        close(found[name]["cosine"], np.sum(mean * full, -1) / norm / np.sqrt(_squared(mean)))
        cosines = np.sum(values * full, -1) / norm / np.sqrt(_squared(values))
        close(found[name]["cosine_drawn"], cosines.mean(0))
    np.testing.assert_allclose(found["g"]["bias_squared"], 0, atol=1e-12)


@pytest.mark.slow
def test_the_replicas_agree_with_the_expectations(subject):
    # Their mean is off by chance: the squared distance has been lessened by what that adds on
    # average, and what is left is of the order of the variance over the number of replicas.
    found = correction(subject)(SEED)
    for name in METHODS:
        difference = np.subtract(found[name]["bias_squared_drawn"], found[name]["bias_squared"])
        scale = np.sqrt(found[name]["bias_squared"]) * np.sqrt(found[name]["variance"])
        scale += found[name]["variance"]
        assert np.all(np.abs(difference) < scale)
        assert abs(np.mean(difference)) < 0.1 * np.mean(scale)


def test_the_bias_of_n_is_the_decayed_bias_of_m_but_for_the_first_gradient():
    g = np.random.default_rng(0).standard_normal((40, 3))  # docs/first-studies.md states this
    terms = analysis.bias_terms(g, DECAY)
    first = (1 - DECAY) * DECAY ** np.arange(1.0, 41.0)[:, None] * g[0]
    np.testing.assert_allclose(terms.n - g, DECAY * (terms.m - g) - first, rtol=0, atol=1e-14)

"""The training and the evaluation step: what they compute, and how often they compile."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import rsgdm_optax
from tests.train.networks import SMALLEST
from train.data import dataset as train_data
from train.data.augment import augment, draw
from train.data.dataset import Split
from train.engine.steps import (
    EVALUATION_BATCH,
    NO_STEP,
    EvaluationStep,
    Examples,
    Keys,
    Network,
    Sums,
    TrainState,
    TrainStep,
    epoch_order,
)

load = functools.partial(train_data.load, train_examples=None, validation_examples=0)
BATCH, STEPS_PER_EPOCH = 32, 4
ONE = np.float32(1)  # the rate, which these optimizers do not ask for


class _Linear(nnx.Module):
    """A model small enough to differentiate by hand."""

    def __init__(self, rngs: nnx.Rngs):
        self.dense = nnx.Linear(64, 10, rngs=rngs)
        self.use_running_average = False

    def __call__(self, images):
        return self.dense(images.reshape(len(images), -1))


@pytest.fixture(scope="module")
def data():
    return load("digits", train_examples=BATCH * STEPS_PER_EPOCH + 5)


def _state(network, optimizer, keys):
    params, batch_stats = network.init(keys.parameters)
    return TrainState(jnp.int32(0), params, batch_stats, optimizer.init(params))


def _step(network, optimizer, **options):
    options = {"augment": False, "flip": False} | options
    return TrainStep(
        network, lambda _: optimizer, batch_size=BATCH, steps_per_epoch=STEPS_PER_EPOCH, **options
    )


def test_training_equals_softmax_regression_in_numpy(data):
    network, optimizer = Network(_Linear), rsgdm_optax.sgdm(0.1, 0.0)
    keys = Keys.of_seed(3)
    state = _state(network, optimizer, keys)
    weights = np.asarray(state.params["dense"]["kernel"][...], np.float64)
    bias = np.zeros(10)
    step = jax.jit(_step(network, optimizer))
    examples = Examples.of(data, data.train)
    total, correct = 0.0, 0
    sums = Sums.zero()
    for epoch in range(2):
        order = np.asarray(epoch_order(keys, epoch, len(data.train)))
        for k in range(STEPS_PER_EPOCH):
            batch = data.train.take(order[k * BATCH : (k + 1) * BATCH])
            x = (batch.images.reshape(BATCH, -1) - float(data.mean[0])) / float(data.std[0])
            logits = x @ weights + bias
            p = np.exp(logits - logits.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            total -= np.log(p[np.arange(BATCH), batch.labels]).sum()
            correct += (logits.argmax(1) == batch.labels).sum()
            error = (p - np.eye(10)[batch.labels]) / BATCH
            weights, bias = weights - 0.1 * x.T @ error, bias - 0.1 * error.sum(0)
            state, sums = step(state, sums, examples, order, keys, ONE)
    np.testing.assert_allclose(state.params["dense"]["kernel"][...], weights, rtol=0, atol=1e-6)
    n = 2 * STEPS_PER_EPOCH * BATCH
    assert (int(sums.correct), int(sums.count)) == (correct, n)
    assert sums.averages() == (pytest.approx(total / n, rel=1e-5), correct / n)
    assert int(sums.bad_step) == NO_STEP
    assert int(state.step) == 2 * STEPS_PER_EPOCH


def test_epoch_orders_are_permutations_that_differ_by_seed_and_epoch():
    orders = [
        np.asarray(epoch_order(Keys.of_seed(seed), epoch, 100))
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(100))
    assert len({order.tobytes() for order in orders}) == 4


def test_optimizers_of_a_seed_share_weights_batches_and_augmentation(data):
    # The first loss and the first gradient, m₁ = (1−β)·g₁, do not depend on the optimizer.
    network = Network(_Linear)
    examples = Examples.of(data, data.train)
    keys = Keys.of_seed(0)
    order = epoch_order(keys, 0, len(data.train))
    losses, gradients = [], []
    for optimizer in (rsgdm_optax.sgdm(0.1), rsgdm_optax.rsgdm(0.1), optax.adam(0.1, b1=0.9)):
        step = jax.jit(_step(network, optimizer, augment=True))
        state, sums = step(
            _state(network, optimizer, keys), Sums.zero(), examples, order, keys, ONE
        )
        losses.append(sums.averages()[0])
        name = next(name for name in ("trace", "m", "mu") if optax.tree.get(state.opt_state, name))
        gradients.append(optax.tree.get(state.opt_state, name))
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-6)
    for other in gradients[1:]:
        for a, b in zip(jax.tree.leaves(gradients[0]), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


def test_augmentation_is_of_raw_pixels(data):
    # The border of a crop is black, a raw zero; of normalised images zero is the mean.
    network, optimizer = Network(_Linear), optax.sgd(0.0)
    keys = Keys.of_seed(4)
    state = _state(network, optimizer, keys)
    order = epoch_order(keys, 0, len(data.train))
    step = jax.jit(_step(network, optimizer, augment=True))
    _, sums = step(state, Sums.zero(), Examples.of(data, data.train), order, keys, ONE)
    batch = data.train.take(np.asarray(order[:BATCH]))
    key = jax.random.fold_in(jax.random.fold_in(keys.augmentation, 0), 0)
    crops = np.asarray(
        augment(batch.images, draw(key, BATCH, (1, 1), flip=False), (1, 1)), np.float64
    )
    x = (crops.reshape(BATCH, -1) - float(data.mean[0])) / float(data.std[0])
    logits = x @ np.asarray(state.params["dense"]["kernel"][...], np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    wanted = -log_p[np.arange(BATCH), batch.labels].mean()
    assert sums.averages()[0] == pytest.approx(wanted, rel=1e-5)


def test_augmentation_depends_on_seed_epoch_and_step(data):
    network, optimizer = Network(_Linear), optax.sgd(0.0)
    step = jax.jit(_step(network, optimizer, augment=True))
    plain = jax.jit(_step(network, optimizer))
    examples = Examples.of(data, data.train)
    order = jnp.tile(jnp.arange(BATCH), STEPS_PER_EPOCH)  # every step sees the same examples

    def losses(seed, step):
        keys = Keys.of_seed(seed)
        state = _state(network, optimizer, Keys.of_seed(0))
        found = []
        for _ in range(2 * STEPS_PER_EPOCH):
            state, sums = step(state, Sums.zero(), examples, order, keys, ONE)
            found.append(sums.averages()[0])
        return found

    assert len(set(losses(0, plain))) == 1
    assert losses(0, step) == losses(0, step)
    assert len({*losses(0, step), *losses(1, step)}) == 4 * STEPS_PER_EPOCH


@pytest.mark.parametrize("n", [1, EVALUATION_BATCH - 1, EVALUATION_BATCH, EVALUATION_BATCH + 1])
def test_evaluation_counts_every_example_once(n):
    data = load("digits")
    split = Split(np.resize(data.train.images, (n, 8, 8, 1)), np.resize(data.train.labels, n))
    network = Network(_Linear)
    params, batch_stats = network.init(jax.random.key(0))
    examples = Examples.of(data, split)
    evaluate = jax.jit(EvaluationStep(network))
    sums = Sums.zero()
    for start in range(0, len(examples.labels), EVALUATION_BATCH):
        sums = evaluate(params, batch_stats, sums, examples, np.int32(start))
    x = (split.images.reshape(n, -1) - float(data.mean[0])) / float(data.std[0])
    logits = x @ np.asarray(params["dense"]["kernel"][...], np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert int(sums.count) == n
    assert int(sums.correct) == (logits.argmax(1) == split.labels).sum()
    wanted = -log_p[np.arange(n), split.labels].mean()
    assert sums.averages()[0] == pytest.approx(wanted, rel=1e-5)


def test_evaluation_uses_the_running_statistics_and_leaves_them(data):
    network = Network(functools.partial(SMALLEST, channels=1, classes=10))
    params, batch_stats = network.init(jax.random.key(0))
    images = jnp.asarray(data.train.images[:16], jnp.float32)
    apply = jax.jit(network.apply, static_argnames="training")
    alone, after = apply(params, batch_stats, images[:1], training=False)
    together, _ = apply(params, batch_stats, images, training=False)
    np.testing.assert_allclose(together[:1], alone, rtol=1e-4, atol=1e-5)
    assert jax.tree.all(jax.tree.map(np.array_equal, batch_stats, after))
    _, trained = apply(params, batch_stats, images, training=True)
    assert not jax.tree.all(jax.tree.map(np.array_equal, batch_stats, trained))


def test_first_step_that_diverged_is_kept(data):
    network, optimizer = Network(_Linear), optax.sgd(1e38)
    step = jax.jit(_step(network, optimizer))
    keys = Keys.of_seed(0)
    examples = Examples.of(data, data.train)
    state, sums = _state(network, optimizer, keys), Sums.zero()
    order = epoch_order(keys, 0, len(data.train))
    finite = []
    for _ in range(STEPS_PER_EPOCH):
        before = float(sums.loss)
        state, sums = step(state, sums, examples, order, keys, ONE)
        finite.append(bool(np.isfinite(float(sums.loss) - before)))
    assert finite[0]
    assert not finite[-1]
    assert int(sums.bad_step) == finite.index(False) + 1

"""What training must not do: keep memory, compile again, wait for each step, lose precision."""

import functools
import gc
import itertools
import logging
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

import rsgdm_optax
from tests.train.conftest import one_device, run_study, small
from tests.train.networks import TINY
from train.data.dataset import load
from train.engine.epochs import LOOK_EVERY, Trainer
from train.engine.parallel import Jit
from train.engine.steps import (
    NO_STEP,
    Examples,
    Keys,
    Network,
    Sums,
    TrainState,
    TrainStep,
    epoch_order,
)
from train.models.cpu_convolution import VARIABLE
from train.models.resnet import MODELS


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    """Its figures take longer than the training."""
    monkeypatch.setattr("train.report.report.build_report", lambda *_, **__: None)


@pytest.mark.slow
def test_nothing_is_compiled_after_the_first_epoch(tmp_path, caplog):
    def compilations():
        return sum("Compiling" in record.message for record in caplog.records)

    seen = []
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        run_study(
            small(tmp_path / "study", optimizers=("sgdm",), seeds=(0, 2), epochs=4),
            after_epoch=lambda *_: seen.append(compilations()),
        )
    assert seen[0] > 0
    assert seen[1:4] == seen[:1] * 3
    # The second seed: after the training set's evaluation and BatchNorm's statistics, which are
    # summed from zero, at the end of the first run.
    assert seen[5:] == seen[4:5] * 3
    assert seen[4] - seen[3] <= 3


class _Wide(nnx.Module):
    """A megabyte of parameters, quick to compile."""

    def __init__(self, rngs, *, channels, classes):
        self.norm = nnx.BatchNorm(channels, rngs=rngs)
        self.hidden = nnx.Linear(64 * channels, 4000, rngs=rngs)
        self.head = nnx.Linear(4000, classes, rngs=rngs)

    def __call__(self, images):
        x = self.norm(images).reshape(len(images), -1)
        return self.head(nnx.relu(self.hidden(x)))


@pytest.mark.slow
def test_memory_stays_flat(tmp_path, monkeypatch):
    def memory():
        gc.collect()
        arrays = jax.live_arrays()
        return (
            len(arrays),
            sum(array.nbytes for array in arrays),
            tracemalloc.get_traced_memory()[0],
        )

    monkeypatch.setitem(MODELS, "resnet8", _Wide)
    monkeypatch.setenv(VARIABLE, "xla")  # there is no convolution
    seen = []
    tracemalloc.start()
    try:
        run_study(
            small(tmp_path / "study", optimizers=("rsgdm",), seeds=(0, 1), epochs=8),
            after_epoch=lambda *_: seen.append(memory()),
        )
    finally:
        tracemalloc.stop()
    on_device = [figures[:2] for figures in seen]
    assert set(on_device[1:]) == {on_device[1]}
    # Orbax keeps some 20 to 50 kB of each checkpoint's description, whatever the model. One copy
    # of the arrays kept an epoch would be four times as many bytes as these live on the device.
    assert seen[-1][2] - seen[3][2] < on_device[-1][1]


class _Unread:
    """A figure on a device that takes its time; `events` tells when the host reads it."""

    def __init__(self, value, events):
        self._value, self._events = value, events

    def is_ready(self):
        return False

    def __int__(self):
        self._events.append("read")
        return int(self._value)

    def __float__(self):
        self._events.append("read")
        return float(self._value)


def _steps_and_reads(devices, tmp_path, monkeypatch) -> list[str]:
    """What the host does in two epochs of forty steps; no device computes any of them."""
    events = []

    def compiled(_self, step, **_options):
        if isinstance(step, TrainStep):

            def train(state, sums, *_rest):
                events.append("step")
                return state, sums

            return train
        return lambda _params, _statistics, sums, *_rest: sums

    monkeypatch.setattr(Jit, "compile", compiled)
    figures = {"loss": 0.5, "correct": 1, "count": 1, "bad_step": NO_STEP}
    unread = Sums(**{name: _Unread(value, events) for name, value in figures.items()})
    monkeypatch.setattr(Sums, "zero", staticmethod(lambda: unread))
    monkeypatch.setattr(jnp, "copy", lambda figure: figure)
    monkeypatch.setattr(jax, "block_until_ready", lambda tree: events.append("read") or tree)
    options = {"optimizers": ("sgdm",), "train_examples": 1280, "batch_size": 32}
    config = small(tmp_path / "study", **options)
    dataset = load("digits", train_examples=1280)
    jit = jax.jit
    with monkeypatch.context() as patch:  # the sums are no arrays
        patch.setattr(jax, "jit", lambda f, **options: f if f is Sums.zero else jit(f, **options))
        trainer = Trainer(dataset, devices=devices)
    run = config.runs(dataset.fingerprint)[0]
    state = trainer.start(run)
    events.clear()
    for _ in trainer.epochs(run, state, 0):
        pass
    return events


def test_the_host_reads_nothing_between_the_steps_of_an_epoch(tmp_path, monkeypatch):
    assert LOOK_EVERY * 2 < 40  # there is something to look at
    events = _steps_and_reads(one_device(), tmp_path, monkeypatch)
    # Forty steps, some reading, forty steps, some reading.
    assert [event for event, _ in itertools.groupby(events)] == ["step", "read"] * 2
    assert events.count("step") == 80


@pytest.mark.slow
def test_several_devices_are_waited_for(tmp_path, monkeypatch):
    # CPU devices of one machine may wait for each other for ever with more steps under way.
    events = _steps_and_reads(tuple(jax.devices()[:2]), tmp_path, monkeypatch)
    steps = [len(list(group)) for event, group in itertools.groupby(events) if event == "step"]
    assert steps == [16, 8, 8, 8] * 2


def _products(jaxpr):
    """Dtypes of the factors of every convolution and matrix product."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            yield tuple(str(operand.aval.dtype) for operand in equation.invars)
        for inner in jaxprs_in_params(equation.params):
            yield from _products(inner)


@pytest.fixture(scope="module")
def bfloat16():
    """Losses of a step in float32 and bfloat16, from the same start, and the latter's parts."""
    data = load("digits")
    examples, keys = Examples.of(data, data.train), Keys.of_seed(0)
    order = epoch_order(keys, 0, len(data.train))
    found = {}
    for dtype in (None, jnp.dtype("bfloat16")):
        make = functools.partial(TINY, channels=1, classes=10)
        network, optimizer = Network(make, dtype), rsgdm_optax.rsgdm(0.1)
        params, batch_stats = network.init(keys.parameters)
        state = TrainState(jnp.int32(0), params, batch_stats, optimizer.init(params))
        step = TrainStep(
            network,
            rsgdm_optax.rsgdm,
            batch_size=128,
            steps_per_epoch=10,
            augment=False,
            flip=False,
        )
        args = (state, Sums.zero(), examples, order, keys, jnp.float32(0.1))
        found[dtype] = (jax.make_jaxpr(step)(*args), *jax.jit(step)(*args))
    return found


@pytest.mark.slow
def test_bfloat16_computes_in_bfloat16_and_keeps_float32(bfloat16):
    (plain, _, sums), (jaxpr, state, low_sums) = bfloat16.values()
    assert set(_products(plain.jaxpr)) == {("float32", "float32")}
    products = list(_products(jaxpr.jaxpr))
    assert set(products) == {("bfloat16", "bfloat16")}
    assert len(products) == 3 * 7 - 1  # forward and two gradients; none for the images
    assert {leaf.dtype for leaf in jax.tree.leaves(state[1:])} <= {
        jnp.dtype("float32"),
        jnp.dtype("int32"),
    }
    assert low_sums.loss.dtype == jnp.float32
    # Eight bits of mantissa: relative errors of 2⁻⁸ a layer, seven layers deep.
    assert float(low_sums.loss) == pytest.approx(float(sums.loss), rel=7 / 256)
    assert float(low_sums.loss) != float(sums.loss)


@pytest.mark.slow
def test_bfloat16_takes_its_statistics_in_float32():
    # In bfloat16 a batch around 1000 has no variance that could be seen.
    network = Network(functools.partial(TINY, channels=1, classes=10), jnp.dtype("bfloat16"))
    params, batch_stats = network.init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (64, 8, 8, 1)) + 3
    (logits, low), (_, high) = (
        jax.jit(functools.partial(each.apply, training=True))(params, batch_stats, images)
        for each in (network, Network(network.make))
    )
    assert logits.dtype == jnp.float32  # and the loss is taken of these
    for a, b in zip(jax.tree.leaves(low), jax.tree.leaves(high), strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=0.05, atol=0.02)

"""What training must not do: keep memory, compile again, wait for each step, lose precision."""

import dataclasses
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
from tests.train.conftest import small
from tests.train.networks import TINY
from train.common.progress import Display
from train.data.dataset import load
from train.engine.epochs import LOOK_EVERY, Trainer
from train.engine.steps import Examples, Keys, Network, Sums, TrainState, TrainStep, epoch_order
from train.models.cpu_convolution import VARIABLE
from train.models.resnet import MODELS
from train.runs.store import RunFolder
from train.study import runner as train_study
from train.study.presets import runs
from train.study.runner import run_study


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    """Its figures take longer than the training."""
    monkeypatch.setattr(train_study, "build_report", lambda _: None)


@pytest.fixture
def at_each_epoch(monkeypatch):
    """Takes a function, and returns the list of what it will give at the end of each epoch."""
    seen = []

    def install(look):
        epoch = Display.epoch

        def looking(self, *args):
            epoch(self, *args)
            seen.append(look())

        monkeypatch.setattr(Display, "epoch", looking)
        return seen

    return install


def test_nothing_is_compiled_after_the_first_epoch(tmp_path, at_each_epoch, caplog):
    def compilations():
        return sum("Compiling" in record.message for record in caplog.records)

    seen = at_each_epoch(compilations)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        run_study(small(tmp_path / "study", optimizers=("sgdm",), seeds=(0, 2), epochs=4))
    assert seen[0] > 0
    assert seen[1:4] == seen[:1] * 3
    # The second seed: after the training set's evaluation at the end of the first run.
    assert seen[5:] == seen[4:5] * 3
    assert seen[4] - seen[3] <= 1


class _Wide(nnx.Module):
    """A megabyte of parameters, quick to compile."""

    def __init__(self, rngs, *, channels, classes):
        self.norm = nnx.BatchNorm(channels, rngs=rngs)
        self.hidden = nnx.Linear(64 * channels, 4000, rngs=rngs)
        self.head = nnx.Linear(4000, classes, rngs=rngs)

    def __call__(self, images):
        x = self.norm(images).reshape(len(images), -1)
        return self.head(nnx.relu(self.hidden(x)))


def test_memory_stays_flat(tmp_path, at_each_epoch, monkeypatch):
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
    seen = at_each_epoch(memory)
    tracemalloc.start()
    try:
        run_study(small(tmp_path / "study", optimizers=("rsgdm",), seeds=(0, 1), epochs=8))
    finally:
        tracemalloc.stop()
    on_device = [figures[:2] for figures in seen]
    assert set(on_device[1:]) == {on_device[1]}
    # Orbax keeps some 20 to 50 kB of each checkpoint's description, whatever the model. One copy
    # of the arrays kept an epoch would be four times as many bytes as these live on the device.
    assert seen[-1][2] - seen[3][2] < on_device[-1][1]


def _steps_and_reads(trainer, run, folder, monkeypatch) -> list[str]:
    """What the host does in a run whose steps the device takes its time for."""
    events = []

    class Unread:
        """A figure on the device, not there yet, which tells when the host reads it."""

        def __init__(self, value):
            self.value = value

        def is_ready(self):
            return False

        def __int__(self):
            events.append("read")
            return int(self.value)

        def __float__(self):
            events.append("read")
            return float(self.value)

    def unwrap(tree):
        return jax.tree.map(
            lambda x: x.value if isinstance(x, Unread) else x,
            tree,
            is_leaf=lambda x: isinstance(x, Unread),
        )

    compiled = trainer._compile(run)

    def train(state, sums, *rest):
        events.append("step")
        state, sums = compiled.train(*unwrap((state, sums)), *rest)
        return state, Sums(*map(Unread, sums))

    copy = jnp.copy
    monkeypatch.setattr(jnp, "copy", lambda x: Unread(copy(unwrap(x))))
    monkeypatch.setattr(jax, "block_until_ready", lambda tree: events.append("read") or tree)
    monkeypatch.setattr(trainer, "_compile", lambda _: dataclasses.replace(compiled, train=train))
    folder = RunFolder(folder / run.name)
    folder.start(run, {})
    with Display(2) as display:
        trainer.run(run, folder, display, checkpoint_every=1, tensorboard=False)
    return events


@pytest.fixture
def forty_steps(tmp_path):
    """A trainer, and a run of two epochs of forty steps."""
    options = {"optimizers": ("sgdm",), "train_examples": 1280, "batch_size": 32}
    config = small(tmp_path / "study", **options)
    dataset = train_study.check_study(config)
    return Trainer(dataset, config.model, config.dtype), runs(config, dataset.fingerprint)[0]


def test_the_host_reads_nothing_between_the_steps_of_an_epoch(forty_steps, tmp_path, monkeypatch):
    assert LOOK_EVERY * 2 < 40  # there is something to look at
    events = _steps_and_reads(*forty_steps, tmp_path, monkeypatch)
    # Forty steps, some reading, forty steps, some reading.
    assert [event for event, _ in itertools.groupby(events)] == ["step", "read"] * 2
    assert events.count("step") == 80


def test_several_devices_are_waited_for(forty_steps, tmp_path, monkeypatch):
    # CPU devices of one machine may wait for each other for ever with more steps under way.
    trainer, run = forty_steps
    with monkeypatch.context() as patch:
        patch.setattr("train.engine.epochs.devices", lambda: tuple(jax.devices()[:2]))
        on_two = Trainer(trainer._dataset, run.model, run.dtype)
    # Not run on two, where it would hang if it did not wait.
    for name in ("_is_alone", "_look_every"):
        monkeypatch.setattr(trainer, name, getattr(on_two, name))
    events = _steps_and_reads(trainer, run, tmp_path, monkeypatch)
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
    examples, keys = Examples.of(data.train, data), Keys.of_seed(0)
    order = epoch_order(keys, 0, len(data.train))
    found = {}
    for dtype in (None, jnp.dtype("bfloat16")):
        make = functools.partial(TINY, channels=1, classes=10)
        network, optimizer = Network(make, dtype), rsgdm_optax.rsgdm(0.1)
        params, batch_stats = network.init(keys.parameters)
        state = TrainState(jnp.int32(0), params, batch_stats, optimizer.init(params))
        step = TrainStep(
            network, optimizer, batch_size=128, steps_per_epoch=10, augment=False, flip=False
        )
        args = (state, Sums.zero(), examples, order, keys)
        found[dtype] = (jax.make_jaxpr(step)(*args), *jax.jit(step)(*args))
    return found


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

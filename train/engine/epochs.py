"""Runs, each from initial weights to its last figures."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from train.common.progress import Display
from train.data.dataset import Dataset
from train.engine import multihost
from train.engine.parallel import PARALLEL, devices
from train.engine.recipe import Recipe, make_network
from train.engine.steps import (
    EVALUATION_BATCH,
    NO_STEP,
    EvaluationStep,
    Examples,
    Keys,
    Sums,
    TrainState,
    epoch_order,
)
from train.models import cpu_convolution
from train.runs.checkpoints import Checkpoints
from train.runs.formats import FORMAT
from train.runs.settings import RunConfig
from train.runs.store import RunFolder
from train.runs.tensorboard import Events

LOOK_EVERY = 16  # steps from one look for divergence to the next


@dataclasses.dataclass(frozen=True)
class _Compiled:
    """The programs of runs that differ in their seeds alone."""

    recipe: Recipe
    init: Callable[..., Any]  # of the optimizer's state
    train: Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one run costs. A floating-point operation is an addition or a multiplication."""

    steps: int
    flops_a_step: float
    flops_an_evaluated_image: float
    parameters: int
    parameter_bytes: int
    optimizer_bytes: int
    data_bytes: int


class Trainer:
    """Trains the runs of one study: whatever they share is made and compiled once.

    On several hosts every process makes the same calls; the first writes and shows.
    """

    def __init__(self, dataset: Dataset, model: str, dtype: str, parallel: str = "jit"):
        self._dataset = dataset
        fast = cpu_convolution.choose(devices(), parallel) == "fast"
        self._parallel = PARALLEL[parallel](
            devices(), cpu_convolution.compiler_options() if fast else None
        )
        count = len(self._parallel.devices)
        self._is_alone = count == 1
        # CPU devices of one machine wait for each other forever when more than some 16 steps are
        # under way; the wait is for the look before.
        self._look_every = LOOK_EVERY if self._is_alone else LOOK_EVERY // 2
        self._evaluation_batch = -(-EVALUATION_BATCH // count) * count
        put = self._parallel.put
        self._train_examples, self._evaluation_examples = (
            put(Examples.of(split, dataset, self._evaluation_batch))
            for split in (dataset.train, dataset.evaluation)
        )
        self._model, self._dtype = model, dtype
        self._network = make_network(
            dataset, model, dtype, cpu_convolution.convolution if fast else None
        )
        # Everything is committed to the devices, as what a checkpoint brings back is: JAX
        # compiles anew for an array that is not.
        self._jit = functools.partial(jax.jit, out_shardings=self._parallel.whole)
        self._keys = self._jit(Keys.of_seed)
        self._zero = self._jit(Sums.zero)
        self._init = self._jit(self._network.init)
        self._order = self._jit(epoch_order, static_argnums=2)
        evaluation = EvaluationStep(self._network, self._evaluation_batch, self._parallel)
        self._evaluate = self._parallel.compile(evaluation, donate=(2,))
        self._compiled: dict[RunConfig, _Compiled] = {}

    def step_seconds(self, run: RunConfig, steps: int = 1) -> float:
        """Compiles the run's step, and times some that are thrown away."""
        compiled, keys = self._compile(run), self._keys(run.seed)
        order = self._order(keys, 0, len(self._dataset.train))
        state, sums = self._initial(compiled, keys), self._zero()
        jax.block_until_ready((state, sums, order))
        start = time.perf_counter()
        for step in range(1, steps + 1):
            state, sums = compiled.train(state, sums, self._train_examples, order, keys)
            self._throttle(sums, step)
        jax.block_until_ready((state, sums))
        return (time.perf_counter() - start) / steps

    def cost(self, run: RunConfig) -> Cost:
        """What a run costs, read from its program; nothing is compiled or run."""
        keys, sums = self._keys(run.seed), jax.eval_shape(Sums.zero)
        recipe = Recipe(run, self._dataset)
        optimizer = recipe.optimizer
        params, batch_stats = jax.eval_shape(self._init, keys.parameters)
        opt_state = jax.eval_shape(optimizer.init, params)
        state = TrainState(jnp.int32(0), params, batch_stats, opt_state)
        order = jax.eval_shape(self._order, keys, 0, len(self._dataset.train))
        # Of the whole batch, however it is divided.
        step = recipe.train_step(self._network, optimizer)
        train = jax.jit(step).lower(state, sums, self._train_examples, order, keys)
        evaluate = jax.jit(EvaluationStep(self._network)).lower(
            params, batch_stats, sums, self._evaluation_examples, np.int32(0)
        )
        return Cost(
            steps=recipe.steps,
            flops_a_step=_flops(train),
            flops_an_evaluated_image=_flops(evaluate) / EVALUATION_BATCH,
            parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
            parameter_bytes=_bytes(params),
            optimizer_bytes=_bytes(opt_state),
            data_bytes=_bytes((self._train_examples, self._evaluation_examples)),
        )

    def run(
        self,
        run: RunConfig,
        folder: RunFolder,
        display: Display,
        *,
        checkpoint_every: int,
        tensorboard: bool,
    ) -> dict[str, Any]:
        """Trains one run, from its last checkpoint on; returns and writes its result.

        Raises:
          InputError: if a checkpoint cannot be read or written, or does not fit the run.
        """
        keys = self._keys(run.seed)
        compiled = self._compile(run)
        state = self._initial(compiled, keys)
        checkpoints = Checkpoints(folder.checkpoints)
        metrics: list[dict[str, Any]] = []
        restored = multihost.from_first(lambda: checkpoints.restore(state, run.epochs))
        if restored is not None:
            state, metrics = self._parallel.put(restored[0]), restored[1]
            display.resume(run.name, len(metrics))
        elif folder.was_begun:
            display.say(f"{run.name} starts over: it has no whole checkpoint")
        multihost.from_first(lambda: folder.write_metrics(metrics))
        tensorboard = tensorboard and multihost.is_first()
        events = Events(folder.path / "tensorboard", metrics) if tensorboard else None
        result: dict[str, Any] = {"status": "done"}
        for epoch in range(len(metrics), run.epochs):
            state, entry, bad_step = self._epoch(compiled, state, keys, epoch)
            metrics.append(entry)
            multihost.from_first(functools.partial(folder.append_metrics, entry))
            if events is not None:
                events.add(entry)
            display.epoch(run.name, entry, run.epochs)
            if bad_step != NO_STEP:
                result |= {"status": "diverged", "step": bad_step}
                break
            if len(metrics) % checkpoint_every == 0 or len(metrics) == run.epochs:
                multihost.from_first(functools.partial(checkpoints.save, state, metrics))
        else:
            loss, accuracy = self._evaluation(state, self._train_examples)
            if math.isfinite(loss):
                result |= {"clean_train_loss": loss, "clean_train_accuracy": accuracy}
            else:
                result |= {"status": "diverged", "step": metrics[-1]["step"]}
        if events is not None:
            events.close()
        result = metrics[-1] | result

        def finish() -> None:
            folder.finish(result)
            checkpoints.keep(1)

        multihost.from_first(finish)
        return result

    def _initial(self, compiled: _Compiled, keys: Keys) -> TrainState:
        params, batch_stats = self._init(keys.parameters)
        step = self._parallel.put(jnp.int32(0))
        return TrainState(step, params, batch_stats, compiled.init(params))

    def _compile(self, run: RunConfig) -> _Compiled:
        if (run.model, run.dtype) != (self._model, self._dtype):
            raise ValueError(f"{run.name} is not of {self._model} in {self._dtype}")
        key = dataclasses.replace(run, seed=0)
        if key in self._compiled:
            return self._compiled[key]
        recipe = Recipe(run, self._dataset)
        optimizer = recipe.optimizer
        step = recipe.train_step(self._network, optimizer, self._parallel)
        program = self._parallel.compile(step, donate=(0, 1))
        compiled = _Compiled(recipe, self._jit(optimizer.init), program)
        # A step thrown away: images_per_second is not to count the compilation.
        keys = self._keys(run.seed)
        order = self._order(keys, 0, len(self._dataset.train))
        state = self._initial(compiled, keys)
        jax.block_until_ready(program(state, self._zero(), self._train_examples, order, keys))
        self._compiled[key] = compiled
        return compiled

    def _should_read(self, value: jax.Array) -> bool:
        """One device is not waited for; several are, and so all processes decide alike."""
        is_there: bool = not self._is_alone or value.is_ready()  # type: ignore[attr-defined]
        return is_there

    def _throttle(self, sums: Sums, step: int) -> None:
        """Waits now and then: see `_look_every`."""
        if not self._is_alone and step % self._look_every == 0:
            jax.block_until_ready(sums)

    def _epoch(
        self, compiled: _Compiled, state: TrainState, keys: Keys, epoch: int
    ) -> tuple[TrainState, dict[str, Any], int]:
        """Trains and evaluates one epoch; the last item is the step that diverged, or NO_STEP."""
        alpha = float(compiled.recipe.schedule(state.step))
        order = self._order(keys, epoch, len(self._dataset.train))
        sums = self._zero()
        start = time.perf_counter()
        seen: jax.Array | None = None
        for position in range(1, compiled.recipe.steps_per_epoch + 1):
            state, sums = compiled.train(state, sums, self._train_examples, order, keys)
            if position % self._look_every == 0:
                # A loss that is not finite is seen some steps late.
                if seen is not None and self._should_read(seen) and int(seen) != NO_STEP:
                    break
                seen = jnp.copy(sums.bad_step)
        bad_step = int(sums.bad_step)
        entry = {"format": FORMAT, "epoch": epoch + 1, "step": int(state.step), "alpha": alpha}
        evaluation = self._dataset.evaluation_name
        if bad_step != NO_STEP:
            nothing = dict.fromkeys(("train_loss", "train_accuracy", f"{evaluation}_loss"))
            rest = dict.fromkeys((f"{evaluation}_accuracy", "images_per_second"))
            return state, entry | {"step": bad_step} | nothing | rest, bad_step
        train_loss, train_accuracy = sums.averages()
        seconds = time.perf_counter() - start
        loss, accuracy = self._evaluation(state, self._evaluation_examples)
        entry |= {
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            f"{evaluation}_loss": loss,
            f"{evaluation}_accuracy": accuracy,
            "images_per_second": round(int(sums.count) / seconds, 1),
        }
        if not math.isfinite(loss):
            bad_step = int(state.step)  # the last step did it, and no batch has seen that yet
        return state, entry, bad_step

    def _evaluation(self, state: TrainState, examples: Examples) -> tuple[float, float]:
        """Loss and accuracy over every example, each counted once."""
        sums: Sums = self._zero()
        for step, start in enumerate(range(0, len(examples.labels), self._evaluation_batch), 1):
            position = np.int32(start)
            sums = self._evaluate(state.params, state.batch_stats, sums, examples, position)
            self._throttle(sums, step)
        return sums.averages()


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _flops(program: jax.stages.Lowered) -> float:
    analysis: Any = program.cost_analysis()
    return float(analysis["flops"])

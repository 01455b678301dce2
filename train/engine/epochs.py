"""Training and evaluation of runs, epoch by epoch. No files, screens or processes: see train/study.

for epoch in trainer.epochs(run, trainer.start(run), 0):
    epoch.state, epoch.metrics, epoch.bad_step
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from train.data.dataset import Dataset
from train.engine import backend
from train.engine.batch_norm import Reestimation
from train.engine.cost import Cost, cost
from train.engine.parallel import PARALLEL
from train.engine.recipe import Recipe, make_network
from train.engine.steps import (
    EVALUATION_BATCH,
    NO_STEP,
    EvaluationStep,
    Examples,
    Keys,
    Network,
    Sums,
    TrainState,
    epoch_order,
)
from train.models import cpu_convolution
from train.runs.settings import RunConfig

LOOK_EVERY = 16  # steps from one look for divergence to the next


class Epoch(NamedTuple):
    """What an epoch leaves."""

    state: TrainState
    metrics: dict[str, Any]  # as a line of metrics.jsonl has them
    bad_step: int | None  # the step that diverged: the last epoch then


class Figures(NamedTuple):
    """Over every example of a split, each counted once."""

    loss: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class _Programs:
    """The programs of runs that differ in their seeds and rates alone."""

    init: Callable[..., Any]  # of the optimizer's state, from parameters and α
    train: Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class _Model:
    """A network and the programs that need no optimizer."""

    network: Network
    init: Callable[..., Any]
    evaluate: Callable[..., Any]


class Trainer:
    """Trains on one data set: whatever its runs share is made and compiled once.

    On several hosts every process makes the same calls, and gets the same numbers.

    Args:
      dataset: what to train and evaluate on.
      devices: the devices to divide each batch among; None: every one of every process.
      parallel: jit or pmap, how it is divided.
      between_steps: is called between two steps; what it raises ends the training.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        devices: tuple[jax.Device, ...] | None = None,
        parallel: str = "jit",
        between_steps: Callable[[], None] = lambda: None,
    ):
        devices = devices or backend.devices()
        self._dataset = dataset
        self._between_steps = between_steps
        self._is_fast = cpu_convolution.choose(devices, parallel) == "fast"
        self._parallel = PARALLEL[parallel](
            devices, cpu_convolution.compiler_options() if self._is_fast else None
        )
        self._is_alone = len(devices) == 1
        self._is_on_cpu = devices[0].platform == "cpu"
        # jax 0.11 and earlier deadlock with more than about 16 steps in flight on several CPU
        # devices. `_epoch` waits for the look before the last: at most two times 8 are in flight.
        self._look_every = LOOK_EVERY if self._is_alone else LOOK_EVERY // 2
        self._evaluation_batch = -(-EVALUATION_BATCH // len(devices)) * len(devices)
        # In one array, so that a program compiled for one split serves the other.
        splits = dataset.train, dataset.evaluation
        examples = Examples.of(dataset, *splits, batch=self._evaluation_batch)
        self._examples = self._parallel.put(examples)
        starts = range(0, len(examples.labels), self._evaluation_batch)
        count = -(-len(dataset.train) // self._evaluation_batch)
        self._starts = {"train": starts[:count], "evaluation": starts[count:]}
        # Everything is committed to the devices, as what a checkpoint brings back is: JAX
        # compiles anew for an array that is not.
        self._jit = functools.partial(jax.jit, out_shardings=self._parallel.replicated)
        self.keys = self._jit(Keys.of_seed)
        self._zero = self._jit(Sums.zero)
        self._order = self._jit(epoch_order, static_argnums=2)
        self._models: dict[tuple[str, str], _Model] = {}
        self._programs: dict[RunConfig, _Programs] = {}
        self._statistics: dict[tuple[str, str, int], Reestimation] = {}

    # --- Runs.

    def start(
        self, run: RunConfig, optimizer: optax.GradientTransformation | None = None
    ) -> TrainState:
        """A run's initial state, with its own optimizer or another one's."""
        params, batch_stats = self._model(run).init(self.keys(run.seed).parameters)
        if optimizer is None:
            opt_state = self._compile(run).init(params, self._alpha(run))
        else:
            opt_state = self._jit(optimizer.init)(params)
        return TrainState(self._parallel.put(jnp.int32(0)), params, batch_stats, opt_state)

    def put(self, state: TrainState) -> TrainState:
        """Puts a state of the host, as a checkpoint brings it back, on the devices."""
        return self._parallel.put(state)

    def epochs(self, run: RunConfig, state: TrainState, start: int) -> Iterator[Epoch]:
        """Trains a run from a state after its first `start` epochs to its last, or to a divergence.

        The state is given away: its arrays become the next one's.
        """
        programs = self._compile(run)
        for number in range(start + 1, run.epochs + 1):
            epoch = self._epoch(programs, run, state, number)
            yield epoch
            if epoch.bad_step is not None:
                return
            state = epoch.state

    def single_step(
        self, run: RunConfig, optimizer: optax.GradientTransformation | None = None
    ) -> Callable[[TrainState, Keys], TrainState]:
        """The run's own step as a function that gives nothing away, with any optimizer."""
        recipe = Recipe(run, self._dataset)
        chosen = optimizer or recipe.optimizer(self._alpha(run))
        step = recipe.train_step(self._model(run).network, lambda _: chosen)

        @jax.jit
        def one_step(state: TrainState, keys: Keys, examples: Examples) -> TrainState:
            epoch = state.step // recipe.steps_per_epoch
            order = epoch_order(keys, epoch, len(self._dataset.train))
            return step(state, Sums.zero(), examples, order, keys, jnp.float32(1))[0]

        return lambda state, keys: one_step(state, keys, self._examples)

    def evaluate(
        self, run: RunConfig, state: TrainState, split: str, batch_norm: str | None = None
    ) -> Figures:
        """Loss and accuracy in evaluation mode.

        Args:
          run: its model and batch size count.
          state: its parameters and running statistics count.
          split: "evaluation" or "train".
          batch_norm: BatchNorm's statistics, "running" or "reestimated"; None: as the run has it.
        """
        batch_stats = state.batch_stats
        if (batch_norm or run.batch_norm) == "reestimated":
            batch_stats = self._reestimated(run, state)
        evaluate, sums = self._model(run).evaluate, self._zero()
        for step, start in enumerate(self._starts[split], 1):
            position = np.int32(start)
            sums = evaluate(state.params, batch_stats, sums, self._examples, position)
            self._throttle(sums, step)
        return Figures(*sums.averages())

    def step_seconds(self, run: RunConfig, steps: int = 1) -> float:
        """Compiles the run's step, and times some that are thrown away."""
        programs, keys = self._compile(run), self.keys(run.seed)
        alpha = self._alpha(run)
        order = self._order(keys, 0, len(self._dataset.train))
        state, sums = self.start(run), self._zero()
        jax.block_until_ready((state, sums, order))
        start = time.perf_counter()
        for step in range(1, steps + 1):
            state, sums = programs.train(state, sums, self._examples, order, keys, alpha)
            self._throttle(sums, step)
        jax.block_until_ready((state, sums))
        return (time.perf_counter() - start) / steps

    def cost(self, run: RunConfig) -> Cost:
        """What a run costs, read from its program; nothing is compiled or run."""
        return cost(Recipe(run, self._dataset), self._model(run).network, self._examples)

    # --- Programs.

    def _model(self, run: RunConfig) -> _Model:
        key = run.model, run.dtype
        if key not in self._models:
            convolution = cpu_convolution.convolution if self._is_fast else None
            network = make_network(self._dataset, *key, convolution)
            evaluation = EvaluationStep(network, self._evaluation_batch, self._parallel)
            evaluate = self._parallel.compile(evaluation, donate=(2,))
            # To draw weights takes LLVM seconds to optimise and a moment to run. The bits stay.
            options = {"xla_backend_optimization_level": 1} if self._is_on_cpu else None
            init = self._jit(network.init, compiler_options=options)
            self._models[key] = _Model(network, init, evaluate)
        return self._models[key]

    def _compile(self, run: RunConfig) -> _Programs:
        key = dataclasses.replace(run, seed=0, learning_rate=1.0)
        if key in self._programs:
            return self._programs[key]
        recipe = Recipe(run, self._dataset)
        step = recipe.train_step(self._model(run).network, None, self._parallel)
        program = self._parallel.compile(step, donate=(0, 1))

        def init(params: Any, alpha: jax.Array) -> Any:
            return recipe.optimizer(alpha).init(params)

        self._programs[key] = programs = _Programs(self._jit(init), program)
        # A step thrown away: images_per_second is not to count the compilation.
        self.step_seconds(run)
        return programs

    def _alpha(self, run: RunConfig) -> jax.Array:
        placed: jax.Array = self._parallel.put(jnp.float32(Recipe(run, self._dataset).alpha))
        return placed

    def _reestimated(self, run: RunConfig, state: TrainState) -> Any:
        """BatchNorm's statistics at the state's weights: see train/engine/batch_norm.py."""
        examples, count = self._examples, len(self._dataset.train)
        key = run.model, run.dtype, run.batch_size
        if key not in self._statistics:
            network = self._model(run).network
            self._statistics[key] = Reestimation(network, run.batch_size, count, self._parallel)
        order = self._order(self.keys(0), 0, count)  # the same for all runs
        return self._statistics[key](state.params, examples, order, self._throttle)

    # --- An epoch.

    def _epoch(self, programs: _Programs, run: RunConfig, state: TrainState, number: int) -> Epoch:
        recipe, keys, alpha = Recipe(run, self._dataset), self.keys(run.seed), self._alpha(run)
        now = float(recipe.schedule(state.step))
        order = self._order(keys, number - 1, len(self._dataset.train))
        sums = self._zero()
        start = time.perf_counter()
        seen: jax.Array | None = None
        for position in range(1, recipe.steps_per_epoch + 1):
            self._between_steps()
            state, sums = programs.train(state, sums, self._examples, order, keys, alpha)
            if position % self._look_every == 0:
                # A loss that is not finite is seen some steps late.
                if seen is not None and self._should_read(seen) and int(seen) != NO_STEP:
                    break
                seen = jnp.copy(sums.bad_step)
        bad_step = int(sums.bad_step)
        split = self._dataset.evaluation_name
        metrics: dict[str, Any] = {"epoch": number, "step": int(state.step), "alpha": now}
        metrics |= dict.fromkeys(("train_loss", "train_accuracy"))
        metrics |= dict.fromkeys((f"{split}_loss", f"{split}_accuracy", "images_per_second"))
        if bad_step != NO_STEP:
            return Epoch(state, metrics | {"step": bad_step}, bad_step)
        metrics["train_loss"], metrics["train_accuracy"] = sums.averages()
        seconds = time.perf_counter() - start
        metrics["images_per_second"] = round(int(sums.count) / seconds, 1)
        if number % run.evaluate_every == 0 or number == run.epochs:
            figures = self.evaluate(run, state, "evaluation")
            metrics[f"{split}_loss"], metrics[f"{split}_accuracy"] = figures
            if not math.isfinite(figures.loss):
                # The last step did it, and no batch has seen that yet.
                return Epoch(state, metrics, int(state.step))
        return Epoch(state, metrics, None)

    def _should_read(self, value: jax.Array) -> bool:
        """One device is not waited for; several are, and so all processes decide alike."""
        is_there: bool = not self._is_alone or value.is_ready()  # type: ignore[attr-defined]
        return is_there

    def _throttle(self, result: Any, step: int) -> None:
        """Waits now and then: see `_look_every`."""
        if not self._is_alone and step % self._look_every == 0:
            jax.block_until_ready(result)

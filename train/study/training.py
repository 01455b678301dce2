"""One run of a study, from its last checkpoint to its result: files, progress, other hosts."""

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from train.common import signals
from train.common.progress import Display
from train.engine import multihost
from train.engine.epochs import Epoch, Trainer
from train.runs.checkpoints import Checkpoints
from train.runs.lock import locked
from train.runs.settings import RunConfig
from train.runs.store import RunFolder
from train.runs.tensorboard import Events
from train.study.config import Execution

AfterEpoch = Callable[[RunConfig, dict[str, Any]], None]


class _Begun(NamedTuple):
    """Where a run goes on."""

    state: Any
    metrics: list[dict[str, Any]]  # of the epochs so far


def train_run(
    trainer: Trainer,
    run: RunConfig,
    folder: RunFolder,
    here: dict[str, Any],
    execution: Execution,
    display: Display,
    after_epoch: AfterEpoch,
) -> None:
    """Trains one run to its end, from its last checkpoint on, unless it has been done meanwhile.

    Every process makes the same calls; the first alone reads and writes the folder.

    Args:
      trainer: of the run's data.
      run: its settings.
      folder: its files.
      here: what it runs on, for its environment.json.
      execution: how often to write checkpoints, and whether events.
      display: shows the epochs.
      after_epoch: see `run_study`.

    Raises:
      InputError: if a checkpoint cannot be read or written, or does not fit the run.
    """
    with contextlib.ExitStack() as stack:

        def start() -> bool:
            folder.path.mkdir(parents=True, exist_ok=True)
            # Another worker that was taken for dead may still be at it.
            stack.enter_context(locked(folder.path, wait=True))
            if not folder.is_finished:
                folder.start(run, here)
            return folder.is_finished

        if not multihost.from_first(start):
            _train(trainer, run, folder, execution, display, after_epoch)


def _train(
    trainer: Trainer,
    run: RunConfig,
    folder: RunFolder,
    execution: Execution,
    display: Display,
    after_epoch: AfterEpoch,
) -> None:
    checkpoints = Checkpoints(folder.checkpoints)
    state, metrics = _begin(trainer, run, folder, checkpoints, display)
    is_watched = execution.tensorboard and multihost.is_first()
    events = Events(folder.path / "tensorboard", metrics) if is_watched else None
    epoch = Epoch(state, metrics[-1] if metrics else {}, None)
    with signals.listening():
        for epoch in trainer.epochs(run, state, len(metrics)):
            metrics.append(epoch.metrics)
            multihost.from_first(functools.partial(folder.append_metrics, epoch.metrics))
            if events is not None:
                events.add(epoch.metrics)
            display.epoch(folder.path.name, epoch.metrics, run.epochs)
            after_epoch(run, epoch.metrics)
            is_due = len(metrics) % execution.checkpoint_every == 0 or len(metrics) == run.epochs
            if is_due and epoch.bad_step is None:
                save = functools.partial(checkpoints.save, epoch.state, metrics)
                multihost.from_first(save)
        result = epoch.metrics | _end(trainer, run, epoch)
    if events is not None:
        events.close()

    def finish() -> None:
        folder.finish(result)
        checkpoints.keep(1)

    multihost.from_first(finish)
    tell_divergence(folder.path.name, result, run.epochs, display)


def tell_divergence(name: str, result: dict[str, Any], epochs: int, display: Display) -> None:
    """Says that a run diverged, if it did, and that its other epochs will not come."""
    if result["status"] == "diverged":
        display.skip(epochs - result["epoch"])
        display.say(
            f"{name} diverged: the loss was not finite at step {result['step']}, "
            f"epoch {result['epoch']}"
        )


def _begin(
    trainer: Trainer,
    run: RunConfig,
    folder: RunFolder,
    checkpoints: Checkpoints,
    display: Display,
) -> _Begun:
    state = trainer.start(run)
    restored = multihost.from_first(lambda: checkpoints.restore(state, run.epochs))
    metrics: list[dict[str, Any]] = []
    if restored is not None:
        state, metrics = trainer.put(restored[0]), restored[1]
        display.resume(folder.path.name, len(metrics))
    elif folder.was_begun:
        display.say(f"{folder.path.name} starts over: it has no whole checkpoint")
    multihost.from_first(lambda: folder.write_metrics(metrics))
    return _Begun(state, metrics)


def _end(trainer: Trainer, run: RunConfig, last: Epoch) -> dict[str, Any]:
    """What result.json has beside the last epoch's figures."""
    if last.bad_step is not None:
        return {"status": "diverged", "step": last.bad_step}
    loss, accuracy = trainer.evaluate(run, last.state, "train")
    if not math.isfinite(loss):
        return {"status": "diverged"}
    figures = {"status": "done", "clean_train_loss": loss, "clean_train_accuracy": accuracy}
    for batch_norm in ("running", "reestimated"):
        if batch_norm == run.batch_norm:  # as the last epoch has been evaluated
            loss = last.metrics[f"{run.evaluation}_loss"]
            accuracy = last.metrics[f"{run.evaluation}_accuracy"]
        else:
            loss, accuracy = trainer.evaluate(run, last.state, "evaluation", batch_norm)
        key = f"{batch_norm}_{run.evaluation}"
        figures |= {f"{key}_loss": loss, f"{key}_accuracy": accuracy}
    return figures

"""What a study would do and cost, without doing it."""

import dataclasses
import datetime as dt
from pathlib import Path

import jax

from train.common.errors import InputError
from train.data import sources
from train.data.dataset import Dataset, select
from train.engine.epochs import Cost, Trainer
from train.runs.store import RunFolder
from train.study.presets import Config, runs
from train.study.runner import check_batch_size, matmul_precision
from train.study.validation import check


@dataclasses.dataclass(frozen=True)
class Plan:
    """A study's runs and their cost."""

    config: Config
    dataset: Dataset
    is_stand_in: bool  # the data have not been downloaded; only their sizes count
    costs: dict[str, Cost]  # of one run of each optimizer
    step_seconds: dict[str, float] | None

    @classmethod
    def of(cls, config: Config, *, timed_steps: int) -> "Plan":
        """Plans a study; nothing is downloaded or written.

        Args:
          config: the study.
          timed_steps: how many steps of each optimizer to run, to tell the time; 0 for none.

        Raises:
          InputError: if a setting makes no sense.
        """
        check(config)
        if config.distributed or config.coordinator is not None:
            raise InputError("dry_run: is for the devices of one process, not for several")
        is_here = sources.is_here(config.dataset, config.data_dir)
        source = (
            sources.read(
                config.dataset, config.data_dir, unverified_archive=config.unverified_archive
            )
            if is_here
            else sources.stand_in(config.dataset)
        )
        dataset = select(source, config.train_examples, config.validation_examples)
        check_batch_size(config, dataset)
        trainer = Trainer(dataset, config.model, config.dtype, config.parallel)
        one_each = runs(config, dataset.fingerprint)[: len(config.optimizers)]
        with jax.default_matmul_precision(matmul_precision(config)):
            costs = {run.optimizer: trainer.cost(run) for run in one_each}
            seconds = (
                {run.optimizer: trainer.step_seconds(run, timed_steps) for run in one_each}
                if timed_steps
                else None
            )
        return cls(config, dataset, not is_here, costs, seconds)

    @property
    def flops(self) -> float:
        """Of the whole study: training, evaluation every epoch, and of the training set once."""
        images = self.config.epochs * len(self.dataset.evaluation) + len(self.dataset.train)
        return self._seeds * sum(
            cost.steps * cost.flops_a_step + images * cost.flops_an_evaluated_image
            for cost in self.costs.values()
        )

    @property
    def _seeds(self) -> int:
        first, end = self.config.seeds
        return end - first

    def show(self) -> None:
        """Prints the plan to standard output."""
        config, cost = self.config, next(iter(self.costs.values()))
        folders = [Path(config.output) / run.name for run in runs(config, "")]
        done = sum(RunFolder(folder).is_finished for folder in folders)
        steps = self._seeds * sum(each.steps for each in self.costs.values())
        state = ", ".join(
            f"{name} {each.optimizer_bytes / 1e6:.1f} MB" for name, each in self.costs.items()
        )
        for name, text in {
            "study": config.output,
            "data": f"{config.dataset}{' (not downloaded yet)' if self.is_stand_in else ''}: "
            f"{len(self.dataset.train)} examples to train on, {len(self.dataset.evaluation)} for "
            f"{self.dataset.evaluation_name}, {cost.data_bytes / 1e6:.1f} MB on each device",
            "model": f"{config.model}, {cost.parameters:,} parameters, "
            f"{cost.parameter_bytes / 1e6:.1f} MB",
            "optimizer state": state,
            "runs": f"{len(self.costs) * self._seeds}: {', '.join(config.optimizers)} × "
            f"{self._seeds} seed{'s' * (self._seeds > 1)}, {done} of them done",
            "steps": f"{steps:,}: {config.epochs} epochs of {cost.steps // config.epochs} steps "
            f"of {config.batch_size} examples a run",
            "operations": f"{cost.flops_a_step / 1e9:,.1f} GFLOP a step, "
            f"{self.flops:.2e} FLOP in all with evaluation",
            "time": self._time(),
        }.items():
            print(f"{name:<15}  {text}")  # a terminal wraps it, and cuts nothing

    def _time(self) -> str:
        if self.step_seconds is None:
            return "not measured; --dry-run 5 times five steps of each optimizer"
        total = self._seeds * sum(
            self.costs[name].steps * seconds for name, seconds in self.step_seconds.items()
        )
        each = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in self.step_seconds.items())
        duration = dt.timedelta(seconds=round(total))
        return f"a step takes {each}; all steps {duration}, without evaluation"

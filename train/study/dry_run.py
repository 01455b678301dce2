"""What a study would do and cost, without doing it."""

import dataclasses
import datetime as dt
from pathlib import Path

from train.common.errors import InputError
from train.data import sources
from train.data.dataset import Dataset, select
from train.engine import backend
from train.engine.cost import Cost
from train.engine.epochs import Trainer
from train.engine.recipe import check_arms
from train.runs.folders import places
from train.study.config import Config
from train.study.runner import Devices, check_batches, computing
from train.study.validation import check


@dataclasses.dataclass(frozen=True)
class Plan:
    """A study's runs and their cost."""

    config: Config
    dataset: Dataset
    is_stand_in: bool  # the data have not been downloaded; only their sizes count
    costs: dict[str, Cost]  # of one run of each arm
    step_seconds: dict[str, float] | None

    @classmethod
    def of(cls, config: Config, *, timed_steps: int, devices: Devices | None = None) -> "Plan":
        """Plans a study; nothing is downloaded, and nothing written but the cache of decoded files.

        Args:
          config: the study.
          timed_steps: how many steps of each arm to run, to tell the time; 0 for none.
          devices: as for `run_study`.

        Raises:
          InputError: if a setting makes no sense.
        """
        check(config)
        run, execution = config.run, config.execution
        if execution.is_distributed:
            raise InputError("dry_run: is for the devices of one process, not for several")
        is_here = sources.is_here(run.dataset, execution.data_dir)
        source = (
            sources.read(
                run.dataset, execution.data_dir, unverified_archive=execution.unverified_archive
            )
            if is_here
            else sources.stand_in(run.dataset)
        )
        dataset = select(source, run.train_examples, run.validation_examples)
        devices = devices or backend.devices()
        check_batches(config, dataset, devices)
        check_arms(dataset, run.model, config.study.arms)
        trainer = Trainer(dataset, devices=devices, parallel=execution.parallel)
        one_each = {each.arm: each for each in reversed(config.runs(dataset.fingerprint))}
        names = [arm.name for arm in config.study.arms]
        with computing(config):
            costs = {name: trainer.cost(one_each[name]) for name in names}
            seconds = (
                {name: trainer.step_seconds(one_each[name], timed_steps) for name in names}
                if timed_steps
                else None
            )
        return cls(config, dataset, not is_here, costs, seconds)

    @property
    def flops(self) -> float:
        """Of the whole study: training, each evaluation, and of the training set once."""
        run = self.config.run
        evaluations = -(-run.epochs // run.evaluate_every)
        images = evaluations * len(self.dataset.evaluation) + len(self.dataset.train)
        return sum(
            self._runs(name)
            * (cost.steps * cost.flops_a_step + images * cost.flops_an_evaluated_image)
            for name, cost in self.costs.items()
        )

    def _runs(self, arm: str) -> int:
        first, end = self.config.study.seeds
        return (end - first) * len(self.config.study.rates(arm))

    def show(self) -> None:
        """Prints the plan to standard output."""
        run, study, cost = self.config.run, self.config.study, next(iter(self.costs.values()))
        output = self.config.execution.output
        all_runs = self.config.runs(self.dataset.fingerprint)
        done = sum(folder.is_finished for folder in places(Path(output), all_runs))
        steps = sum(self._runs(name) * each.steps for name, each in self.costs.items())
        state = ", ".join(
            f"{name} {each.optimizer_bytes / 1e6:.1f} MB" for name, each in self.costs.items()
        )
        seeds = study.seeds[1] - study.seeds[0]
        rates = {name: len(study.rates(name)) for name in self.costs}
        arms = ", ".join(
            f"{name} at {count} rates" if count > 1 else name for name, count in rates.items()
        )
        for name, text in {
            "study": output,
            "data": f"{run.dataset}{' (not downloaded yet)' if self.is_stand_in else ''}: "
            f"{len(self.dataset.train)} examples to train on, {len(self.dataset.evaluation)} for "
            f"{self.dataset.evaluation_name}, {cost.data_bytes / 1e6:.1f} MB on each device",
            "model": f"{run.model}, {cost.parameters:,} parameters, "
            f"{cost.parameter_bytes / 1e6:.1f} MB",
            "optimizer state": state,
            "runs": f"{len(all_runs)}: {arms} × "
            f"{seeds} seed{'s' * (seeds > 1)}, {done} of them done",
            "steps": f"{steps:,}: {run.epochs} epochs of {cost.steps // run.epochs} steps "
            f"of {run.batch_size} examples a run",
            "operations": f"{cost.flops_a_step / 1e9:,.1f} GFLOP a step, "
            f"{self.flops:.2e} FLOP in all with evaluation",
            "time": self._time(),
        }.items():
            print(f"{name:<15}  {text}")  # a terminal wraps it, and cuts nothing

    def _time(self) -> str:
        if self.step_seconds is None:
            return "not measured; --dry-run 5 times five steps of each optimizer"
        total = sum(
            self._runs(name) * self.costs[name].steps * seconds
            for name, seconds in self.step_seconds.items()
        )
        each = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in self.step_seconds.items())
        duration = dt.timedelta(seconds=round(total))
        return f"a step takes {each}; all steps {duration}, without evaluation"

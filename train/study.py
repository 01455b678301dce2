"""A study: every optimizer × every seed, and the report on them."""

from pathlib import Path
from typing import Any

from train.config import Config, RunConfig, check, runs
from train.data import Dataset, load
from train.environment import environment
from train.errors import InputError
from train.progress import Display
from train.records import RunFolder, check_same_study
from train.report import Report, build_report
from train.trainer import Trainer


def run_study(config: Config) -> Report:
    """Does what `python train/cifar.py` does: trains what is not done yet, then reports.

    Args:
      config: the study, usually `dataclasses.replace(PRESETS[name], ...)`.

    Returns:
      The report; its files are in the folder `config.output`.

    Raises:
      InputError: if a setting makes no sense, or the folder holds something else.
      Nothing has been written then.
    """
    dataset = check_study(config)
    study = Path(config.output)
    all_runs = runs(config, dataset.fingerprint)
    todo = [run for run in all_runs if not RunFolder(study / run.name).is_finished]
    study.mkdir(parents=True, exist_ok=True)  # an impossible folder is known before training
    with Display(len(todo) * config.epochs) as display:
        display.say(
            f"{study}: {len(all_runs)} runs of {config.epochs} epochs, "
            f"{len(all_runs) - len(todo)} of them done"
        )
        if todo:
            here = environment(parallel=config.parallel)
            _train(study, todo, dataset, here, display)
    return build_report(study)


def check_study(config: Config) -> Dataset:
    """Finds whatever makes a study impossible, without writing; returns its data.

    Raises:
      InputError: if a setting makes no sense, or the folder holds something else.
    """
    check(config)
    dataset = load(
        config.dataset,
        data_dir=config.data_dir,
        unverified_archive=config.unverified_archive,
        train_examples=config.train_examples,
        validation_examples=config.validation_examples,
    )
    if config.batch_size > len(dataset.train):
        raise InputError(
            f"batch_size: {config.batch_size} is more than the {len(dataset.train)} examples "
            "to train on"
        )
    check_same_study(Path(config.output), runs(config, dataset.fingerprint))
    return dataset


def _train(
    study: Path, todo: list[RunConfig], dataset: Dataset, here: dict[str, Any], display: Display
) -> None:
    display.say(
        f"{todo[0].model} on {todo[0].dataset}: {len(dataset.train)} examples to train on, "
        f"{len(dataset.evaluation)} for {dataset.evaluation_name}"
    )
    trainer = Trainer(dataset, todo[0].model)
    for run in todo:
        folder = RunFolder(study / run.name)
        folder.start(run, here)
        result = trainer.run(run, folder, display)
        if result["status"] == "diverged":
            display.skip(run.epochs - result["epoch"])
            display.say(
                f"{run.name} diverged: the loss was not finite at step {result['step']}, "
                f"epoch {result['epoch']}"
            )

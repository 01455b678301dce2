"""A study's runs as scores, its table, and what its figures show."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from train.report.merge import Merged
from train.report.paper import PAPER
from train.report.rates import BestRate
from train.report.scores import Arms, Measure, Score, Scores, count_text
from train.report.tables import StudyTable, tabulate_scores
from train.runs.settings import RunConfig
from train.runs.store import Run

# arm → one row of values a seed, one column an epoch
Curves = Mapping[str, Sequence[Sequence[float | None]]]


def _accuracy(name: str, *, is_compared: bool = True) -> Measure:
    return Measure(
        name, "higher", f"points of {name}", "%", scale=100, digits=2, is_compared=is_compared
    )


def _loss(name: str) -> Measure:
    return Measure(name, "lower", f"in {name}")


# Key of result.json → what it measures; {split} is test or validation. The first counts. To add a
# measure, add it here.
MEASURES: dict[str, Measure] = {
    "{split}_accuracy": _accuracy("{split} accuracy"),
    "{split}_loss": _loss("{split} loss"),
    "train_loss": _loss("train loss"),
    "clean_train_accuracy": _accuracy("train accuracy", is_compared=False),
}


def study_scores(study: Merged) -> Scores:
    """The last epoch's figures of every finished run; a diverged run has none."""
    split = study.runs[0].evaluation
    measures = {
        key.format(split=split): dataclasses.replace(
            measure, name=measure.name.format(split=split), unit=measure.unit.format(split=split)
        )
        for key, measure in MEASURES.items()
    }
    return Scores(
        "",
        tuple(measures.values()),
        tuple(
            Score(arm, run.config.learning_rate, run.config.seed, _values(run, measures))
            for arm, runs in study.by_arm().items()
            for run in runs
        ),
    )


def _values(run: Run, measures: Mapping[str, Measure]) -> dict[str, float]:
    if not run.is_done:
        return {}
    found = {measure.name: run.result[key] for key, measure in measures.items()}
    return {name: value for name, value in found.items() if value is not None}


def curves(study: Merged, best: Sequence[BestRate] = ()) -> dict[str, Curves]:
    """What the figures show: measure, arm, run, epoch.

    Args:
      study: its runs.
      best: the rate to show of an arm that has several.
    """
    rates = {each.arm: each.rate for each in best}

    def shown(measure: str, arm: str, runs: Sequence[Run]) -> list[list[Any]]:
        of_rate = [run for run in runs if run.config.learning_rate == rates.get(arm)] or runs
        return [[line[measure] for line in run.metrics] for run in of_rate if run.is_done]

    evaluation = study.runs[0].evaluation
    measures = [
        f"{split}_{each}" for split in ("train", evaluation) for each in ("accuracy", "loss")
    ]
    return {
        measure: {arm: shown(measure, arm, runs) for arm, runs in study.by_arm().items()}
        for measure in measures
    }


def tabulate(
    study: Merged,
    margin_points: float,
    *,
    name_folders: bool,
    arms: Sequence[Arms] | None = None,
) -> StudyTable:
    """A study's numbers; a difference of accuracies within the margin does not matter.

    Args:
      study: its runs.
      margin_points: of accuracy.
      name_folders: whether the table says where the runs lie.
      arms: the comparisons that count; None for each arm against the baseline.
    """
    config = study.runs[0].config
    is_papers = study.runs[0].evaluation == "test"
    return tabulate_scores(
        study_scores(study),
        f"{title_of(config)}, last epoch",
        margin_points / 100,
        arms,
        folders=[str(folder) for folder in study.folders if name_folders],
        paper=PAPER.get((config.dataset, config.model)) if is_papers else None,
        unfinished=study.unfinished,
    )


def title_of(config: RunConfig) -> str:
    """The settings that all runs of a study share, except the rates."""
    parts = [f"{config.model} on {config.dataset}"]
    if config.train_examples is not None:
        parts.append(f"{config.train_examples} examples")
    if config.validation_examples:
        parts.append(f"{config.validation_examples} held out")
    if not config.augment:
        parts.append("no augmentation")
    parts += [
        count_text(config.epochs, "epoch"),
        f"batch {config.batch_size}",
        _schedule(config),
        f"decay {config.decay:g}",
        f"weight decay {config.weight_decay:g}",
    ]
    if config.dtype != "float32":
        parts.append(config.dtype)
    if config.tf32:
        parts.append("TensorFloat-32")
    if config.batch_norm == "reestimated":
        parts.append("BatchNorm re-estimated")
    if config.lr_convention != "ema":
        parts.append(f"rates given as {config.lr_convention}")
    return ", ".join(parts)


def _schedule(config: RunConfig) -> str:
    falls = {
        "step": f"halved every {count_text(config.halve_every, 'epoch')}",
        "linear": "linear to zero",
        "cosine": "cosine to zero",
    }
    text = f"rate {falls.get(config.schedule, config.schedule)}"
    if config.warmup_epochs:
        text += f" after {count_text(config.warmup_epochs, 'epoch')} of warm-up"
    return text

"""How much hangs on the last epoch: those before it that had its rate stand beside it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from train.report.cells import difference_text, markdown_table
from train.report.documents.results import Study
from train.report.statistics import Difference
from train.report.verdict import PRIMARY

CONTROL = "nesterov"

Accuracies = dict[int, NDArray[np.float64]]  # seed → test accuracy after each such epoch


def last_epochs(studies: dict[str, Study]) -> str:
    """How far accuracies swing within the last epochs, and the differences after each of them."""
    optimizers = list(
        dict.fromkeys(name for study in studies.values() for name in study.merged.by_arm())
    )
    swings, differences = [], []
    for study_name, study in studies.items():
        first, last = _epochs(study)
        accuracies = _accuracies(study, first)
        swing = [_swing(accuracies.get(optimizer, {})) for optimizer in optimizers]
        epochs = f"{first} to {last}" if first < last else f"{last}"
        swings.append([study_name, epochs, *swing])
        for one, other in _comparisons(study):
            cells = _differences(accuracies[one], accuracies[other])
            differences.append([study_name, f"{one} − {other}", *cells])
    difference_header = ["study", "", "epoch by epoch", "of the epochs' mean [95 %]"]
    note = (
        "Of all epochs at the last rate; the last of them is what counts. First table: the span of "
        "a run's accuracies, in points: mean over seeds, and the largest. Second: paired "
        "differences of accuracy, in points; neither planned nor tested."
    )
    tables = [
        markdown_table(["study", "epochs", *optimizers], swings),
        markdown_table(difference_header, differences),
    ]
    return "\n\n".join([*tables, note])


def _epochs(study: Study) -> tuple[int, int]:
    """The first and the last epoch at the schedule's last rate."""
    config = study.merged.runs[0].config
    return config.epochs - (config.epochs - 1) % config.halve_every, config.epochs


def _accuracies(study: Study, first: int) -> dict[str, Accuracies]:
    measure = f"{study.evaluation}_accuracy"
    return {
        name: {
            run.config.seed: np.array([line[measure] for line in run.metrics[first - 1 :]])
            for run in runs
            if run.is_done
        }
        for name, runs in study.merged.by_arm().items()
    }


def _comparisons(study: Study) -> Iterator[tuple[str, str]]:
    """All with the baseline, and RSGDM with Nesterov momentum where both had one rate."""
    yield from ((each.arm, each.other) for each in study.table.main_comparisons)
    if study.share_rate(PRIMARY, CONTROL):
        yield PRIMARY, CONTROL


def _swing(accuracies: Accuracies) -> str:
    if not accuracies:
        return "none"
    spans = [100 * np.ptp(by_epoch) for by_epoch in accuracies.values()]
    return f"{np.mean(spans):.2f} ({np.max(spans):.2f})"


def _differences(one: Accuracies, other: Accuracies) -> list[str]:
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return ["none", "no pair"]
    # Rounding takes the dust of the subtraction, so that equal accuracies differ by 0.
    paired = np.round([one[seed] - other[seed] for seed in seeds], 12)
    by_epoch = ", ".join(f"{100 * np.mean(after):+.2f}" for after in paired.T)
    means = np.round(np.asarray(np.mean(paired, axis=1)), 12)
    return [by_epoch, difference_text(Difference.of(means), 100, 2)]

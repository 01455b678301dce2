"""The committed runs, read by nothing of the program's, for the tests of numbers in documents."""

import json
import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "results" / "annealed"
RATES, DECAY, BEST, CIFAR = "digits/rates", "digits/decay", "digits/best", "cifar10/rates"


def runs(study, arm, rate=None):
    """An arm's runs, by seed."""
    packed = json.loads((RESULTS / f"{study}.json").read_text())
    whole = [packed["settings"] | run["settings"] | run for run in packed["runs"]]
    chosen = [run for run in whole if run["arm"] == arm and rate in (None, run["learning_rate"])]
    return sorted(chosen, key=lambda run: run["seed"])


def losses(study, arm, rate=None):
    """Mean training loss of the last epoch."""
    return np.array([run["metrics"]["train_loss"][-1] for run in runs(study, arm, rate)])


def accuracies(study, arm, rate=None):
    """In per cent."""
    return np.array([100 * run["result"]["test_accuracy"] for run in runs(study, arm, rate)])


def points_ahead(study, arm, rate=None, other="sgdm"):
    """Mean difference of test accuracy, in points."""
    return float(np.mean(accuracies(study, arm, rate) - accuracies(study, other, rate)))


def percent_below(study, rate):
    """How far rsgdm's loss is below sgdm's, by the mean lead."""
    return 100 * (1 - np.exp(-lead(study, "rsgdm", "sgdm", rate)))


def lead(study, one, other, rate=None):
    """The mean, over seeds, of ln(loss of the other) − ln(loss of the one)."""
    return float(np.mean(np.log(losses(study, other, rate) / losses(study, one, rate))))


def intervals(text):
    """Every [low, high] of a text."""
    found = re.findall(r"\[([+−-]?[\d.]+), ([+−-]?[\d.]+)\]", text)
    return [tuple(float(end.replace("−", "-")) for end in ends) for ends in found]


def lines(text):
    """Those that are not empty."""
    return [line for line in text.splitlines() if line]

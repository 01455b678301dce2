"""Optuna chooses a learning rate for the study program, on validation examples.

python recipes/optuna_study.py FOLDER [TRIALS]

Each trial is a study of its own in FOLDER. The test set is left alone: `validation_examples` takes
its examples from the training set. Trials of the same rate in the same folder repeat nothing.
"""

import json
import sys
from pathlib import Path

import optuna

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # train/ is in the checkout and not in the wheel
from train.study.presets import PRESETS
from train.study.runner import run_study

folder, trials = Path(sys.argv[1]), int((*sys.argv[2:], 8)[0])


def validation_loss(trial):
    rate = trial.suggest_float("learning_rate", 0.1, 10.0, log=True)
    output = folder / f"rate-{rate:.4g}"
    study = PRESETS["demo"].replace(
        optimizers=("rsgdm",),
        learning_rate=rate,
        seeds=(100, 101),
        epochs=2,
        validation_examples=300,
        workers=None,  # in this process: workers need `if __name__ == "__main__":`
        output=str(output),
    )
    run_study(study)
    (result,) = output.glob("*/result.json")
    loss = json.loads(result.read_text())["validation_loss"]
    return float("inf") if loss is None else loss  # null: the run diverged


optuna.logging.set_verbosity(optuna.logging.WARNING)
search = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
search.optimize(validation_loss, n_trials=trials)
print("best rate:", search.best_params["learning_rate"])
print("validation loss:", search.best_value)

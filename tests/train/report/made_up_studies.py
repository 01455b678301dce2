"""Studies whose leads are known, as the predictions read them."""

import math

from tests.train.made_up import write_run
from train.report.documents.leads import DataSet
from train.report.documents.results import Study

SEEDS = range(8)
RATES = (0.1, 0.4, 1.6, 6.4)


def write_study(folder, cells, *, accuracy=None, **settings):
    """A study whose log losses are those of the cells (arm, rate), scattered a little by seed."""
    for (arm, rate), log_loss in cells.items():
        for seed in SEEDS:
            scatter = (seed % 3 - 1) / 1000 * (1 if arm == "sgdm" else -1)
            loss = None if log_loss is None else math.exp(log_loss + scatter)
            write_run(
                folder,
                arm,
                seed,
                None if loss is None else (accuracy or {}).get(arm, 0.9),
                train_loss=2 * (loss or 1.0),  # of epoch 1; that of epoch 2 is half of it
                learning_rate=rate,
                **settings,
            )
    return folder


def data_set(tmp_path, **studies):
    """Of studies by name, each of cells."""
    return DataSet(
        {name: Study(write_study(tmp_path / name, cells)) for name, cells in studies.items()}
    )


def at_rates(**of_arm):
    """Cells from each arm's values at RATES."""
    return {
        (arm, rate): value
        for arm, values in of_arm.items()
        for rate, value in zip(RATES, values, strict=True)
    }

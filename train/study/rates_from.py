"""Each arm's learning rate from a study of several, which was evaluated on validation examples."""

from pathlib import Path

from train.common.errors import InputError
from train.report.merge import Merged, merge
from train.report.rates import best_rates
from train.report.scores import count_text
from train.report.studies import study_scores
from train.runs.settings import RunConfig, dataset_identity
from train.study.config import Config

_ALIKE = ("dataset", "model", "lr_convention")  # a rate means nothing where these differ


def rates_from(path: Path, config: Config) -> dict[str, tuple[float, ...]]:
    """The best rate of each arm of a study.

    Args:
      path: another study's folder, or the file that it was packed into.
      config: the study that the rates are for.

    Raises:
      InputError: if it cannot be read, is not finished, was evaluated on test data, is of other
      data or another network, or lacks an arm.
    """
    (tuning,) = merge([path])
    return _best(tuning, path, config)


def _best(tuning: Merged, path: Path, config: Config) -> dict[str, tuple[float, ...]]:
    if tuning.unfinished:
        raise InputError(
            f"rates_from: {path} is not finished, {count_text(tuning.unfinished, 'run')} left; the "
            "command that began it goes on"
        )
    theirs = tuning.runs[0].config
    if theirs.evaluation != "validation":
        raise InputError(
            f"rates_from: {path} was evaluated on test data, on which rates are not chosen; "
            "tune with --validation-examples"
        )
    for name in _ALIKE:
        there, here = getattr(theirs, name), getattr(config.run, name)
        if name == "dataset":
            there, here = dataset_identity(there), dataset_identity(here)
        if there != here:
            raise InputError(f"rates_from: {path} has {name} {there}, this study {here}")
    best = {each.arm: each for each in best_rates(study_scores(tuning))}
    optimizers = {arm: runs[0].config.optimizer for arm, runs in tuning.by_arm().items()}
    rates: dict[str, tuple[float, ...]] = {}
    for arm in config.study.arms:
        if arm.name not in best:
            raise InputError(f"rates_from: {path} lacks {arm.name}; it has {', '.join(best)}")
        if optimizers[arm.name] != arm.optimizer:
            raise InputError(
                f"rates_from: {path}: its {arm.name} is {optimizers[arm.name]}, "
                f"this study's {arm.optimizer}"
            )
        found = best[arm.name]
        if not found.seeds:
            raise InputError(f"rates_from: {path}: no seed of {arm.name} ran at every rate")
        if found.rate is None:
            raise InputError(f"rates_from: {path}: no rate of {arm.name} has all its runs finite")
        rates[arm.name] = (found.rate,)
    return rates


def check_source(config: Config, run: RunConfig) -> None:
    """Raises `InputError` if the rates are not those of the study that they are said to be from.

    Or if that study is of other data under the same name.

    Args:
      config: the study that has the rates.
      run: one of its runs, whose data are known.
    """
    source = config.study.rates_from
    if source is None:
        return
    (tuning,) = merge([Path(source)])
    data = tuning.runs[0].config.data
    if data != run.data:
        raise InputError(f"rates_from: {source} has data {data:.16}, this study {run.data:.16}")
    for arm, best in _best(tuning, Path(source), config).items():
        if config.study.rates(arm) != best:
            raise InputError(
                f"learning_rate of {arm}: {config.study.rates(arm)} is not what rates_from, "
                f"{source}, has: {best}"
            )

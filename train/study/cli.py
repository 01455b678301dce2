"""The command line of `train/cifar.py`: options laid over a preset."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.common import rules
from train.common.arguments import Parser, number
from train.common.errors import InputError
from train.study.config import FIELDS, Config
from train.study.presets import DEFAULT_PRESET, PRESETS
from train.study.rates_from import rates_from
from train.study.validation import CHOICES

_SEVERAL = ("optimizers", "learning_rate", "compare")


class Command(NamedTuple):
    """What the options say. The study is not checked yet."""

    config: Config
    dry_run: int | None  # how many steps to time; None: this is no dry run


def parse(arguments: Sequence[str] | None = None) -> Command:
    """Reads the options.

    Raises:
      InputError: for an unknown option or a value that cannot be read.
    """
    given = vars(_parser().parse_args(arguments))
    preset, dry_run = given.pop("preset"), given.pop("dry_run")
    if preset not in PRESETS:
        raise InputError(f"--preset: {preset!r} is unknown; allowed: {', '.join(PRESETS)}")
    config = PRESETS[preset]
    changes: dict[str, Any] = {}
    for field in FIELDS:
        name, value = field.name, given[field.name]
        if value is None:
            continue
        if name == "learning_rate":
            value = _learning_rates(value, config.study.learning_rate)
        elif name in _SEVERAL:
            value = tuple(value)
        elif isinstance(value, str):
            value = field.metadata["rule"].parse(name, value)
        changes[name] = value
    if dry_run is not None:
        steps = rules.whole(0)
        dry_run = steps.parse("dry_run", dry_run)
        steps.check("dry_run", dry_run)
    if changes.keys() & {"cluster", "distributed", "coordinator"}:
        changes.setdefault("workers", None)  # not the preset's
    config = config.replace(**changes)
    if "learning_rate" in changes:
        _check_arms(given["learning_rate"], config)
    if config.study.rates_from is not None:
        if "learning_rate" in changes:
            raise InputError("rates_from: not together with learning_rate; each gives the rates")
        config = config.replace(learning_rate=rates_from(Path(config.study.rates_from), config))
    return Command(config, dry_run)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="cifar.py",
        description="Train every optimizer at every learning rate on every seed of a study, and "
        "compare them. The same command again goes on where it stopped.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--preset",
        metavar="NAME",
        default=DEFAULT_PRESET,
        help=f"{', '.join(PRESETS)} (default: {DEFAULT_PRESET}); options override its values",
    )
    parser.add_argument(
        "--dry-run",
        metavar="STEPS",
        nargs="?",
        const="0",
        help="only say what the study would do and cost; with STEPS, time so many steps",
    )
    for field in FIELDS:
        names = " ".join(name for name in CHOICES.get(field.name, ()))
        option: dict[str, Any] = {
            "default": None,
            "help": field.metadata["help"].format(names=names),
        }
        if isinstance(field.default, bool):
            # Only a switch that is on by default needs its opposite.
            option["action"] = argparse.BooleanOptionalAction if field.default else "store_true"
        else:
            option["metavar"] = field.metadata["metavar"]
            option["nargs"] = "+" if field.name in _SEVERAL else None
        parser.add_argument("--" + field.name.replace("_", "-"), **option)
    return parser


def _check_arms(texts: list[str], config: Config) -> None:
    """Raises `InputError` for a rate of an arm that is not there. (A preset's may wait for one.)"""
    arms = [arm.name for arm in config.study.arms]
    for name in (text.partition("=")[0] for text in texts if "=" in text):
        if name not in arms:
            raise InputError(f"learning_rate: {name!r} is no arm of this study: {', '.join(arms)}")


def _learning_rates(
    texts: list[str], preset: Mapping[str, tuple[float, ...]]
) -> dict[str, tuple[float, ...]]:
    """Rates for all arms, or the preset's; and single arms' own."""
    bare = [number("learning_rate", text) for text in texts if "=" not in text]
    rates = {"": tuple(bare)} if bare else dict(preset)
    own = [text.partition("=") for text in texts if "=" in text]
    names = [name for name, _, _ in own]
    for name, _, values in own:
        if names.count(name) > 1:
            raise InputError(f"learning_rate: {name} is given twice")
        rates[name] = tuple(
            number(f"learning_rate of {name}", value) for value in values.split(",")
        )
    return rates

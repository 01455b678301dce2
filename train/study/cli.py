"""The command line of `train/cifar.py`: options laid over a preset."""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, get_type_hints

from train.common.arguments import Parser, number
from train.common.errors import InputError
from train.engine.optimizers import OPTIMIZERS
from train.study.presets import DEFAULT_PRESET, PRESETS, Config


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
    changes = {name: value for name, value in given.items() if value is not None}
    if "learning_rate" in changes:
        changes["learning_rate"] = _learning_rates(changes["learning_rate"], config)
    types = get_type_hints(Config)
    for name in changes.keys() - {"learning_rate"}:
        if types[name] in (int, int | None):
            changes[name] = _whole(name, changes[name])
        elif types[name] is float:
            changes[name] = number(name, changes[name])
    if "seeds" in changes:
        changes["seeds"] = _seeds(changes["seeds"])
    if "optimizers" in changes:
        changes["optimizers"] = tuple(changes["optimizers"])
    if dry_run is not None:
        dry_run = _whole("dry_run", dry_run)
        if dry_run < 0:
            raise InputError(f"dry_run: {dry_run} is not a whole number of 0 or more")
    return Command(dataclasses.replace(config, **changes), dry_run)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="cifar.py",
        description="Train every optimizer on every seed of a study, and compare them. "
        "The same command again goes on where it stopped.",
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
    types = get_type_hints(Config)
    for field in dataclasses.fields(Config):
        option: dict[str, Any] = {"default": None, "help": field.metadata["help"]}
        if types[field.name] is bool:
            # Only a switch that is on by default needs its opposite.
            option["action"] = (
                argparse.BooleanOptionalAction if field.default is True else "store_true"
            )
        else:
            option["metavar"] = field.metadata["metavar"]
            option["nargs"] = "+" if field.name in ("optimizers", "learning_rate") else None
        parser.add_argument("--" + field.name.replace("_", "-"), **option)
    return parser


def _seeds(text: str) -> tuple[int, int]:
    first, colon, end = text.partition(":")
    try:
        return (int(first), int(end)) if colon else (0, int(first))
    except ValueError:
        raise InputError(f"seeds: {text!r} is neither N nor A:B") from None


def _learning_rates(texts: list[str], preset: Config) -> float | dict[str, float]:
    """One rate for all, or the preset's with single ones replaced."""
    if len(texts) == 1 and "=" not in texts[0]:
        return number("learning_rate", texts[0])
    if isinstance(preset.learning_rate, float):
        rates = dict.fromkeys(OPTIMIZERS, preset.learning_rate)
    else:
        rates = dict(preset.learning_rate)
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"learning_rate: {text!r} is not NAME=VALUE; or give one rate alone")
        if sum(other.startswith(f"{name}=") for other in texts) > 1:
            raise InputError(f"learning_rate: {name} is given twice")
        rates[name] = number(f"learning_rate of {name}", value)
    return rates


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name}: {text!r} is not a whole number") from None

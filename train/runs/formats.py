"""What a run's files may hold: each key, the values allowed, and what it meant to lack it.

Format 1, of files without a number: metrics and results call α `learning_rate`.
Format 2: they call it `alpha`, for `learning_rate` in the settings is the rate as given.
Format 3: settings have `arm`, the optimizer's name in its study, beside `optimizer`, what it is.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from train.common import rules
from train.common.errors import InputError
from train.common.rules import Rule
from train.runs.settings import RunConfig

FORMAT = 3
NEEDED = dataclasses.MISSING


class Key(NamedTuple):
    """What may stand under a key of a file, and the value of files that lack it."""

    rule: Rule
    absent: Any = NEEDED


SETTINGS: Mapping[str, Key] = {
    field.name: Key(field.metadata["rule"], field.default)
    for field in dataclasses.fields(RunConfig)
}

_FRACTION = Key(rules.or_none(rules.FRACTION), absent=None)
_LOSS = Key(rules.or_none(rules.NOT_NEGATIVE), absent=None)


def epoch_keys(evaluation: str) -> dict[str, Key]:
    """Of a line of metrics.jsonl, and of result.json; what was not measured is null."""
    return {
        "epoch": Key(rules.whole(1)),
        "step": Key(rules.whole(0)),
        "alpha": Key(rules.NOT_NEGATIVE),
        "train_loss": _LOSS,
        "train_accuracy": _FRACTION,
        f"{evaluation}_loss": _LOSS,
        f"{evaluation}_accuracy": _FRACTION,
        "images_per_second": _LOSS,
    }


def result_keys(evaluation: str) -> dict[str, Key]:
    """Of result.json: the last epoch's figures, and what only the end of a run has."""
    return epoch_keys(evaluation) | {
        "status": Key(rules.one_of("done", "diverged")),
        "clean_train_loss": _LOSS,
        "clean_train_accuracy": _FRACTION,
        # By BatchNorm's statistics at evaluation.
        f"running_{evaluation}_loss": _LOSS,
        f"running_{evaluation}_accuracy": _FRACTION,
        f"reestimated_{evaluation}_loss": _LOSS,
        f"reestimated_{evaluation}_accuracy": _FRACTION,
    }


def settings(place: str, entry: Any) -> RunConfig:
    """A run's settings, from what stands in its config.json; see `checked`."""
    check_format(place, entry)
    # Before format 3 an arm was a built-in optimizer.
    if "arm" not in entry and "optimizer" in entry:
        entry = entry | {"arm": entry["optimizer"]}
    return RunConfig(**checked(place, entry, SETTINGS))


def current(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An epoch's figures, or a result, of any known format in today's."""
    return {"format": FORMAT} | figures(entry)


def figures(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The same, without the format's number."""
    names = {"learning_rate": "alpha"}
    return {names.get(key, key): value for key, value in entry.items() if key != "format"}


def checked(place: str, entry: Any, keys: Mapping[str, Key]) -> dict[str, Any]:
    """The values of all keys, and no others.

    Args:
      place: file, and where in it, for messages.
      entry: what stands there.
      keys: what may.

    Raises:
      InputError: if it is no object, is from a newer version, lacks a key, or a value makes no
      sense.
    """
    check_format(place, entry)
    if "alpha" in keys:
        entry = current(entry)
    for key in entry:
        if key not in keys and key != "format":
            raise _newer(place, f"its {key!r} is unknown")
    values = {}
    for key, (rule, absent) in keys.items():
        value = entry.get(key, absent)
        if value is NEEDED:
            raise InputError(f"{place}: lacks {key!r}")
        # An absent value is among the allowed ones.
        if not rule.allows(value):
            raise InputError(f"{place}: {key} is {value!r:.60}; allowed is {rule.words}")
        values[key] = value
    return values


def check_format(place: str, entry: Any) -> None:
    """Raises `InputError` unless it is an object of a format that this version knows."""
    if not isinstance(entry, dict):
        raise InputError(f"{place}: is {entry!r:.60}; allowed is an object, {{…}}")
    number = entry.get("format", 1)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InputError(f"{place}: format is {number!r:.60}; allowed is a whole number from 1 on")
    if number > FORMAT:
        raise _newer(place, f"format {number}, known is {FORMAT}")


def _newer(place: str, why: str) -> InputError:
    return InputError(
        f"{place}: written by a newer version of this program ({why}); nothing was changed, use "
        "that version"
    )

"""What a run's files may hold: each key, the values allowed, and what it meant to lack it.

Format 1, of files without a number: metrics and results call α `learning_rate`.
Format 2: they call it `alpha`, for `learning_rate` in the settings is the rate as given.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from train.common.errors import InputError

FORMAT = 2
_NEEDED = object()


@dataclasses.dataclass(frozen=True)
class Key:
    """What may stand under a key, in words and as a test, and the value of files that lack it."""

    allowed: str
    is_allowed: Callable[[Any], bool]
    absent: Any = _NEEDED


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _number(words: str, is_allowed: Callable[[Any], bool], absent: Any = _NEEDED) -> Key:
    return Key(words, lambda value: _is_number(value) and is_allowed(value), absent)


def _whole(least: int, absent: Any = _NEEDED) -> Key:
    return _number(
        f"a whole number of {least} or more",
        lambda value: isinstance(value, int) and value >= least,
        absent,
    )


def _text(absent: Any = _NEEDED) -> Key:
    return Key("a text", lambda value: isinstance(value, str), absent)


def _truth(absent: Any) -> Key:
    return Key("true or false", lambda value: isinstance(value, bool), absent)


def _one_of(*names: str) -> Key:
    return Key(", ".join(names), lambda value: isinstance(value, str) and value in names)


def _or_null(key: Key) -> Key:
    return Key(
        f"{key.allowed}, or null", lambda value: value is None or key.is_allowed(value), absent=None
    )


# Of config.json. What is absent in a file had the one value that there was when it was written.
SETTINGS: Mapping[str, Key] = {
    "dataset": _text(),
    "data": _text(),
    "train_examples": _or_null(_whole(1)),
    "validation_examples": _whole(0, absent=0),
    "model": _text(),
    "optimizer": _text(),
    "seed": _whole(0),
    "epochs": _whole(1),
    "halve_every": _whole(1),
    "batch_size": _whole(1, absent=128),
    "learning_rate": _number("a positive number", lambda value: value > 0),
    "lr_convention": _text(absent="ema"),
    "decay": _number("a number in [0, 1)", lambda value: 0 <= value < 1, absent=0.9),
    "weight_decay": _number("a number of 0 or more", lambda value: value >= 0, absent=5e-4),
    "augment": _truth(absent=True),
    "dtype": _text(absent="float32"),
    "tf32": _truth(absent=False),
}

_FRACTION = _or_null(_number("a fraction in [0, 1]", lambda value: 0 <= value <= 1))
_LOSS = _or_null(_number("a number of 0 or more", lambda value: value >= 0))


def epoch_keys(evaluation: str) -> dict[str, Key]:
    """Of a line of metrics.jsonl, and of result.json; what was not measured is null."""
    return {
        "epoch": _whole(1),
        "step": _whole(0),
        "alpha": _number("a number of 0 or more", lambda value: value >= 0),
        "train_loss": _LOSS,
        "train_accuracy": _FRACTION,
        f"{evaluation}_loss": _LOSS,
        f"{evaluation}_accuracy": _FRACTION,
        "images_per_second": _LOSS,
    }


# Of result.json alone.
RESULT: Mapping[str, Key] = {
    "status": _one_of("done", "diverged"),
    "clean_train_loss": _LOSS,
    "clean_train_accuracy": _FRACTION,
}


def current(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An epoch's figures, or a result, of any known format in today's."""
    names = {"learning_rate": "alpha"}
    values = {names.get(key, key): value for key, value in entry.items() if key != "format"}
    return {"format": FORMAT} | values


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
    for key, rule in keys.items():
        value = entry.get(key, rule.absent)
        if value is _NEEDED:
            raise InputError(f"{place}: lacks {key!r}")
        # An absent value is among the allowed ones.
        if not rule.is_allowed(value):
            raise InputError(f"{place}: {key} is {value!r:.60}; allowed is {rule.allowed}")
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

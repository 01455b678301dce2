"""What a setting's value may be: in words, as a test, and read from a command line."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from train.common.errors import InputError

MOST = 2**31 - 1  # counts are int32 on a device


@dataclasses.dataclass(frozen=True)
class Rule:
    """The values that may stand under a name."""

    words: str  # "a whole number of 1 or more"
    allows: Callable[[Any], bool]
    read: Callable[[str], Any] = str  # from a command line; ValueError if it cannot be
    refusal: str = "is not {words}"
    show: Callable[[Any], str] = repr  # a value, in the message

    def check(self, name: str, value: Any) -> None:
        """Raises `InputError` unless the value is allowed."""
        if not self.allows(value):
            raise self._error(name, value)

    def parse(self, name: str, text: str) -> Any:
        """The value that a word of the command line stands for."""
        try:
            return self.read(text)
        except ValueError:
            raise self._error(name, text) from None

    def _error(self, name: str, value: Any) -> InputError:
        return InputError(f"{name}: {self.show(value):.80} {self.refusal.format(words=self.words)}")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def number(words: str, allows: Callable[[float], bool]) -> Rule:
    """A finite number."""
    return Rule(words, lambda value: _is_number(value) and allows(value), float)


def whole(least: int) -> Rule:
    """A whole number within int32."""
    return Rule(
        f"a whole number of {least} or more, below 2^31",
        lambda value: _is_number(value) and isinstance(value, int) and least <= value <= MOST,
        int,
    )


def text() -> Rule:
    """Any text that is not empty."""
    return Rule("a text", lambda value: isinstance(value, str) and value != "")


def truth() -> Rule:
    """True or False."""
    return Rule(
        "true or false",
        lambda value: isinstance(value, bool),
        refusal="is neither True nor False",
    )


def one_of(*names: str) -> Rule:
    """One of some names."""
    return Rule(
        ", ".join(names),
        lambda value: isinstance(value, str) and value in names,
        refusal="is unknown; allowed: {words}",
    )


def or_none(rule: Rule) -> Rule:
    """What the rule allows, or None: null in a file."""
    return dataclasses.replace(
        rule,
        words=f"{rule.words}, or null",
        allows=lambda value: value is None or rule.allows(value),
    )


POSITIVE = number("a positive number", lambda value: value > 0)
NOT_NEGATIVE = number("a number of 0 or more", lambda value: value >= 0)
FRACTION = number("a fraction in [0, 1]", lambda value: 0 <= value <= 1)

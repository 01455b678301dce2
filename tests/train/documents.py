"""Texts and figures compared by their numbers, to one unit of the last digit written.

Another processor or library may round the last bit of a float in another way, and a number that
ends on a half then goes to the other side.
"""

import html
import json
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
)
# Not the parts of a version or a name.
_NUMBER = re.compile(r"((?<![\w.])[+−-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w|\.\d))")


def same_text(one: str, other: str) -> bool:
    """Whether two texts have the same words, and the same numbers."""
    ours, theirs = _NUMBER.split(one), _NUMBER.split(other)
    return ours[::2] == theirs[::2] and all(map(_same_number, ours[1::2], theirs[1::2]))


def paragraph(text: str, phrase: str) -> str:
    """The one paragraph or list item of a Markdown text that has a phrase, on one line.

    What `make results` writes is left out.
    """
    prose = re.sub(r"<!-- results: .*?<!-- end of results -->", "", text, flags=re.S)
    parts = [" ".join(part.split()) for part in re.split(r"\n\n|\n(?=- |\d+\. )", prose)]
    (found,) = (part for part in parts if phrase in part)
    return found


def shows(text: str, value: float, digits: int) -> bool:
    """Whether one of a text's numbers is the value, rounded to so many decimal places.

    A count, an int, may stand there as a word. A half may have been rounded to either side.
    """
    if isinstance(value, int):
        words = [_WORDS.index(word) for word in text.lower().split() if word in _WORDS]
        return value in words or f"{value}" in _NUMBER.findall(text)
    numbers = (Decimal(number.replace("−", "-")) for number in _NUMBER.findall(text))
    tolerance = 0.5 * 10**-digits + 1e-12  # some ulps of what it was computed from, up to 100
    return any(
        number.as_tuple().exponent == -digits and abs(float(number) - value) <= tolerance
        for number in numbers
    )


def _same_number(one: str, other: str) -> bool:
    ours, theirs = (Decimal(number.replace("−", "-")) for number in (one, other))
    units = [10 ** Decimal(number.as_tuple().exponent) for number in (ours, theirs)]
    is_count = one.isdecimal() and other.isdecimal()
    return ours == theirs if is_count else abs(ours - theirs) <= min(units)


def shown_by(figure: Path) -> list[dict[str, Any]]:
    """The numbers that an SVG has in its description."""
    text = figure.read_text(encoding="utf-8")
    (description,) = re.findall(r"<dc:description>(.*?)</dc:description>", text, re.S)
    return json.loads(html.unescape(description))


def same_drawing(one: Any, other: Any, scale: float = 0.0) -> bool:
    """Whether two figures show the same: numbers of six digits, the last may differ by one."""
    if isinstance(one, list) and isinstance(other, list):
        numbers = [abs(value) for value in (*one, *other) if isinstance(value, float)]
        scale = max(numbers, default=0.0)
        return len(one) == len(other) and all(
            same_drawing(ours, theirs, scale) for ours, theirs in zip(one, other, strict=True)
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            same_drawing(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, float) and isinstance(other, float):
        # What is zero but for rounding has no digits of its own.
        return math.isclose(one, other, rel_tol=1.1e-5, abs_tol=1e-9 * scale)
    if isinstance(one, str) and isinstance(other, str):
        return same_text(one, other)
    return one is None and other is None

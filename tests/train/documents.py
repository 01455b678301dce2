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

# Not the parts of a version or a name.
_NUMBER = re.compile(r"((?<![\w.])[+−-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w|\.\d))")


def same_text(one: str, other: str) -> bool:
    """Whether two texts have the same words, and the same numbers."""
    ours, theirs = _NUMBER.split(one), _NUMBER.split(other)
    return ours[::2] == theirs[::2] and all(map(_same_number, ours[1::2], theirs[1::2]))


def says(text: str, sentence: str) -> bool:
    """Whether a text has a sentence, up to its numbers' last digits."""
    number = r"[+−-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
    parts = _NUMBER.split(sentence)
    pattern = f"({number})".join(map(re.escape, parts[::2]))
    found = re.finditer(pattern, text)
    return any(all(map(_same_number, parts[1::2], match.groups())) for match in found)


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

"""The errors that the programs show as a line instead of a traceback."""

import re


class InputError(ValueError):
    """A bad option or bad input: the message names it, its value and what is allowed."""


class LostProcessError(InputError):
    """Another process of the study is gone, or never came.

    JAX's own way out would wait for it, and abort in the end: the process is to leave at once.
    """


def reason(error: OSError) -> str:
    """Why the system could not do it."""
    return error.strerror or str(error)


def first_line(error: Exception) -> str:
    """An error's first line, or its kind if it says nothing; JAX repeats itself in it."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return re.sub(r"([^:]+: )\1+", r"\1", line)[:300]

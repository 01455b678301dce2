"""What the command lines of all programs share."""

import argparse
from typing import NoReturn

from train.common.errors import InputError


class Parser(argparse.ArgumentParser):
    """Reports an error as one line, and by an exception of our own."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")


def number(name: str, text: str) -> float:
    """Reads a number, or raises `InputError`."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{name}: {text!r} is not a number") from None

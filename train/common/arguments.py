"""What the command lines of all programs share."""

import argparse
import os
from pathlib import Path
from typing import NoReturn

from train.common.errors import InputError


class Parser(argparse.ArgumentParser):
    """Reports an error as one line, and by an exception of our own."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")


def path(text: str) -> Path:
    """The path that an option gives: the shell leaves the ~ of --output=~/report to the program."""
    found = os.path.expanduser(text)  # noqa: PTH111  # Path's own fails without a home
    if found.startswith("~"):
        raise argparse.ArgumentTypeError(f"{text!r}: there is no such home folder; name it in full")
    return Path(found)


def number(name: str, text: str) -> float:
    """Reads a number, or raises `InputError`."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{name}: {text!r} is not a number") from None

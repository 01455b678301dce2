"""The programs called as a user calls them, but in this process."""

import sys
from types import ModuleType

import pytest

from train import command


def status(program: ModuleType, words: list[object] | str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit status of a program; words as a shell would divide them, or in a list."""
    name = f"{program.__name__.rpartition('.')[2]}.py"
    words = words.split() if isinstance(words, str) else words
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    return command.outcome(name, program.main)

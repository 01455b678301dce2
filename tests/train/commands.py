"""The programs called as a user calls them, but in this process."""

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from train.common import entrypoint


def status(program: ModuleType, words: list[object] | str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit status of a program; words as a shell would divide them, or in a list."""
    name = f"{program.__name__.rpartition('.')[2]}.py"
    words = words.split() if isinstance(words, str) else words
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    return entrypoint.outcome(name, program.main)


def not_installed(*before: Path) -> dict[str, str]:
    """The environment for `python -S`, in which no .pth file shows it this checkout."""
    root = Path(__file__).parents[2]
    packages = [Path(folder) for folder in sys.path if folder and Path(folder).is_dir()]
    found = [folder for folder in packages if folder.resolve() != root]
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*before, *found)))}

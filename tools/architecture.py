"""Draws the rooms of the repository from the code's own imports, into docs/architecture.md.

python tools/architecture.py

A room is a package of `train/`, the entry points beside them, or the library. Imports point down
the list `ROOMS`, never up: tests/test_architecture.py says when one does, and when the
drawing is stale.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "architecture.md"
# From top to bottom, with what each is for.
ROOMS = {
    "entry points": "cifar.py and report.py: bootstrap, then one call",
    "experiments": "measurements inside of training, checks of a GPU, collectives",
    "study": "options, presets, validation; one study from its settings to its report",
    "engine": "training steps, epochs, optimizers, devices and hosts",
    "report": "statistics, verdicts, tables, figures, merging of studies, documents",
    "models": "networks and their convolutions",
    "data": "sources, formats, sampling, augmentation",
    "runs": "settings and files of runs: store, checkpoints, lock, environment, measurements",
    "common": "errors, start and end of programs, terminal",
    "rsgdm_optax": "the library",
}
ORDER = list(ROOMS)
_DRAWING = re.compile(r"(<!-- drawing -->\n).*?(<!-- end of drawing -->)", re.S)


def arrows() -> Counter[tuple[str, str]]:
    """How many modules of a room import from another room."""
    found: set[tuple[str, str, str]] = set()
    for path in sorted((*(ROOT / "train").rglob("*.py"), *(ROOT / "rsgdm_optax").rglob("*.py"))):
        here = _room(path.relative_to(ROOT).with_suffix("").parts)
        for module in _imported(path):
            there = _room((*module.split("."), ""))
            if there not in (None, here):
                found.add((str(path), str(here), str(there)))
    return Counter((here, there) for _, here, there in found)


def upward() -> list[tuple[str, str]]:
    """The arrows that point up, or that leave the library."""
    return [(here, there) for here, there in arrows() if ORDER.index(there) < ORDER.index(here)]


def drawing() -> str:
    """The rooms and their arrows as a Mermaid flowchart, and the list of rooms."""
    name = {room: room.replace(" ", "_") for room in ROOMS}
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {name[room]}[{room}]" for room in ROOMS]
    ordered = sorted(arrows().items(), key=lambda item: tuple(map(ORDER.index, item[0])))
    lines += [f"    {name[here]} -->|{count}| {name[there]}" for (here, there), count in ordered]
    rows = [f"| `{room}` | {words} |" for room, words in ROOMS.items()]
    return "\n".join([*lines, "```", "", "| room | what it holds |", "|---|---|", *rows]) + "\n"


def renewed(document: str) -> str:
    """The document with the drawing of today's code."""
    return _DRAWING.sub(lambda match: match[1] + drawing() + match[2], document)


def _room(parts: tuple[str, ...]) -> str | None:
    if parts[0] == "rsgdm_optax":
        return "rsgdm_optax"
    if parts[0] != "train":
        return None
    return parts[1] if len(parts) > 2 and parts[1] in ROOMS else "entry points"


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{DOCUMENT.relative_to(ROOT)} is renewed")

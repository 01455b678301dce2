"""Writes what README.md and docs/results.md take from results/: tables, verdicts, figures.

make results
python tools/make_results.py [RESULTS [CHECKOUT]]

The text between `<!-- results: BLOCK -->` and `<!-- end of results -->` is replaced, the rest left
alone; the figures are in docs/figures/results/. Blocks show whatever lies in RESULTS:

….json               a study that tools/pack_study.py packed, named by its place
tuning/….json        a study of several rates an arm, on validation examples, packed
straying/…/….json    what train/experiments/nesterov_distance.py measured
correction/…/….json  what train/experiments/bias_variance.py measured
"""

import os
import re
import sys
from functools import partial
from pathlib import Path

from train.common.errors import InputError
from train.report.documents.blocks import BLOCKS
from train.report.documents.figures import Gallery
from train.report.documents.results import Results
from train.runs.store import write_bytes

DOCUMENTS = ("README.md", "docs/results.md")
FIGURES = "docs/figures/results"
_BLOCK = re.compile(r"(<!-- results: ([\w ]+) -->\n).*?(<!-- end of results -->)", re.S)


def make_results(results: Path, checkout: Path) -> None:
    """Renews every block and figure.

    Raises:
      InputError: see `renewed`. Nothing has been written then.
    """
    texts, gallery = renewed(Results(results), checkout)
    for name, text in texts.items():
        write_bytes(checkout / name, text.encode())
    gallery.write(checkout / FIGURES)


def renewed(results: Results, checkout: Path) -> tuple[dict[str, str], Gallery]:
    """The documents with their blocks renewed, and the figures that these show.

    Raises:
      InputError: if a document asks for an unknown block.
    """
    gallery = Gallery()
    blocks = {name: block(results, gallery) for name, block in BLOCKS.items()}

    def renew(name: str, match: re.Match[str]) -> str:
        begin, block, end = match.groups()
        if block not in blocks:
            known = ", ".join(blocks)
            raise InputError(f"{checkout / name}: block {block!r} is unknown; allowed: {known}")
        figures = os.path.relpath(FIGURES, Path(name).parent)
        text = blocks[block].replace("](FIGURES/", f"]({figures}/")
        return f"{begin}{text}\n{end}"

    texts = {
        name: _BLOCK.sub(partial(renew, name), (checkout / name).read_text(encoding="utf-8"))
        for name in DOCUMENTS
    }
    return texts, gallery


def main() -> int:
    """Renews the checkout's documents; returns the exit status."""
    root = Path(__file__).parents[3]
    results, checkout = (*map(Path, sys.argv[1:]), *(root / "results", root)[len(sys.argv) - 1 :])
    make_results(results, checkout)
    return 0

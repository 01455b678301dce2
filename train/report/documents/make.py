"""Writes what documents take from results/: tables, verdicts, figures.

make results
python tools/make_results.py [RESULTS [CHECKOUT]]

The text between `<!-- results: BLOCK -->` and `<!-- end of results -->` is replaced, the rest left
alone. `DOCUMENTS` says which document takes from which folder of RESULTS; the figures are in
docs/figures/FOLDER/. Blocks show whatever lies there:

….json               a study that tools/pack_study.py packed, named by its place
tuning/….json        a study of several rates an arm, on validation examples, packed
straying/…/….json    what train/experiments/nesterov_distance.py measured
correction/…/….json  what train/experiments/bias_variance.py measured
sharpness/…/….json   what train/experiments/sharpness.py measured
"""

import os
import re
import sys
from pathlib import Path

from train.common.errors import InputError
from train.common.files import write_bytes
from train.report.documents.blocks import BLOCKS
from train.report.documents.figures import Gallery
from train.report.documents.results import Results

DOCUMENTS = {"docs/first-studies.md": "first", "docs/results.md": "annealed"}
FIGURES = "docs/figures"
_BLOCK = re.compile(r"(<!-- results: ([\w ]+) -->\n).*?(<!-- end of results -->)", re.S)


def make_results(results: Path, checkout: Path) -> None:
    """Renews every block and figure.

    Raises:
      InputError: see `renewed`. Nothing has been written then.
    """
    renewals = [
        (document, folder, *renewed(Results(results / folder), checkout, document))
        for document, folder in DOCUMENTS.items()
    ]
    for document, folder, text, gallery in renewals:
        write_bytes(checkout / document, text.encode())
        gallery.write(checkout / FIGURES / folder)


def renewed(results: Results, checkout: Path, document: str) -> tuple[str, Gallery]:
    """A document with its blocks renewed, and the figures that these show.

    Raises:
      InputError: if it asks for an unknown block.
    """
    gallery = Gallery()
    figures = os.path.relpath(f"{FIGURES}/{DOCUMENTS[document]}", Path(document).parent)

    def renew(match: re.Match[str]) -> str:
        begin, block, end = match.groups()
        if block not in BLOCKS:
            known = ", ".join(BLOCKS)
            raise InputError(f"{checkout / document}: block {block!r} is unknown; allowed: {known}")
        text = BLOCKS[block](results, gallery).replace("](FIGURES/", f"]({figures}/")
        return f"{begin}{text}\n{end}"

    return _BLOCK.sub(renew, (checkout / document).read_text(encoding="utf-8")), gallery


def main() -> int:
    """Renews the checkout's documents; returns the exit status."""
    root = Path(__file__).parents[3]
    results, checkout = (*map(Path, sys.argv[1:]), *(root / "results", root)[len(sys.argv) - 1 :])
    make_results(results, checkout)
    return 0

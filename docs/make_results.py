"""Writes what README.md and docs/results.md take from results/: tables, verdicts, figures.

make results
python docs/make_results.py [RESULTS [CHECKOUT]]

The text between `<!-- results: BLOCK -->` and `<!-- end of results -->` is replaced, the rest left
alone; the figures are in docs/figures/results/. Blocks show whatever lies in RESULTS:

…/OPTIMIZER-seedK/            a study, named by its folder
tuning/…/rate-RATE/           studies that differ in the rate alone
straying/…/  correction/…/    what train/straying.py and train/correction.py measured
"""

import re
import sys
from pathlib import Path

from result_blocks import BLOCKS
from result_figures import Gallery
from result_files import Results

from train import command
from train.errors import InputError
from train.records import write_bytes

DOCUMENTS = ("README.md", "docs/results.md")
FIGURES = "docs/figures/results"
_BLOCK = re.compile(r"(<!-- results: ([\w ]+) -->\n).*?(<!-- end of results -->)", re.S)


def make_results(results: Path, checkout: Path) -> None:
    """Renews every block and figure.

    Raises:
      InputError: if a file of the results is damaged, or a document asks for an unknown block.
      Nothing has been written then.
    """
    found, gallery = Results(results), Gallery()
    texts = {name: block(found, gallery) for name, block in BLOCKS.items()}
    written: dict[Path, str] = {}
    for name in DOCUMENTS:
        path = checkout / name

        def renewed(match: re.Match[str], path: Path = path) -> str:
            begin, block, end = match.groups()
            if block not in texts:
                raise InputError(f"{path}: block {block!r} is unknown; allowed: {', '.join(texts)}")
            figures = (checkout / FIGURES).relative_to(path.parent).as_posix()
            text = texts[block].replace("](FIGURES/", f"]({figures}/")
            return f"{begin}{text}\n{end}"

        written[path] = _BLOCK.sub(renewed, path.read_text(encoding="utf-8"))
    for path, text in written.items():
        write_bytes(path, text.encode())
    gallery.write(checkout / FIGURES)


def main() -> int:
    """Renews the checkout's documents; returns the exit status."""
    root = Path(__file__).parents[1]
    results, checkout = (*map(Path, sys.argv[1:]), *(root / "results", root)[len(sys.argv) - 1 :])
    make_results(results, checkout)
    return 0


if __name__ == "__main__":
    command.run("make_results.py", main)

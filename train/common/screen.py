"""Tables on a screen of any width, whose numbers are never cut."""

import textwrap
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_LEAST_WIDTH = 40  # a narrower screen breaks lines by itself
_PIPE_WIDTH = 200  # a file or a pipe has no width to fit in


def screen() -> Console:
    """Standard output, as wide as it is."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    console.width = max(console.width, _LEAST_WIDTH)
    return console


def print_table(
    console: Console, header: Sequence[str], rows: Sequence[Sequence[str]], title: str = "{}"
) -> None:
    """Prints a table side by side if it fits, its header in several lines if need be.

    Else each row becomes a block, a line a cell, under a title that has the first cell in it.
    """
    widths = [max(map(cell_len, column), default=0) for column in zip(*rows, strict=True)]
    folded = [_fold(name, width) for name, width in zip(header, widths, strict=True)]
    for names in (header, folded):
        table = Table(box=box.SIMPLE_HEAD, collapse_padding=True)
        for name in names:
            table.add_column(name, no_wrap=True)
        for cells in rows:
            table.add_row(*cells)
        boundless = console.options.update(width=10_000)
        if Measurement.get(console, boundless, table).maximum <= console.width:
            console.print(table)
            return
    for first, *cells in rows:
        block = Table.grid(padding=(0, 2), pad_edge=False)
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for name, cell in zip(header[1:], cells, strict=True):
            if cell:
                block.add_row(Text(f"  {name}"), Text(cell))
        console.print(f"\n{title.format(first)}")
        console.print(block)
    console.print()


def _fold(name: str, width: int) -> str:
    """A column's name in lines no longer than its cells or its longest word."""
    longest = max((cell_len(word) for word in name.split()), default=0)
    return "\n".join(textwrap.wrap(name, max(width, longest), break_long_words=False))

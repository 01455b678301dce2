"""Progress on standard error: a live bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

_SECONDS_BETWEEN_LINES = 5.0
_COLUMNS_FOR_A_BAR = 80  # on fewer, numbers would be cut


def say(line: str) -> None:
    """Prints a line to standard error."""
    _console().print(line)


def warn(line: str) -> None:
    """Prints what a user should know but need not act on."""
    say(f"warning: {line}")


def _console(*, quiet: bool = False) -> Console:
    console = Console(
        stderr=True,
        quiet=quiet,
        soft_wrap=True,
        # Names are shown as they are.
        markup=False,
        emoji=False,
        highlight=False,
    )
    if console.width == 0:  # COLUMNS=0: rich would print nothing
        console.width = 80
    return console


class Display:
    """Shows how far a study is, epoch by epoch."""

    def __init__(self, epochs: int, *, quiet: bool = False):
        self._console = _console(quiet=quiet)
        self._done: dict[str, int] = {}  # epochs, by run
        self._epochs = epochs
        self._last_line = -_SECONDS_BETWEEN_LINES
        self._bar: Progress | None = None
        # Interactive: a terminal, and none that TERM calls dumb or unknown.
        if self._console.is_interactive and self._console.width >= _COLUMNS_FOR_A_BAR and not quiet:
            self._bar = Progress(
                TextColumn("{task.fields[run]:<18}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("epochs"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}", table_column=Column()),  # which may wrap
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=epochs, run="compiling", figures="")

    def __enter__(self) -> "Display":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self._console.print(line)

    def epoch(self, run: str, metrics: dict[str, Any], epochs: int) -> None:
        """One epoch of a run of so many is over."""
        self._done[run] = metrics["epoch"]
        done = sum(self._done.values())
        figures = "  ".join(
            f"{name.removesuffix('_accuracy')} {value:6.2%}"
            for name, value in metrics.items()
            if name.endswith("_accuracy") and value is not None
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=done, run=run, figures=figures)
            return
        now = time.monotonic()
        if metrics["epoch"] == epochs or now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            place = f"epoch {metrics['epoch']:>3}/{epochs}"
            self.say(f"[{done:>4}/{self._epochs}] {run:<18} {place}  {figures}")

    def resume(self, run: str, epochs: int) -> None:
        """So many epochs of a run were done earlier."""
        self._done[run] = epochs
        self.say(f"{run} goes on after epoch {epochs}")

    def skip(self, epochs: int) -> None:
        """So many epochs will not be run."""
        self._epochs -= epochs
        if self._bar is not None:
            self._bar.update(self._task, total=self._epochs)

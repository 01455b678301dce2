"""A training step on CPUs with its memory in huge pages, against the usual ones.

python benchmarks/huge_pages.py [--quick]

The C library, glibc 2.35 or later on Linux, asks for them if GLIBC_TUNABLES says so when a process
starts. So each kind has a process of its own, and both take their steps in turn. Elsewhere, and
where /sys/kernel/mm/transparent_hugepage/enabled is not "madvise", there is no difference.
"""

import contextlib
import functools
import os
import subprocess
import sys

from benchmarks.timing import Spread, Timed, interleaved, parse, report
from benchmarks.train_step import BATCH, ours
from train.study.workers import HUGE_PAGES

PAGES = {"usual": {}, "huge": HUGE_PAGES}
# Networks, image sides, channels, and how many rounds take about a minute.
CASES = [("resnet8", 8, 1, 200), ("resnet8", 28, 1, 60), ("resnet8", 32, 3, 40)]
CASES += [("resnet18", 32, 3, 5)]


def serve(name: str, side: int, channels: int) -> None:
    """A step for each line of the input; its seconds go to the output."""
    step, _ = ours(name, side, channels, fast=True)
    for _ in sys.stdin:
        print(step(), flush=True)


def ask(process: subprocess.Popen[str]) -> float:
    """The seconds of one step of a process that serves."""
    assert process.stdin is not None  # noqa: S101  # for the type checker
    assert process.stdout is not None  # noqa: S101
    print(file=process.stdin, flush=True)
    return float(process.stdout.readline())


def main() -> None:
    """Times both kinds of pages for every case."""
    options = parse("huge_pages.py", "Time training steps with usual and huge pages of memory.")
    rows = []
    for *case, rounds in CASES[:1] if options.quick else CASES:
        program = f"from benchmarks.huge_pages import serve; serve{tuple(case)}"
        measures: dict[str, Timed] = {}
        with contextlib.ExitStack() as stack:
            for pages, variables in PAGES.items():
                process = subprocess.Popen(
                    [sys.executable, "-c", program],
                    env=os.environ | variables,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                measures[pages] = functools.partial(ask, stack.enter_context(process))
            seconds = interleaved(measures, 3 if options.quick else rounds)
        name, side, channels = case
        rows += [
            {
                "network": f"{name}, {side}×{side}×{channels}",
                "pages": pages,
                "ms": Spread.of(1e3 * values),
                "images/s": Spread.of(BATCH / values),
                "ratio": Spread.of(values / seconds["usual"]),
            }
            for pages, values in seconds.items()
        ]
    report(options, rows)


if __name__ == "__main__":
    main()

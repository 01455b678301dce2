"""What the benchmarks share: timing in turn, ratios with their spread, a table, a JSON file."""

import argparse
import dataclasses
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from train.models.cpu_convolution import choose
from train.report.cells import markdown_table
from train.runs.environment import environment

K = TypeVar("K", bound=Hashable)
# Takes one measurement, and returns its seconds: what precedes the clock is its own affair.
Timed = Callable[[], float]


def timed(function: Callable[[], object]) -> Timed:
    """A function that finishes before it returns, with a clock around it."""

    def measure() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return measure


def interleaved(
    measures: Mapping[K, Timed], rounds: int, *, settle: int = 1
) -> dict[K, np.ndarray]:
    """Seconds of each, taken in turn: a slow second of the machine's meets all of them.

    At each turn the first `settle` measurements are thrown away: threads of the one before,
    PyTorch's for one, go on spinning for a while, and the caches hold its arrays.
    """

    def settled(measure: Timed) -> float:
        return [measure() for _ in range(settle + 1)][-1]

    seconds = [[settled(measure) for measure in measures.values()] for _ in range(rounds)]
    return dict(zip(measures, np.array(seconds).T, strict=True))


@dataclasses.dataclass(frozen=True)
class Spread:
    """A median and the quartiles about it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """The quartiles of values."""
        low, median, high = map(float, np.quantile(values, (0.25, 0.5, 0.75)))
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{_number(self.median)} [{_number(self.low)}, {_number(self.high)}]"


def parse(program: str, description: str) -> argparse.Namespace:
    """The options of every benchmark: `quick` and `output`."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument(
        "--quick", action="store_true", help="small and short: to see that it runs, not how fast"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/benchmarks") / program.replace(".py", ".json"),
        metavar="FILE",
        help="JSON file to write (default: %(default)s)",
    )
    return parser.parse_args()


def report(options: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints rows as a Markdown table, and writes them with the machine they came from."""
    body = [[str(value) for value in row.values()] for row in rows]
    print(markdown_table(list(rows[0]), body))
    here = environment(
        devices=jax.devices(),
        parallel="jit",
        matmul_precision="float32",
        convolution=choose(jax.devices(), "jit"),
    )
    if find_spec("torch"):
        here["packages"]["torch"] = importlib.metadata.version("torch")
    here["processor"] = _processor()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    content = {"quick": options.quick, "environment": here, "rows": list(rows)}
    options.output.write_text(json.dumps(content, indent=2, default=dataclasses.asdict) + "\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))

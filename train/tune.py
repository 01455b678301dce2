r"""Learning rates from one grid, each optimizer's own, chosen on validation examples.

python train/tune.py --rates 0.1 0.2 0.4 --preset demo --validation-examples 300 \
    --seeds 100:103 --output runs/tuning
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from train.config import check
from train.errors import InputError
from train.options import Parser, number, parse
from train.records import write_bytes
from train.report import Report, Row
from train.study import run_study


def tune(arguments: Sequence[str] | None = None) -> str:
    """Runs one study a rate, under one folder; returns the table, in Markdown.

    Raises:
      InputError: for bad options, or if the test set would be used to choose.
    """
    parser = Parser(
        prog="tune.py",
        description="Try every rate of a grid on validation examples. "
        "All other options are those of train/cifar.py.",
        allow_abbrev=False,
    )
    parser.add_argument("--rates", metavar="RATE", nargs="+", required=True, help="the grid")
    own, others = parser.parse_known_args(arguments)
    rates = [number("rates", rate) for rate in own.rates]
    config = parse(others)
    if not config.validation_examples:
        raise InputError("validation_examples: 0; rates are not chosen on test data")
    folder = Path(config.output)
    studies = [
        dataclasses.replace(config, learning_rate=rate, output=str(folder / f"rate-{rate:g}"))
        for rate in rates
    ]
    for study in studies:
        check(study)  # all of them, before hours are spent on the first
    table = _table(rates, [run_study(study) for study in studies])
    write_bytes(folder / "tuning.md", table.encode())
    return table


def _score(row: Row) -> tuple[bool, float, float]:
    """Higher is better: no run diverged, then accuracy, then loss."""
    accuracy, loss = row.accuracy.mean, row.loss.mean
    if accuracy is None or loss is None:
        return False, 0.0, 0.0
    return row.diverged == 0, accuracy, -loss


def _table(rates: list[float], reports: list[Report]) -> str:
    rows = [{row.optimizer: row for row in report.rows} for report in reports]
    lines = [["rate", *rows[0]], ["---"] * (1 + len(rows[0]))]
    best = {name: max((by_name[name] for by_name in rows), key=_score) for name in rows[0]}
    for rate, by_name in zip(rates, rows, strict=True):
        cells = [
            f"**{_cell(row)}**" if row is best[name] else _cell(row)
            for name, row in by_name.items()
        ]
        lines.append([f"{rate:g}", *cells])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    seeds = reports[0].rows[0].accuracy.n
    return (
        f"{table}\n\n{reports[0].title}; {seeds} seeds. Validation accuracy in %, and loss; "
        "bold: the best accuracy of each optimizer, equal ones by loss.\n"
    )


def _cell(row: Row) -> str:
    if row.accuracy.mean is None or row.loss.mean is None:
        return "diverged"
    diverged = f", {row.diverged} diverged" if row.diverged else ""
    return f"{100 * row.accuracy.mean:.2f}, {row.loss.mean:.4f}{diverged}"


def main() -> int:
    """The command; returns its exit status."""
    try:
        print(tune(), end="")
    except InputError as error:
        print(f"tune.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

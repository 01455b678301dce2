r"""Learning rates from one grid, each optimizer's own, chosen on validation examples.

python train/tune.py --rates 0.1 0.2 0.4 --preset demo --validation-examples 300 \
    --seeds 100:105 --output runs/tuning
"""

if __name__ == "__main__":  # this checkout's packages come before others of their names
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from train.common.entrypoint import start

    start(__file__)

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from train.common.arguments import Parser, number
from train.common.errors import InputError
from train.report.tables import Row, StudyTable, markdown_table
from train.runs.store import write_bytes
from train.study.cli import parse
from train.study.presets import Config
from train.study.runner import check_study, run_study


def tune(config: Config, rates: list[float]) -> str:
    """Runs one study a rate, in folders of their own under `config.output`.

    Returns:
      The table, in Markdown; it is in `config.output`/tuning.md too.

    Raises:
      InputError: if the test set would be used to choose, or one of the studies is impossible.
      Nothing has been written then.
    """
    if not config.validation_examples:
        raise InputError("validation_examples: 0; rates are not chosen on test data")
    if len(set(rates)) < len(rates):
        raise InputError(f"rates: one is given twice in {rates}")
    folder = Path(config.output)
    studies = [
        dataclasses.replace(config, learning_rate=rate, output=str(folder / f"rate-{rate!r}"))
        for rate in rates
    ]
    for study in studies:
        check_study(study)  # all of them, before hours are spent on the first
    table = rate_table(rates, [run_study(study).tables[0] for study in studies])
    write_bytes(folder / "tuning.md", table.encode())
    return table


def _means(row: Row) -> tuple[float | None, float | None]:
    return row.spreads["validation accuracy"].mean, row.spreads["validation loss"].mean


def _score(row: Row) -> tuple[bool, float, float]:
    """Higher is better: no run diverged, then accuracy, then loss."""
    accuracy, loss = _means(row)
    if accuracy is None or loss is None:
        return False, 0.0, 0.0
    # Rounded, for means of the same counts, added in another order, must be ties.
    return row.diverged == 0, round(accuracy, 12), -loss


def best_rates(rates: Sequence[float], tables: Sequence[StudyTable]) -> dict[str, float]:
    """Each optimizer's rate of the highest accuracy, equal ones by loss; the first if all fail."""
    best: dict[str, tuple[float, Row]] = {}
    for rate, table in zip(rates, tables, strict=True):
        for row in table.rows:
            if row.arm not in best or _score(row) > _score(best[row.arm][1]):
                best[row.arm] = rate, row
    return {name: rate for name, (rate, _) in best.items()}


def rate_table(rates: Sequence[float], tables: Sequence[StudyTable]) -> str:
    """Every optimizer's figures at every rate, in Markdown, the best of each in bold."""
    best = best_rates(rates, tables)
    body = [
        [f"{rate:g}", *(_cell(row, is_best=rate == best[row.arm]) for row in table.rows)]
        for rate, table in zip(rates, tables, strict=True)
    ]
    seeds = tables[0].rows[0].n + tables[0].rows[0].diverged
    return (
        f"{markdown_table(['rate', *best], body)}\n\n{tables[0].title}; {seeds} seeds. "
        "Validation accuracy in %, and loss; bold: the best accuracy of each optimizer, equal "
        "ones by loss.\n"
    )


def _cell(row: Row, *, is_best: bool) -> str:
    accuracy, loss = _means(row)
    if accuracy is None or loss is None:
        return "diverged"
    diverged = f", {row.diverged} diverged" if row.diverged else ""
    text = f"{100 * accuracy:.2f}, {loss:.4f}{diverged}"
    return f"**{text}**" if is_best else text


def main() -> int:
    """Parses the options, tunes, prints the table; returns the exit status."""
    parser = Parser(
        prog="tune.py",
        description="Try every rate of a grid on validation examples. "
        "All other options are those of train/cifar.py.",
        allow_abbrev=False,
    )
    parser.add_argument("--rates", metavar="RATE", nargs="+", required=True, help="the grid")
    own, others = parser.parse_known_args()
    if any(word.partition("=")[0] == "--learning-rate" for word in others):
        raise InputError("--learning-rate: not for tuning; the grid is given by --rates")
    options = parse(others)
    if options.config.distributed or options.config.coordinator is not None:
        raise InputError("--distributed: not for tuning; tune on the devices of one process")
    if options.dry_run is not None:
        raise InputError("--dry-run: not for tuning; train/cifar.py tells what one rate costs")
    print(tune(options.config, [number("rates", rate) for rate in own.rates]), end="")
    return 0

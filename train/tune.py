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
from pathlib import Path

from train.common.arguments import Parser, number
from train.common.errors import InputError
from train.report.rates import rate_table
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

"""The time of an epoch of training against that of its steps alone: what the program adds.

python benchmarks/epoch.py [--quick]

resnet8 on 60,000 made-up images of Fashion-MNIST's size. Compilation, evaluation and checkpoints
count for neither; the order of the examples, the looks at the loss and the reading of the sums
count for the epoch.
"""

import numpy as np

from benchmarks.timing import Spread, interleaved, parse, report
from train.data.dataset import Dataset, Split
from train.engine.epochs import Trainer
from train.runs.settings import RunConfig
from train.study.presets import PRESETS


def made_up(examples: int) -> Dataset:
    """Noise: how long a step takes does not depend on what it sees."""
    random = np.random.default_rng(0)

    def split(size: int) -> Split:
        return Split(
            random.integers(0, 256, (size, 28, 28, 1), dtype=np.uint8),
            random.integers(0, 10, size, dtype=np.int32),
        )

    train, test = split(examples), split(1000)
    half = np.full(1, 127.5, np.float32)
    return Dataset(train, test, "test", 10, can_flip=True, mean=half, std=half, fingerprint="")


def epoch_seconds(trainer: Trainer, run: RunConfig, examples: int) -> float:
    """Trains for one epoch; returns the seconds of its training."""
    (epoch,) = trainer.epochs(run, trainer.start(run), 0)
    trained = examples // run.batch_size * run.batch_size
    return trained / float(epoch.metrics["images_per_second"])


def main() -> None:
    """Times epochs and their steps in turn."""
    options = parse("epoch.py", "Time an epoch of training against its steps alone.")
    examples, rounds = (512, 2) if options.quick else (60_000, 3)
    preset = PRESETS["fashion_mnist"]
    (run,) = preset.replace(optimizers=("rsgdm",), seeds=(0, 1), epochs=1).runs("")
    steps = examples // run.batch_size
    trainer = Trainer(made_up(examples))
    trainer.step_seconds(run)  # compiles
    seconds = interleaved(
        {
            "its steps alone": lambda: steps * trainer.step_seconds(run, steps),
            "epoch": lambda: epoch_seconds(trainer, run, examples),
        },
        rounds,
        settle=0,
    )
    alone = seconds["its steps alone"]
    rows = [
        {
            f"{run.model}, {examples} images": label,
            "s": Spread.of(values),
            "images/s": Spread.of(steps * run.batch_size / values),
            "ratio": Spread.of(values / alone),
        }
        for label, values in seconds.items()
    ]
    report(options, rows)


if __name__ == "__main__":
    main()

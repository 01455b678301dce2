"""The studies that have a name: the paper's two, and two smaller ones."""

from train.study.config import Config

_PAPER = Config.of(
    dataset="cifar10",
    model="resnet18",
    optimizers=("sgdm", "rsgdm"),
    seeds=(0, 1),
    epochs=200,
    learning_rate=0.01,
    output="runs/cifar10",
)

PRESETS: dict[str, Config] = {
    "cifar10": _PAPER,
    "cifar100": _PAPER.replace(dataset="cifar100", model="resnet50", output="runs/cifar100"),
    # These rates, and the demo's, come from validation examples: docs/results.md, Learning rates.
    "fashion_mnist": _PAPER.replace(
        dataset="fashion_mnist",
        model="resnet8",
        optimizers=("sgdm", "rsgdm", "nesterov"),
        seeds=(0, 3),
        epochs=12,
        schedule="linear",
        learning_rate={"sgdm": 3.2, "rsgdm": 3.2, "nesterov": 3.2},
        batch_norm="reestimated",
        output="runs/fashion_mnist",
    ),
    "demo": Config.of(
        dataset="digits",
        model="resnet8",
        optimizers=("sgdm", "rsgdm", "nesterov"),
        seeds=(0, 8),
        epochs=6,
        schedule="linear",
        learning_rate={"sgdm": 1.6, "rsgdm": 3.2, "nesterov": 1.6},
        batch_norm="reestimated",
        evaluate_every=3,
        checkpoint_every=6,  # a run takes no longer than a few checkpoints
        workers="auto",
        output="runs/demo",
    ),
}
DEFAULT_PRESET = "cifar10"

"""The time of a training step here and in PyTorch, of the same network on the same cores.

python benchmarks/train_step.py [--quick]

PyTorch is compared with where it is installed: pip install torch==2.13.0. It has channels-last
images and weights, as our arrays are. Both do a step of Nesterov momentum with weight decay on a
batch of 128; ours takes it from the stored images and normalises it too.
"""

import functools
import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Spread, Timed, interleaved, parse, report, timed
from train.engine.optimizers import Arm
from train.engine.steps import Examples, Keys, Network, Sums, TrainState, TrainStep
from train.models.cpu_convolution import compiler_options, convolution
from train.models.resnet import MODELS

BATCH = 128
# Networks, image sides, channels, and how many rounds take about a minute.
CASES = [("resnet8", 8, 1, 200), ("resnet8", 28, 1, 60), ("resnet18", 32, 3, 5)]


def ours(name: str, side: int, channels: int, *, fast: bool) -> tuple[Timed, float]:
    """Measures our step; and its floating-point operations, as XLA counts its own form."""
    random = np.random.default_rng(0)
    examples = Examples(
        jnp.asarray(random.integers(0, 256, (BATCH, side, side, channels), dtype=np.uint8)),
        jnp.asarray(random.integers(0, 10, BATCH, dtype=np.int32)),
        mean=jnp.full(channels, 128.0),
        std=jnp.full(channels, 64.0),
    )
    make = functools.partial(MODELS[name], channels=channels, classes=10)
    network = Network(make, convolution=convolution if fast else None)
    arm = Arm("nesterov", "nesterov")
    optimizer = arm.make(lambda _: jnp.float32(0.01), decay=0.9, weight_decay=5e-4)
    keys = Keys.of_seed(0)
    params, batch_stats = network.init(keys.parameters)
    state = TrainState(jnp.int32(0), params, batch_stats, optimizer.init(params))
    step = TrainStep(
        network, lambda _: optimizer, batch_size=BATCH, steps_per_epoch=1, augment=False, flip=False
    )
    rest = (examples, jnp.arange(BATCH), keys, jnp.float32(0.01))
    options = compiler_options() if fast else None
    program = jax.jit(step, donate_argnums=(0, 1), compiler_options=options)
    lowered = program.lower(state, Sums.zero(), *rest)
    compiled = lowered.compile()
    now: list[Any] = [state, Sums.zero()]

    def advance() -> None:
        now[:] = jax.block_until_ready(compiled(*now, *rest))

    analysis: Any = lowered.cost_analysis()
    return timed(advance), float(analysis["flops"])


def pytorchs(name: str, side: int, channels: int) -> Timed:
    """Measures PyTorch's step."""
    # The network that the parity tests' golden values come from.
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "golden"))
    golden: Any = importlib.import_module("make_torch_resnet")
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as many as XLA takes
    shape = {k: v for k, v in golden.CASES[name].items() if k not in ("side", "channels")}
    model = golden.ResNet(**shape, channels=channels).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    images = torch.randn(BATCH, channels, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return timed(step)


def main() -> None:
    """Times every case."""
    options = parse("train_step.py", "Time training steps against PyTorch's.")
    rows = []
    for name, side, channels, rounds in CASES[:1] if options.quick else CASES:
        measures = {}
        flops = {}
        for label, fast in (("ours", True), ("ours, RSGDM_CONVOLUTION=xla", False)):
            measures[label], flops[label] = ours(name, side, channels, fast=fast)
        if find_spec("torch"):
            measures["PyTorch"] = pytorchs(name, side, channels)
        seconds = interleaved(measures, 3 if options.quick else rounds)
        for label, values in seconds.items():
            row = {
                "network": f"{name}, {side}×{side}×{channels}",
                "step": label,
                "ms": Spread.of(1e3 * values),
                "images/s": Spread.of(BATCH / values),
                "GFLOP/s": Spread.of(min(flops.values()) / values / 1e9),
            }
            if "PyTorch" in seconds:
                row["speed, PyTorch = 1"] = Spread.of(seconds["PyTorch"] / values)
            rows.append(row)
    report(options, rows)


if __name__ == "__main__":
    main()

"""What the devices send each other in a training step, read from the compiled program.

python train/experiments/collectives.py [--devices 8] [--models resnet8 resnet18 resnet50]
"""

if __name__ == "__main__":  # this checkout's packages come before others of their names
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from train.common.entrypoint import start

    start(__file__)

import functools
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rsgdm_optax
from train.common import rules
from train.common.arguments import Parser
from train.common.errors import InputError
from train.engine.backend import devices
from train.engine.parallel import PARALLEL
from train.engine.steps import Examples, Keys, Network, Sums, TrainState, TrainStep
from train.models.resnet import MODELS

_SHAPE = re.compile(r"([a-z]+\d+)\[([\d,]*)\]")
_COLLECTIVE = re.compile(
    r"^\s*(?:ROOT )?%?\S+ = (?P<shapes>.*?) (?P<kind>all-reduce|all-gather|all-to-all|"
    r"reduce-scatter|collective-permute|collective-broadcast)(?:-start)?\(",
    re.MULTILINE,
)


class Collective(NamedTuple):
    """One operation of the program. XLA may carry several arrays in one."""

    kind: str
    arrays: tuple[tuple[str, tuple[int, ...]], ...]  # dtype and shape of each

    @property
    def bytes(self) -> int:
        return sum(
            math.prod(shape) * int(re.sub(r"\D", "", dtype)) // 8 for dtype, shape in self.arrays
        )


def collectives(program: str) -> Iterator[Collective]:
    """The collectives of a compiled program, from its text."""
    for found in _COLLECTIVE.finditer(program):
        yield Collective(
            found["kind"],
            tuple(
                (dtype, tuple(int(n) for n in sizes.split(",") if n))
                for dtype, sizes in _SHAPE.findall(found["shapes"])
            ),
        )


def step_program(
    network: Network,
    optimizer: optax.GradientTransformation,
    parallel: str,
    devices: tuple[jax.Device, ...],
    *,
    image: tuple[int, int, int],
    batch_size: int,
) -> str:
    """The compiled training step as text; nothing is run, and no data are needed."""
    placed = PARALLEL[parallel](devices)
    step = TrainStep(
        network,
        lambda _: optimizer,
        batch_size=batch_size,
        steps_per_epoch=1,
        augment=True,
        flip=True,
        parallel=placed,
    )

    def start(seed: int) -> tuple[Any, ...]:
        keys = Keys.of_seed(seed)
        params, batch_stats = network.init(keys.parameters)
        state = TrainState(jnp.int32(0), params, batch_stats, optimizer.init(params))
        color = jnp.zeros(image[-1])
        images = jnp.zeros((batch_size, *image), jnp.uint8)
        labels = jnp.zeros(batch_size, jnp.int32)
        examples = Examples(images, labels, color, color)
        return state, Sums.zero(), examples, labels, keys, jnp.float32(1)

    program = placed.compile(step, donate=(0, 1))
    arguments = jax.eval_shape(start, 0)
    arguments = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed.replicated), arguments
    )
    if isinstance(program, functools.partial):  # pmap's own first argument
        arguments = (*program.args, *arguments)
        program = program.func
    text: str = program.lower(*arguments).compile().as_text()  # type: ignore[attr-defined]
    return text


def main() -> int:
    """Prints a table in Markdown."""
    parser = Parser(prog="collectives.py", description="Count what the devices send in a step.")
    parser.add_argument("--devices", metavar="N", default="8", help="virtual CPU devices")
    parser.add_argument("--models", metavar="NAME", nargs="+", default=list(MODELS))
    options = parser.parse_args()
    if unknown := set(options.models) - set(MODELS):
        raise InputError(f"models: {min(unknown)!r} is unknown; allowed: {', '.join(MODELS)}")
    rule = rules.whole(1)
    count = rule.parse("devices", options.devices)
    rule.check("devices", count)
    jax.config.update("jax_num_cpu_devices", count)
    print("| model | parallel | operations | arrays | bytes | gradient bytes | kinds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for model in options.models:
        network = Network(functools.partial(MODELS[model], channels=3, classes=10))
        params, _ = jax.eval_shape(network.init, jax.random.key(0))
        gradients = sum(np.prod(x.shape, dtype=int) * 4 for x in jax.tree.leaves(params))
        for parallel in PARALLEL:
            found = list(
                collectives(
                    step_program(
                        network,
                        rsgdm_optax.rsgdm(0.1),
                        parallel,
                        devices("cpu"),
                        image=(32, 32, 3),
                        batch_size=16 * count,
                    )
                )
            )
            kinds = Counter(each.kind for each in found)
            arrays = sum(len(each.arrays) for each in found)
            total = sum(each.bytes for each in found)
            said = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
            print(
                f"| {model} | {parallel} | {len(found)} | {arrays} | {total:,} | {gradients:,} "
                f"| {said} |",
                flush=True,
            )
    return 0

r"""The largest eigenvalue of the training loss's Hessian at the end of each run.

python train/experiments/sharpness.py --preset demo --learning-rate 1.6 --optimizers sgdm rsgdm \
    --seeds 5 --output runs/sharpness

The loss is the mean over up to `BATCHES` training batches, without augmentation and without weight
decay, each batch with its own BatchNorm statistics, as training sees it. Power iteration on
Hessian-vector products: v ← H v / ‖H v‖ from a random v, until vᵀH v changes by less than
`TOLERANCE` of itself. It finds the eigenvalue of largest magnitude, with its sign.

On a quadratic, SGDM is stable up to α·λ = 2(1+β)/(1−β), RSGDM with c = β up to 2.8 times less at
β = 0.9 (docs/linear-momentum.md). Whether networks that were trained at one rate differ so is what
this measures.
"""

if __name__ == "__main__":  # this checkout's packages come before others of their names
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from train.common.entrypoint import start

    start(__file__)

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from train.engine.recipe import make_network
from train.engine.steps import Examples, epoch_order, normalise
from train.experiments.measurement import Subject, measure_all, options, significant
from train.runs.measurements import SHARPNESS, Numbers

BATCHES = 16
TOLERANCE = 1e-4
MOST_ITERATIONS = 500


class Eigenvalue(NamedTuple):
    """What power iteration found."""

    value: jax.Array
    iterations: jax.Array


def largest_eigenvalue(product: Callable[[Any], Any], start: Any) -> Eigenvalue:
    """The eigenvalue of largest magnitude of a symmetric linear map, by power iteration.

    Args:
      product: the map, from a tree of arrays to one like it.
      start: a tree that is not orthogonal to the eigenvector, such as a random one.

    Returns:
      vᵀHv of the last unit vector v, and how many products it took: `MOST_ITERATIONS` if it had
      not settled.

    Example:
      >>> matrix = jnp.diag(jnp.array([3.0, 1.0]))
      >>> found = largest_eigenvalue(lambda v: matrix @ v, jnp.array([1.0, 1.0]))
      >>> round(float(found.value), 3)
      3.0
    """

    def unit(tree: Any) -> Any:
        return optax.tree.scale(1 / optax.tree.norm(tree), tree)

    def is_unsettled(carry: tuple[Any, jax.Array, jax.Array, jax.Array]) -> jax.Array:
        _, now, before, count = carry
        return (jnp.abs(now - before) > TOLERANCE * jnp.abs(now)) & (count < MOST_ITERATIONS)

    def iterate(
        carry: tuple[Any, jax.Array, jax.Array, jax.Array],
    ) -> tuple[Any, jax.Array, jax.Array, jax.Array]:
        vector, now, _, count = carry
        image = product(vector)
        return unit(image), optax.tree.vdot(vector, image), now, count + 1

    first = (unit(start), jnp.float32(0), jnp.float32(jnp.inf), jnp.int32(0))
    _, value, _, count = jax.lax.while_loop(is_unsettled, iterate, first)
    return Eigenvalue(value, count)


def sharpness(subject: Subject) -> Callable[[int], Numbers]:
    """λ_max after one training after the other."""
    trainer = subject.trainer
    loss = jax.jit(_loss(subject))

    @jax.jit
    def measured(params: Any, key: jax.Array) -> Eigenvalue:
        def product(vector: Any) -> Any:
            return jax.jvp(jax.grad(loss), (params,), (vector,))[1]

        return largest_eigenvalue(product, optax.tree.random_like(key, params))

    def measure(seed: int) -> Numbers:
        seeded = subject.seeded(seed)
        *_, last = trainer.epochs(seeded, trainer.start(seeded), 0)
        if last.bad_step is not None:
            return {"status": "diverged", "eigenvalue": None}
        key = jax.random.fold_in(trainer.keys(seed).parameters, 1)
        found = measured(last.state.params, key)
        return {
            "status": "done",
            "eigenvalue": significant(found.value),
            "iterations": int(found.iterations),
            "loss": significant(loss(last.state.params)),
        }

    return measure


def _loss(subject: Subject) -> Callable[[Any], jax.Array]:
    """The mean loss over the same batches for every run, as a function of the parameters."""
    run, dataset = subject.run, subject.dataset
    # XLA's own convolution: the fast one has no forward-mode derivative.
    network = make_network(dataset, run.model, run.dtype, None)
    examples = jax.device_put(Examples.of(dataset.train, dataset, 1))
    keys = subject.trainer.keys(0)
    batches = min(len(dataset.train) // run.batch_size, BATCHES)
    order = epoch_order(keys, jnp.int32(0), len(dataset.train))[: batches * run.batch_size]
    _, batch_stats = network.init(keys.parameters)  # a batch in training mode does not use them

    def of_batch(params: Any, indices: jax.Array) -> jax.Array:
        images = normalise(examples.images[indices], examples)
        logits, _ = network.apply(params, batch_stats, images, training=True)
        labels = examples.labels[indices]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses)

    def loss(params: Any) -> jax.Array:
        each = jax.lax.map(lambda indices: of_batch(params, indices), order.reshape(batches, -1))
        return jnp.mean(each)

    return loss


def main() -> int:
    """Measures what the options say; returns the exit status."""
    config = options(
        "sharpness.py", "Measure the largest eigenvalue of the Hessian at the end of each run."
    )
    measure_all(SHARPNESS, config, sharpness)
    return 0

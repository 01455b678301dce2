r"""The largest eigenvalue of the training loss's Hessian at the end of each run.

python train/experiments/sharpness.py --preset demo --learning-rate 1.6 --optimizers sgdm rsgdm \
    --seeds 5 --output runs/sharpness

The loss is the mean over up to `BATCHES` training batches, without augmentation and without weight
decay, each batch with its own BatchNorm statistics, as training sees it. ARPACK's Lanczos method
finds the eigenvalue from Hessian-vector products, to `TOLERANCE` of itself.

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

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from scipy.sparse.linalg import LinearOperator, eigsh

from train.engine.recipe import make_network
from train.engine.steps import Examples, epoch_order, normalise
from train.experiments.measurement import Subject, measure_all, options, significant
from train.runs.measurements import SHARPNESS, Numbers

BATCHES = 16
TOLERANCE = 1e-4


class Batch(NamedTuple):
    """Examples as the network takes them."""

    images: jax.Array
    labels: jax.Array


class Eigenvalue(NamedTuple):
    """What the Lanczos method found."""

    value: float
    products: int


def largest_eigenvalue(product: Callable[[Any], Any], start: Any) -> Eigenvalue:
    """The largest eigenvalue of a symmetric linear map, however large its negative ones are.

    Args:
      product: the map, from a tree of float32 arrays to one like it.
      start: a tree that is not orthogonal to the eigenvector, such as a random one.

    Returns:
      The eigenvalue, and how many products it took.

    Raises:
      scipy.sparse.linalg.ArpackNoConvergence: if it is not found in ten products a dimension.

    Example:
      >>> matrix = jnp.diag(jnp.array([3.0, -4.0, 1.0]))
      >>> found = largest_eigenvalue(lambda v: matrix @ v, jnp.array([1.0, 1.0, 1.0]))
      >>> round(found.value, 3)
      3.0
    """
    first, tree = ravel_pytree(start)
    products = 0

    def counted(vector: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        image, _ = ravel_pytree(product(tree(jnp.asarray(vector, jnp.float32))))
        return np.asarray(image, np.float64)

    # In float64: the vectors stay orthogonal, whatever digits the products have.
    operator = LinearOperator((first.size, first.size), matvec=counted, dtype=np.float64)
    (value,) = eigsh(
        operator,
        k=1,
        which="LA",
        v0=np.asarray(first, np.float64),
        tol=TOLERANCE,
        return_eigenvectors=False,
    )
    return Eigenvalue(float(value), products)


def sharpness(subject: Subject) -> Callable[[int], Numbers]:
    """λ_max after one training after the other."""
    trainer = subject.trainer
    batch_loss, batches = _loss(subject)
    loss = _mean_over(batches, jax.jit(batch_loss))

    @jax.jit
    def hessian_product(batch: Batch, params: Any, vector: Any) -> Any:
        gradient = jax.grad(functools.partial(batch_loss, batch))
        return jax.jvp(gradient, (params,), (vector,))[1]

    product = _mean_over(batches, hessian_product)

    def measure(seed: int) -> Numbers:
        seeded = subject.seeded(seed)
        *_, last = trainer.epochs(seeded, trainer.start(seeded), 0)
        if last.bad_step is not None:
            return {"status": "diverged", "eigenvalue": None}
        params = last.state.params
        key = jax.random.fold_in(trainer.keys(seed).parameters, 1)
        start = optax.tree.random_like(key, params)
        found = largest_eigenvalue(functools.partial(product, params), start)
        return {
            "status": "done",
            "eigenvalue": significant(found.value),
            "products": found.products,
            "loss": significant(loss(params)),
        }

    return measure


def _loss(subject: Subject) -> tuple[Callable[[Batch, Any], jax.Array], list[Batch]]:
    """The mean loss of a batch as a function of the parameters, and the same batches for all."""
    run, dataset = subject.run, subject.dataset
    # XLA's own convolution: the fast one has no forward-mode derivative.
    network = make_network(dataset, run.model, run.dtype, None)
    examples = jax.device_put(Examples.of(dataset, dataset.train, batch=1))
    keys = subject.trainer.keys(0)
    count = min(len(dataset.train) // run.batch_size, BATCHES)
    order = epoch_order(keys, jnp.int32(0), len(dataset.train))[: count * run.batch_size]
    _, batch_stats = network.init(keys.parameters)  # a batch in training mode does not use them

    def loss(batch: Batch, params: Any) -> jax.Array:
        logits, _ = network.apply(params, batch_stats, batch.images, training=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
        return jnp.mean(losses)

    return loss, [
        Batch(normalise(examples.images[indices], examples), examples.labels[indices])
        for indices in order.reshape(count, -1)
    ]


def _mean_over(batches: Sequence[Batch], function: Callable[..., Any]) -> Callable[..., Any]:
    """The mean of `function(batch, *arguments)`. A loop inside of XLA would use one core."""

    def mean(*arguments: Any) -> Any:
        total = functools.reduce(optax.tree.add, (function(batch, *arguments) for batch in batches))
        return optax.tree.scale(1 / len(batches), total)

    return mean


def main() -> int:
    """Measures what the options say; returns the exit status."""
    config = options(
        "sharpness.py", "Measure the largest eigenvalue of the Hessian at the end of each run."
    )
    measure_all(SHARPNESS, config, sharpness)
    return 0

"""BatchNorm's statistics for evaluation, estimated anew at the weights of an epoch's end.

Running averages follow the last ten or so batches: at a rate that has not been annealed they
describe weights that are gone. The estimate is the mean of the statistics of some training
batches, all at one and the same weights: precise BatchNorm (Wu & Johnson, arXiv 2105.07576),
`torch.optim.swa_utils.update_bn` with a cumulative average.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from train.engine.parallel import Undivided
from train.engine.steps import UNDIVIDED, Examples, Network, normalise
from train.models.resnet import BATCH_NORM_MOMENTUM

MOST_BATCHES = 16  # of training's own size: 2,048 examples of 128 a batch


@dataclasses.dataclass(frozen=True)
class StatisticsStep:
    """Adds one batch's share to the mean of statistics, in training mode, not augmented."""

    network: Network
    batch_size: int
    batches: int
    parallel: Undivided = UNDIVIDED
    __name__: ClassVar[str] = "statistics_step"

    def __call__(
        self, params: Any, mean: Any, examples: Examples, order: jax.Array, start: jax.Array
    ) -> Any:
        indices = self.parallel.shard(jax.lax.dynamic_slice_in_dim(order, start, self.batch_size))
        # From zero, running averages are the batch's statistics times 1 − momentum.
        _, statistics = self.network.apply(
            params,
            jax.tree.map(jnp.zeros_like, mean),
            normalise(examples.images[indices], examples),
            training=True,
            axis_name=self.parallel.axis_name,
        )
        share = (1 - BATCH_NORM_MOMENTUM) * self.batches
        return jax.tree.map(lambda a, b: a + b / share, mean, statistics)

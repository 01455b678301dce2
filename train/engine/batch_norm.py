"""BatchNorm's statistics for evaluation, estimated anew at the weights of an epoch's end.

Running averages follow the last ten or so batches: at a rate that has not been annealed they
describe weights that are gone. The estimate is the mean of the statistics of some training
batches, all at one and the same weights: precise BatchNorm (Wu & Johnson, arXiv 2105.07576),
`torch.optim.swa_utils.update_bn` with a cumulative average.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from train.engine.parallel import Jit, Undivided
from train.engine.steps import UNDIVIDED, Examples, Network, normalise

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
        _, statistics = self.network.apply(
            params,
            mean,
            normalise(examples.images[indices], examples),
            training=True,
            momentum=0.0,  # whatever the layers' own is: a model may be anybody's
            axis_name=self.parallel.axis_name,
        )
        return jax.tree.map(lambda a, b: a + b / self.batches, mean, statistics)


class Reestimation:
    """The mean statistics of the first batches of an order of the training examples.

    Args:
      network: whose statistics they are.
      batch_size: of training.
      examples: how many there are to train on; at least one batch.
      parallel: how a batch is divided.
    """

    def __init__(self, network: Network, batch_size: int, examples: int, parallel: Jit):
        self._batch_size = batch_size
        self._batches = min(examples // batch_size, MOST_BATCHES)
        step = StatisticsStep(network, batch_size, self._batches, parallel)
        self._add = parallel.compile(step, donate=(1,))
        shapes = jax.eval_shape(lambda: network.init(jax.random.key(0)))[1]
        zeros = functools.partial(jax.tree.map, lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        self._zeros = jax.jit(zeros, out_shardings=parallel.replicated)
        self._latest: tuple[Any, Any] = (None, None)  # parameters, and their statistics

    def __call__(
        self,
        params: Any,
        examples: Examples,
        order: jax.Array,
        wait: Callable[[Any, int], None],
    ) -> Any:
        """The statistics at these parameters.

        Args:
          params: of the network.
          examples: to train on.
          order: in which batches take them; the same at each call.
          wait: is called with the result so far and the number of batches in it.
        """
        latest, mean = self._latest
        if params is latest:  # the end of a run asks for its last epoch's again
            return mean
        mean = self._zeros()
        for batch in range(self._batches):
            mean = self._add(params, mean, examples, order, np.int32(batch * self._batch_size))
            wait(mean, batch + 1)
        self._latest = params, mean
        return mean

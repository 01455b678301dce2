"""What a run costs, counted in its programs before they are compiled."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from train.engine.recipe import Recipe
from train.engine.steps import (
    EVALUATION_BATCH,
    EvaluationStep,
    Examples,
    Keys,
    Network,
    Sums,
    TrainState,
    epoch_order,
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one run costs. A floating-point operation is an addition or a multiplication."""

    steps: int
    flops_a_step: float
    flops_an_evaluated_image: float
    parameters: int
    parameter_bytes: int
    optimizer_bytes: int
    data_bytes: int


def cost(recipe: Recipe, network: Network, examples: Examples) -> Cost:
    """What a run costs; nothing is compiled or run.

    Args:
      recipe: the run on its data.
      network: its network.
      examples: those to train on and those to evaluate on.
    """
    keys, sums = jax.eval_shape(Keys.of_seed, recipe.run.seed), jax.eval_shape(Sums.zero)
    alpha = jnp.float32(recipe.alpha)
    params, batch_stats = jax.eval_shape(network.init, keys.parameters)
    opt_state = jax.eval_shape(recipe.optimizer(alpha).init, params)
    state = TrainState(jnp.int32(0), params, batch_stats, opt_state)
    count = len(recipe.dataset.train)
    order = jax.eval_shape(lambda keys: epoch_order(keys, jnp.int32(0), count), keys)
    # Of the whole batch, however it is divided.
    step = recipe.train_step(network)
    train = jax.jit(step).lower(state, sums, examples, order, keys, alpha)
    evaluate = jax.jit(EvaluationStep(network)).lower(
        params, batch_stats, sums, examples, np.int32(0)
    )
    return Cost(
        steps=recipe.steps,
        flops_a_step=_flops(train),
        flops_an_evaluated_image=_flops(evaluate) / EVALUATION_BATCH,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
        parameter_bytes=_bytes(params),
        optimizer_bytes=_bytes(opt_state),
        data_bytes=_bytes(examples),
    )


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _flops(program: jax.stages.Lowered) -> float:
    analysis: Any = program.cost_analysis()
    return float(analysis["flops"])

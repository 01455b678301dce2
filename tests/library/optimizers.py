"""The optimizers that the tests go through, each with its float64 reference."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

import rsgdm_optax
from rsgdm_optax import linear
from tests.library import reference

RATE = 0.1
DECAY = 0.9
B2 = 0.9  # of the Adam family: short, so that a few steps see it
STEPS = 12
TOLERANCE = 16 * np.finfo(np.float32).eps  # gradients are up to about 3


def _qhm(learning_rate: Any, decay: Any = DECAY, accumulator_dtype: Any = None) -> Any:
    return linear.qhm(decay, nu=0.7).transformation(learning_rate, accumulator_dtype)


def _linear_rsgdm(learning_rate: Any, decay: Any = DECAY, accumulator_dtype: Any = None) -> Any:
    # Its first gradient has weights of its own.
    return linear.rsgdm(decay).transformation(learning_rate, accumulator_dtype)


# Weights on z that any decay allows, and that float32 and bfloat16 round by little.
CORRECTIONS = {"timid": lambda decay: decay / 2, "bold": lambda decay: decay * (1 + decay)}


def _corrected(which: str, *, compact: bool, first_difference: str = "zero") -> Any:
    def factory(learning_rate: Any, decay: Any = DECAY, accumulator_dtype: Any = None) -> Any:
        return rsgdm_optax.rsgdm(
            learning_rate,
            decay,
            correction=CORRECTIONS[which](decay),
            first_difference=first_difference,
            accumulator_dtype=accumulator_dtype,
            compact=compact,
        )

    method = functools.partial(
        reference.rsgdm, first_difference=first_difference, correction=CORRECTIONS[which]
    )
    return factory, method


def _rsadam(which: str | None = None) -> Any:
    correction = CORRECTIONS.get(which, lambda decay: decay)

    def factory(learning_rate: Any, decay: Any = DECAY, accumulator_dtype: Any = None) -> Any:
        return rsgdm_optax.rsadam(
            learning_rate,
            decay,
            B2,
            correction=correction(decay) if which else None,
            accumulator_dtype=accumulator_dtype,
        )

    return factory, functools.partial(reference.rsadam, b2=B2, correction=correction)


# Every transformation there is. name: (factory of learning rate, decay and accumulator_dtype;
# reference of gradients and decay)
LINEAR = {
    "rsgdm": (rsgdm_optax.rsgdm, reference.rsgdm),
    "rsgdm_compact": (functools.partial(rsgdm_optax.rsgdm, compact=True), reference.rsgdm),
    "rsgdm_bold": _corrected("bold", compact=False),
    "rsgdm_compact_bold": _corrected("bold", compact=True),
    "sgdm": (rsgdm_optax.sgdm, reference.sgdm),
    "nesterov": (rsgdm_optax.nesterov, reference.nesterov),
    "linear_rsgdm": (_linear_rsgdm, reference.rsgdm),
    "linear_qhm": (_qhm, functools.partial(reference.qhm, nu=0.7)),
}
ADAMS = {"rsadam": _rsadam(), "rsadam_bold": _rsadam("bold")}
OPTIMIZERS = LINEAR | ADAMS
# The other start and a timid correction, which are in the numbers alone.
_starts_at_zero = functools.partial(reference.rsgdm, first_difference="gradient")
OPTIMIZERS_AND_STARTS = (
    OPTIMIZERS
    | {
        f"{name}_gradient": (
            functools.partial(OPTIMIZERS[name][0], first_difference="gradient"),
            _starts_at_zero,
        )
        for name in ("rsgdm", "rsgdm_compact")
    }
    | {
        "rsgdm_timid": _corrected("timid", compact=False),
        "rsgdm_compact_timid": _corrected("timid", compact=True),
        "rsgdm_compact_bold_gradient": _corrected(
            "bold", compact=True, first_difference="gradient"
        ),
    }
)


def make(name: str, rate: optax.ScalarOrSchedule = RATE, **options: Any) -> Any:
    """The optimizer of this name."""
    return OPTIMIZERS_AND_STARTS[name][0](rate, **options)


def run(
    optimizer: optax.GradientTransformation, gradients: list[Any], params: Any = None
) -> list[Any]:
    """The updates for a list of gradient trees, from a jitted loop."""
    state = optimizer.init(gradients[0] if params is None else params)
    update = jax.jit(optimizer.update)
    updates = []
    for gradient in gradients:
        update_t, state = update(gradient, state, params)
        updates.append(update_t)
    return updates


def expected(name: str, gradients: list[Any], decay: float = DECAY, rate: float = 1.0) -> list[Any]:
    """The reference's updates in float64 (complex128), −rate·n_t, leaf by leaf."""
    method = OPTIMIZERS_AND_STARTS[name][1]
    leaves, structures = zip(*(jax.tree.flatten(gradient) for gradient in gradients), strict=True)
    columns = []
    for column in zip(*leaves, strict=True):
        wide = [np.asarray(g, np.result_type(np.asarray(g).dtype, np.float64)) for g in column]
        columns.append([-rate * n for n in method(wide, decay)])
    if not columns:
        return list(gradients)
    return [
        jax.tree.unflatten(structure, row)
        for structure, row in zip(structures, zip(*columns, strict=True), strict=True)
    ]


def assert_close(actual: Any, wanted: Any, atol: float = TOLERANCE) -> None:
    """The same structure, and values that differ by no more than atol."""
    chex.assert_trees_all_equal_structs(actual, wanted)
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: np.asarray(x, np.float64), actual), wanted, rtol=0, atol=atol
    )


def updates_of(transformation, gradients):
    """A transformation's updates for gradients one after the other, stacked."""

    def step(state, g):
        return transformation.update(g, state)[::-1]

    gradients = jnp.asarray(gradients)
    loop = jax.jit(lambda g: jax.lax.scan(step, transformation.init(g[0]), g)[1])
    return np.asarray(loop(gradients))


def weight_rows(method, steps):
    """Row t−1: the weights of a method's step t, of all gradients up to then."""
    rows = np.zeros((steps, steps))
    for t in range(1, steps + 1):
        rows[t - 1, :t] = method.weights(t)
    return rows

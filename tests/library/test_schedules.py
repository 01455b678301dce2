"""Learning rates that are schedules: of numbers of all kinds, for every optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.library.optimizers import OPTIMIZERS, RATE, assert_close, expected, make
from tests.library.trees import avals, draw

pytestmark = pytest.mark.parametrize("name", OPTIMIZERS)

BFLOAT16 = float(jnp.finfo(jnp.bfloat16).eps)


def _schedules():
    return {
        "python": lambda _: RATE,
        "numpy": lambda _: np.float64(RATE),
        "numpy_array": lambda _: np.array(RATE),
        "jax": lambda _: jnp.array(RATE),
        "bfloat16": lambda _: jnp.bfloat16(0.125),
        "integer": lambda _: jnp.array(1),
    }


@pytest.mark.parametrize("kind", _schedules())
def test_schedules_of_numbers_of_all_kinds(name, kind, x64):
    gradients = draw(2, "bfloat16")
    schedule = _schedules()[kind]
    optimizer = make(name, schedule)
    state = optimizer.init(gradients[0])
    before = avals(state)
    for g, wanted in zip(gradients, expected(name, gradients), strict=True):
        with jax.numpy_dtype_promotion("strict"):
            updates, state = optimizer.update(g, state)
        assert avals(state) == before
        scaled = jax.tree.map(lambda n: float(schedule(0)) * n, wanted)
        assert_close(updates, scaled, atol=4 * BFLOAT16)
        assert updates["w"].dtype == jnp.bfloat16


def test_schedules_must_give_scalars(name):
    optimizer = make(name, lambda _: jnp.ones(1))
    state = optimizer.init(jnp.ones(()))
    with pytest.raises(
        ValueError, match=r"^learning_rate must be a schedule of scalars, got shape \(1,\)"
    ):
        optimizer.update(jnp.ones(()), state)

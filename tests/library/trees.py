"""Gradient trees for the tests: drawn, and in containers that the library does not know."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tests.library.optimizers import STEPS


def draw(steps: int = STEPS, dtype: Any = jnp.float32, seed: int = 0) -> list[Any]:
    """Trees of arrays of two ranks, a scalar and a None."""
    rng = np.random.default_rng(seed)
    shapes = {"w": (3, 4), "b": [(4,), None, ()]}
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    one = lambda shape: jnp.asarray(rng.standard_normal(shape), dtype)  # noqa: E731
    return [jax.tree.map(one, shapes, is_leaf=is_shape) for _ in range(steps)]


def avals(tree: Any) -> Any:
    """What a compiled function depends on."""
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)


class Frozen:
    """As Flax's FrozenDict: not a dict, and another node than one."""

    def __init__(self, items: dict[str, Any]):
        self.items = items


jax.tree_util.register_pytree_with_keys(
    Frozen,
    lambda frozen: (
        [(jax.tree_util.DictKey(k), v) for k, v in sorted(frozen.items.items())],
        tuple(sorted(frozen.items)),
    ),
    lambda keys, values: Frozen(dict(zip(keys, values, strict=True))),
)


class Module:
    """As Equinox's modules: a layer whose activation is a leaf, and whose size is none."""

    def __init__(self, weight: Any, activation: Any, size: int):
        self.weight, self.activation, self.size = weight, activation, size


jax.tree_util.register_dataclass(Module, ["weight", "activation"], ["size"])


class Pair(NamedTuple):
    """A named tuple, whose fields could be taken for a state's."""

    count: Any
    m: Any


# Of the two arrays w and b, where a container has room for them.
CONTAINERS = {
    "leaf": lambda w, _: w,
    "frozen": lambda w, b: Frozen({"w": w, "b": [b]}),
    "module": lambda w, b: Module(Module(w, None, 3), b, 2),
    "named_tuple": lambda w, b: Pair(w, (b,)),
    "masked": lambda w, b: {"w": w, "b": [b, optax.MaskedNode()]},
    "empty": lambda w, b: (w[:0], b[:, None][:, :0]),
    "without leaves": lambda *_: {"w": [], "b": None},
}

"""One step on many devices: jit divides it itself; under pmap each device computes a share.

Every array is replicated, the data too. So a device finds its share of a batch by itself, from the
same order and the same draws as all others: examples are never sent.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

T = TypeVar("T")
AXIS = "data"


class Undivided:
    """What a step asks where its batch is not divided, or not by the step itself."""

    axis_name: ClassVar[str | None] = None

    def shard(self, batch: T) -> T:
        """The rows that are this device's, of arrays that have a row for each example."""
        return batch

    def pmean(self, shares: T) -> T:
        """The mean over all devices' shares."""
        return shares

    def psum(self, shares: T) -> T:
        """The sum over all devices' shares."""
        return shares


@dataclasses.dataclass(frozen=True)
class Jit(Undivided):
    """The step is written for the whole batch; XLA divides it, and adds what must be reduced."""

    devices: tuple[jax.Device, ...]
    compiler_options: dict[str, Any] | None = dataclasses.field(default=None, compare=False)

    @functools.cached_property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), (AXIS,))

    @property
    def replicated(self) -> NamedSharding:
        """The sharding of an array of which every device has a copy."""
        return NamedSharding(self._mesh, PartitionSpec())

    def put(self, tree: T) -> T:
        """Replicates arrays of the host, the same on every host, on every device."""

        def put(leaf: Any) -> jax.Array:
            array = np.asarray(leaf)
            # Not device_put, which would send the array around to see that all have the same.
            return jax.make_array_from_callback(array.shape, self.replicated, array.__getitem__)

        placed: T = jax.tree.map(put, tree)
        return placed

    def compile(self, step: Callable[..., Any], *, donate: tuple[int, ...]) -> Callable[..., Any]:
        """The step as a program on all devices, from replicated arrays to replicated ones."""
        return jax.jit(
            step,
            donate_argnums=donate,
            out_shardings=self.replicated,
            compiler_options=self.compiler_options,
        )

    def shard(self, batch: T) -> T:
        rows: T = jax.lax.with_sharding_constraint(
            batch, NamedSharding(self._mesh, PartitionSpec(AXIS))
        )
        return rows


@dataclasses.dataclass(frozen=True)
class Pmap(Jit):
    """The step is run for each device's share, and reduces what the devices must agree on."""

    axis_name: ClassVar[str | None] = AXIS

    def compile(self, step: Callable[..., Any], *, donate: tuple[int, ...]) -> Callable[..., Any]:
        def mapped(_place: jax.Array, *args: Any) -> Any:
            return step(*args)

        arguments = len(inspect.signature(step).parameters)
        program = jax.pmap(
            mapped,
            AXIS,
            in_axes=(0, *[None] * arguments),
            out_axes=None,
            devices=self.devices,
            donate_argnums=tuple(k + 1 for k in donate),
        )
        # pmap wants one argument that differs from device to device; of this process's it is.
        here = [d for d in self.devices if d.process_index == jax.process_index()]
        return functools.partial(program, np.arange(len(here)))

    def shard(self, batch: T) -> T:
        def rows(array: jax.Array) -> jax.Array:
            size = len(array) // len(self.devices)
            return jax.lax.dynamic_slice_in_dim(array, jax.lax.axis_index(AXIS) * size, size)

        shares: T = jax.tree.map(rows, batch)
        return shares

    def pmean(self, shares: T) -> T:
        whole: T = jax.lax.pmean(shares, AXIS)
        return whole

    def psum(self, shares: T) -> T:
        whole: T = jax.lax.psum(shares, AXIS)
        return whole


PARALLEL: dict[str, type[Jit]] = {"jit": Jit, "pmap": Pmap}

"""JAX as a study needs it: the settings that its results depend on, and its devices.

The programs set what is listed here, whatever the environment says. Who calls `run_study` from
Python has set JAX up: there the second list is the caller's own, and another value of the first is
refused. How XLA computes (XLA_FLAGS, the kind of device) is no setting: each run records it.
"""

import functools
import os
import subprocess
import sys
from typing import Any

import jax

from train.common.errors import InputError
from train.common.variables import blamed

# Another value of these gives other numbers.
NUMBERS: dict[str, Any] = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_allow_f16_reductions": True,
    "jax_disable_jit": False,
    "jax_disable_most_optimizations": False,
}
# Another value of these finds faults in a program, and would end one that has none; a loss that is
# not finite is no fault here.
CHECKS: dict[str, Any] = {
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_check_tracer_leaks": False,
    "jax_no_tracing": False,
    "jax_no_execution": False,
    "jax_transfer_guard_host_to_device": "allow",
    "jax_transfer_guard_device_to_device": "allow",
    "jax_transfer_guard_device_to_host": "allow",
}


def configure() -> None:
    """Gives JAX the settings of both lists."""
    known = jax.config.values
    for name, value in {**NUMBERS, **CHECKS}.items():
        if name in known:  # not every version of JAX has all of them
            jax.config.update(name, value)


def check_settings() -> None:
    """Raises `InputError` if JAX is set so that a study's numbers would not be its own."""
    for name, value in NUMBERS.items():
        found = jax.config.values.get(name, value)
        if found != value:
            raise InputError(
                f"{name}: {found!r}; a study's numbers are of {value!r}: "
                f"jax.config.update({name!r}, {value!r})"
            )


def devices(kind: str | None = None) -> tuple[jax.Device, ...]:
    """Every device of every process, of the kind that JAX prefers or of this one.

    Raises:
      InputError: if JAX has none, naming the variable of the environment that asks for others.
    """
    check_xla_flags()
    try:
        return tuple(jax.devices(kind))
    except (RuntimeError, AssertionError) as error:  # the latter, without a word, for CUDA
        said = str(error).partition("\n")[0] or "no device of that kind"
        variables = blamed(said) or blamed("JAX_PLATFORMS JAX_PLATFORM_NAME JAX_NUM_CPU_DEVICES")
        raise InputError(": ".join(filter(None, (variables, "JAX cannot start", said)))) from None


@functools.cache
def check_xla_flags() -> None:
    """Raises `InputError` for flags that XLA does not know: it would end the whole process."""
    flags = os.environ.get("XLA_FLAGS")
    if not flags:
        return
    tried = subprocess.run(
        [sys.executable, "-P", "-c", "import jax; jax.devices()"],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        lines = tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"]
        line = next((line for line in lines if "XLA_FLAGS" in line), lines[-1])
        raise InputError(f"XLA_FLAGS={flags}: {line.rpartition('] ')[2]}")

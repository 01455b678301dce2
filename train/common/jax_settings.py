"""The settings of JAX that a study's results depend on.

The programs set what is listed here, whatever the environment says. Who calls `run_study` from
Python has set JAX up: there the second list is the caller's own, and another value of the first is
refused. How XLA computes (XLA_FLAGS, the kind of device) is no setting: each run records it.
"""

from typing import Any

from train.common.errors import InputError

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
    import jax  # a report is made without

    known = jax.config.values
    for name, value in {**NUMBERS, **CHECKS}.items():
        if name in known:  # not every version of JAX has all of them
            jax.config.update(name, value)


def check() -> None:
    """Raises `InputError` if JAX is set so that a study's numbers would not be its own."""
    import jax

    for name, value in NUMBERS.items():
        found = jax.config.values.get(name, value)
        if found != value:
            raise InputError(
                f"{name}: {found!r}; a study's numbers are of {value!r}: "
                f"jax.config.update({name!r}, {value!r})"
            )

"""The devices that JAX has, or why it has none."""

import functools
import os
import subprocess
import sys

import jax

from train.common.errors import InputError
from train.common.variables import blamed


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

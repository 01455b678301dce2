"""Settings every test shares; made before JAX starts its backend."""

import signal

import jax
import pytest
from hypothesis import settings

# A script's background job ignores SIGINT, and hands that down to the processes that tests stop.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Eight virtual devices, for the sharding tests. Single-device tests use the first.
jax.config.update("jax_num_cpu_devices", 8)

# Failures must be the same for everybody; compilation makes single examples slow.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


def _x64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


# Float64 in JAX, for one test; or for a whole file, where hypothesis refuses the former.
x64 = pytest.fixture(_x64, name="x64")
x64_module = pytest.fixture(_x64, scope="module", name="x64_module")

"""Settings every test shares; made before JAX starts its backend."""

import jax
import pytest
from hypothesis import settings

# Eight virtual devices, for the sharding tests. Single-device tests use the first.
jax.config.update("jax_num_cpu_devices", 8)

# Failures must be the same for everybody; compilation makes single examples slow.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture
def x64():
    """Float64 in JAX for one test."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)

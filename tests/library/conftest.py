"""Which of the library's many cases `make test` leaves to `make test-all`."""

import pytest

# Tests that go through every transformation go through these at first: both forms of the paper's,
# and the control. The others share their code, or nearly all of it.
QUICK = {"rsgdm", "rsgdm_compact", "nesterov"}


def pytest_collection_modifyitems(items):
    """Marks the cases of all other transformations as slow."""
    from tests.library.optimizers import OPTIMIZERS_AND_STARTS

    for item in items:
        name = getattr(item, "callspec", None) and item.callspec.params.get("name")
        if name in OPTIMIZERS_AND_STARTS.keys() - QUICK:
            item.add_marker(pytest.mark.slow)

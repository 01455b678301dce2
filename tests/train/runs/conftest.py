"""Checkpoints of one run, saved once."""

import shutil
from pathlib import Path

import pytest

from tests.train.runs.saved import metrics_of, state_of
from train.runs.checkpoints import Checkpoints


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Checkpoints of the epochs 2, 3 and 4. Read only."""
    folder = tmp_path_factory.mktemp("kept") / "checkpoints"
    for epoch in (1, 2, 3, 4):
        Checkpoints(folder).save(state_of(epoch), metrics_of(epoch))
    return folder


@pytest.fixture
def folder(kept, tmp_path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(kept, tmp_path / "checkpoints"))

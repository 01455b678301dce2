"""The event files, read by TensorBoard itself."""

import json

import pytest

from tests.train.conftest import small
from train.study import run_study

# TensorBoard's own, while it is imported and reads.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_event_files_hold_the_metrics(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    study = tmp_path / "study"
    run_study(small(study, optimizers=("sgdm",), seeds=(0, 1), tensorboard=True))
    run = study / "sgdm-seed0"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == lines[0].keys() - {"epoch", "step"}
    for name in events.Tags()["scalars"]:
        points = [(event.step, event.value) for event in events.Scalars(name)]
        assert points == [
            (line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines
        ]  # float32

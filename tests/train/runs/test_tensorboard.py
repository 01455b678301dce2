"""The event files, read by TensorBoard itself."""

import json

import pytest

from tests.train.conftest import run_study, small
from train.runs.tensorboard import Events

# TensorBoard's own, while it is imported and reads.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


LINES = [
    {"epoch": k, "step": 10 * k, "alpha": 0.5 / k, "test_loss": 0.1 + k, "test_accuracy": 0.25 * k}
    for k in (1, 2, 3)
]


def _points(folder):
    """Metric → step → value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {
        name: {event.step: event.value for event in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }


def _expected(lines):
    return {
        name: {line["step"]: pytest.approx(line[name], rel=1e-6) for line in lines}  # float32
        for name in lines[0].keys() - {"format", "epoch", "step"}
    }


def test_event_files_hold_the_metrics(tmp_path):
    events = Events(tmp_path, [])
    for line in LINES[:2]:
        events.add({"format": 2} | line)
    events.close()
    assert _points(tmp_path) == _expected(LINES[:2])


def test_events_begin_anew_where_a_run_goes_on(tmp_path):
    Events(tmp_path, LINES).close()  # of which a checkpoint has the first
    older = {"learning_rate": 0.5} | {k: v for k, v in LINES[0].items() if k != "alpha"}
    events = Events(tmp_path, [older])
    events.add(LINES[1] | {"test_loss": None})
    events.close()
    expected = _expected(LINES[:2])
    del expected["test_loss"][20]
    assert _points(tmp_path) == expected


@pytest.mark.slow
def test_training_writes_them(tmp_path):
    study = tmp_path / "study"
    run_study(small(study, optimizers=("sgdm",), seeds=(0, 1), tensorboard=True))
    run = study / "sgdm-seed0"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert _points(run / "tensorboard") == _expected(lines)

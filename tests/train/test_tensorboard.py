"""The event files, read by TensorBoard itself."""

import json

import pytest

from tests.train.conftest import small
from train.study import run_study
from train.tensorboard import Events

# TensorBoard's own, while it is imported and reads.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.usefixtures("quick_studies"),
]


def _points(folder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_event_files_hold_the_metrics(tmp_path):
    study = tmp_path / "study"
    run_study(small(study, optimizers=("rsgdm",), seeds=(0, 1), tensorboard=True))
    run = study / "rsgdm-seed0"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert _points(run / "tensorboard") == {
        name: [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines]  # float32
        for name in lines[0].keys() - {"format", "epoch", "step"}
    }


def test_a_run_that_goes_on_writes_its_epochs_once(tmp_path):
    def metrics(epoch, loss):
        return {"format": 2, "epoch": epoch, "step": 10 * epoch, "loss": loss, "accuracy": None}

    stopped = Events(tmp_path / "events", [])
    for epoch in (1, 2, 3):
        stopped.add(metrics(epoch, 0.5))
    stopped.close()
    events = Events(tmp_path / "events", [metrics(1, 0.5), metrics(2, 0.25)])
    events.add(metrics(3, 0.125))
    events.close()
    assert len(list((tmp_path / "events").iterdir())) == 1
    assert _points(tmp_path / "events") == {"loss": [(10, 0.5), (20, 0.25), (30, 0.125)]}

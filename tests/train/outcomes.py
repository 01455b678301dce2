"""What two runs must have in common to be the same, bit for bit."""

import json
import re
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp


def metrics(run: Path) -> list[dict]:
    """A run's figures without the speed, which no two runs share."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def checkpoints(run: Path) -> list[int]:
    """The epochs of a run's checkpoints."""
    names = (path.name for path in (run / "checkpoints").iterdir())
    found = (re.fullmatch(r"epoch-(\d+)", name) for name in names)
    return sorted(int(match[1]) for match in found if match)


def arrays(run: Path) -> dict[str, np.ndarray]:
    """The newest checkpoint's arrays, as orbax reads them."""
    path = (run / "checkpoints" / f"epoch-{checkpoints(run)[-1]}" / "state").absolute()
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
        found = reader.restore(path, args=ocp.args.StandardRestore())
    return {name: np.asarray(array) for name, array in found.items()}


def assert_same(study: Path, reference: Path) -> None:
    """All runs of two studies have the same figures, results, and last parameters."""
    names = sorted(path.name for path in reference.glob("*-seed*"))
    assert sorted(path.name for path in study.glob("*-seed*")) == names
    for name in names:
        assert metrics(study / name) == metrics(reference / name)
        results = [json.loads((s / name / "result.json").read_text()) for s in (study, reference)]
        for result in results:
            result.pop("images_per_second")
        assert results[0] == results[1]
        assert checkpoints(study / name) == checkpoints(reference / name)
        ours, theirs = arrays(study / name), arrays(reference / name)
        assert ours.keys() == theirs.keys()
        for key, array in ours.items():
            assert array.dtype == theirs[key].dtype
            assert array.tobytes() == theirs[key].tobytes(), key

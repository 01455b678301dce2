"""A run's metrics as TensorBoard's event files, without TensorFlow."""

import shutil
from pathlib import Path
from typing import Any

from train.runs.formats import current


class Events:
    """Writes one point an epoch for each metric, at the run's step."""

    def __init__(self, folder: Path, earlier: list[dict[str, Any]]):
        """Starts the run's events anew from the epochs in its metrics."""
        from tensorboardX import SummaryWriter  # imported where asked for: an extra

        # Events cannot be taken back: what a stopped run wrote is written again.
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = SummaryWriter(str(folder))
        for metrics in earlier:
            self.add(metrics)

    def add(self, metrics: dict[str, Any]) -> None:
        """Adds an epoch."""
        for name, value in current(metrics).items():
            if name not in ("format", "epoch", "step") and value is not None:
                self._writer.add_scalar(name, value, metrics["step"])
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()

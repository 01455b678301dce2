"""The files of one run, written and read.

STUDY/ARM-seedK/   config.json  environment.json  metrics.jsonl  result.json
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.common.errors import InputError
from train.common.files import exists, finite, reading, write_bytes, write_json
from train.runs import formats
from train.runs.formats import (
    FORMAT,
    Key,
    check_format,
    checked,
    current,
    epoch_keys,
    result_keys,
)
from train.runs.settings import RunConfig


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(finite(current(entry)), allow_nan=False) + "\n"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, as its files have it."""

    config: RunConfig
    metrics: list[dict[str, Any]]  # one entry an epoch
    result: dict[str, Any]
    environments: list[dict[str, Any]]  # one entry a start of the program

    @property
    def environment(self) -> dict[str, Any]:
        """What the run was finished on."""
        return self.environments[-1]

    @property
    def evaluation(self) -> str:
        """What the run was evaluated on: the test set, or validation examples."""
        return self.config.evaluation

    @property
    def lost(self) -> list[str]:
        """The figures that a run lacks although it went to its last epoch."""
        figures = (f"{self.evaluation}_loss", f"{self.evaluation}_accuracy")
        is_done = self.result["status"] == "done"
        return [name for name in figures if is_done and self.result[name] is None]

    @property
    def is_done(self) -> bool:
        """Whether it went to its last epoch with finite figures; else it diverged."""
        return self.result["status"] == "done" and not self.lost

    def contradiction(self) -> tuple[str, str] | None:
        """The file that is at odds with the others, and how; None if all agree."""
        status, last = self.result["status"], self.result["epoch"]
        if last > self.config.epochs or (status == "done" and last < self.config.epochs):
            return "result.json", f"{status} in epoch {last} of {self.config.epochs}"
        for number, line in enumerate(self.metrics, 1):
            if line["epoch"] != number:
                return "metrics.jsonl", f"line {number} holds epoch {line['epoch']}, not {number}"
        if len(self.metrics) != last:
            what = f"holds {len(self.metrics)} epochs, where result.json says {last}"
            return "metrics.jsonl", what
        for key, value in self.metrics[-1].items():
            if value != self.result[key]:
                what = f"its last {key} is {value!r}, where result.json says {self.result[key]!r}"
                return "metrics.jsonl", what
        return None if self.environments else ("environment.json", "names no start of the program")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """One run's folder."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether the run ended: result.json is written last."""
        return exists(self.path / "result.json")

    def config(self) -> RunConfig:
        """The run's settings.

        Raises:
          InputError: if they cannot be read, or are from a newer version.
        """
        path = self.path / "config.json"
        return formats.settings(str(path), _read(path))

    def load(self) -> Run:
        """The run, all of its files checked against each other.

        Raises:
          InputError: naming the file, the key and what is wrong with it.
        """
        config = self.config()
        keys = epoch_keys(config.evaluation)
        path = self.path / "result.json"
        result = checked(str(path), _read(path), result_keys(config.evaluation))
        environments = [
            {key: value for key, value in entry.items() if key != "format"}
            for entry in self.environments()
        ]
        run = Run(config, self._metrics(keys), result, environments)
        if contradiction := run.contradiction():
            file, what = contradiction
            raise mismatch(self.path / file, what)
        return run

    def _metrics(self, keys: Mapping[str, Key]) -> list[dict[str, Any]]:
        path = self.path / "metrics.jsonl"
        lines = [
            (number, text) for number, text in enumerate(_text(path).split("\n"), 1) if text.strip()
        ]
        return [
            checked(f"{path}, line {number}", _parse(path, text, f" in line {number}"), keys)
            for number, text in lines
        ]

    def environments(self) -> list[dict[str, Any]]:
        """One entry a start of the program."""
        path = self.path / "environment.json"
        entries = _read(path)
        if not isinstance(entries, list):
            raise InputError(f"{path}: is {entries!r:.60}; allowed is a list, [{{…}}, …]")
        for number, entry in enumerate(entries, 1):
            check_format(f"{path}, entry {number}", entry)
        return entries

    def last_epoch(self) -> dict[str, Any] | None:
        """The newest line of metrics.jsonl, which another process may be writing; or None."""
        try:
            *_, line, _ = (self.path / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
            entry = json.loads(line)
        except (OSError, ValueError):
            return None
        return current(entry) if isinstance(entry, dict) and "epoch" in entry else None

    @property
    def was_begun(self) -> bool:
        """Whether an epoch was trained."""
        path = self.path / "metrics.jsonl"
        return exists(path) and path.stat().st_size > 0

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.path / "checkpoints"

    def start(self, run: RunConfig, environment: dict[str, Any]) -> None:
        """Makes the folder ready for a run, and notes what it runs on."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in self.path.glob(".*.partial"):  # a killed process left it
            path.unlink(missing_ok=True)
        earlier = self.environments() if exists(self.path / "environment.json") else []
        here = {"format": FORMAT} | environment
        write_json(self.path / "config.json", {"format": FORMAT} | dataclasses.asdict(run))
        write_json(self.path / "environment.json", [*earlier, here])

    def write_metrics(self, entries: list[dict[str, Any]]) -> None:
        """Writes the lines of the epochs so far, and no others."""
        write_bytes(self.path / "metrics.jsonl", "".join(map(_line, entries)).encode())

    def append_metrics(self, entry: dict[str, Any]) -> None:
        """Adds an epoch's line."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(_line(entry))

    def finish(self, result: dict[str, Any]) -> None:
        """Writes result.json, which marks the run as ended."""
        write_json(self.path / "result.json", current(result))


def _text(path: Path) -> str:
    if not exists(path):
        raise mismatch(path, "is missing")
    with reading(path):
        content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError:
        raise mismatch(path, "damaged: no text in UTF-8") from None


def _parse(path: Path, text: str, where: str = "") -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise mismatch(path, f"damaged{where}: {error}") from None


def _read(path: Path) -> Any:
    return _parse(path, _text(path))


def mismatch(path: Path, what: str) -> InputError:
    """The error that one of a run's files is damaged, missing, or not of the others' kind."""
    return InputError(
        f"{path}: {what}; put the run's files back from a copy, or move {path.parent} elsewhere"
    )

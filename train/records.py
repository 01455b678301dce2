"""The files of a study: what each run's folder holds, written and read.

STUDY/OPTIMIZER-seedK/   config.json  environment.json  metrics.jsonl  result.json
STUDY/report/            what train/report.py makes of them
"""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

from train.config import RunConfig
from train.errors import InputError

REPORT = "report"


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all; NaN and infinity, which JSON lacks, become null."""
    text = json.dumps(_finite(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged, {error}; remove it to go on without it") from None


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """One run's folder."""

    path: Path

    @property
    def has_config(self) -> bool:
        return (self.path / "config.json").is_file()

    @property
    def is_finished(self) -> bool:
        return (self.path / "result.json").is_file()

    def config(self) -> dict[str, Any]:
        """The settings, as they were written."""
        settings: dict[str, Any] = _read_json(self.path / "config.json")
        return settings

    def result(self) -> dict[str, Any]:
        """How the run ended and its last figures."""
        result: dict[str, Any] = _read_json(self.path / "result.json")
        return result

    def metrics(self) -> list[dict[str, Any]]:
        """One entry an epoch."""
        lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise InputError(f"{self.path / 'metrics.jsonl'}: damaged, {error}") from None

    def environments(self) -> list[dict[str, Any]]:
        """One entry a start of the program."""
        path = self.path / "environment.json"
        entries: list[dict[str, Any]] = _read_json(path) if path.is_file() else []
        return entries

    def start(self, run: RunConfig, environment: dict[str, Any]) -> None:
        """Makes the folder ready for a run from its first epoch on."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "config.json", dataclasses.asdict(run))
        write_json(self.path / "environment.json", [*self.environments(), environment])
        write_bytes(self.path / "metrics.jsonl", b"")

    def append_metrics(self, entry: dict[str, Any]) -> None:
        """Adds an epoch's line."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(entry), allow_nan=False) + "\n")

    def finish(self, result: dict[str, Any]) -> None:
        """Writes result.json, which marks the run as ended."""
        write_json(self.path / "result.json", result)


def run_folders(study: Path) -> list[RunFolder]:
    """The study's runs, whether finished or not.

    Raises:
      InputError: if there is no such folder or it is no study's.
    """
    if not study.is_dir():
        what = "is a file" if study.exists() else "does not exist"
        raise InputError(f"{study}: {what}; a study is the folder that training wrote")
    folders = []
    for path in sorted(study.iterdir()):
        if path.name == REPORT or path.name.startswith("."):
            continue
        if not RunFolder(path).has_config:
            raise InputError(
                f"{study}: holds {path.name}, which is no run; a study's folder holds nothing else"
            )
        folders.append(RunFolder(path))
    return folders


def open_study(study: Path, runs: list[RunConfig]) -> list[RunConfig]:
    """The runs that are still to be done.

    Raises:
      InputError: if the folder holds another study, or something else.
    """
    if not study.exists():
        return runs
    wanted = {run.optimizer: run for run in runs}
    for folder in run_folders(study):
        found = folder.config()
        same_optimizer = wanted.get(found.get("optimizer", ""))
        # Single optimizers may have rates of their own: compare each with its like.
        reference = dataclasses.asdict(same_optimizer or runs[0])
        free = {"optimizer", "seed"} if same_optimizer else {"optimizer", "seed", "learning_rate"}
        for name, value in reference.items():
            if name not in free and found.get(name) != value:
                raise InputError(
                    f"{study}: belongs to another study, with {name} {found.get(name)!r} in "
                    f"{folder.path.name} where this one has {value!r}; choose another --output"
                )
    return [run for run in runs if not RunFolder(study / run.name).is_finished]

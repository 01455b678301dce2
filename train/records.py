"""The files of a study: what each run's folder holds, written and read.

STUDY/OPTIMIZER-seedK/   config.json  environment.json  metrics.jsonl  result.json
STUDY/report/            what train/report.py makes of them
"""

import dataclasses
import json
import math
import os
import re
from pathlib import Path
from typing import Any

from train.config import RunConfig
from train.errors import InputError
from train.optimizers import OPTIMIZERS

REPORT = "report"
_RUN_NAME = re.compile(r"[a-z_]+-seed\d+")


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


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(_finite(entry), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, as its files have it."""

    config: RunConfig
    metrics: list[dict[str, Any]]  # one entry an epoch
    result: dict[str, Any]
    environment: dict[str, Any]  # of the start that finished it

    @property
    def is_done(self) -> bool:
        """Whether it went to its last epoch, not diverged."""
        return bool(self.result["status"] == "done")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """One run's folder."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether the run ended: result.json is written last."""
        return (self.path / "result.json").is_file()

    def config(self) -> RunConfig:
        """The run's settings."""
        path = self.path / "config.json"
        settings = _read(path)
        fields = {field.name for field in dataclasses.fields(RunConfig)}
        if not isinstance(settings, dict) or settings.keys() != fields:
            raise _damaged(path, "it does not hold the settings of a run")
        config = RunConfig(**settings)
        if config.optimizer not in OPTIMIZERS:
            raise _damaged(path, f"there is no optimizer {config.optimizer!r}")
        if config.name != self.path.name:
            raise InputError(
                f"{self.path}: holds the run {config.name}; a run's folder has its name"
            )
        return config

    def load(self) -> Run:
        """The run, all of its files checked against each other.

        Raises:
          InputError: if a file is missing or damaged.
        """
        config = self.config()
        result = _upgraded(_read(self.path / "result.json"))
        evaluation = "validation" if config.validation_examples else "test"
        epoch_keys = {
            *("format", "epoch", "step", "alpha", "train_loss", "train_accuracy"),
            *(f"{evaluation}_loss", f"{evaluation}_accuracy", "images_per_second"),
        }
        ends = {
            "done": epoch_keys | {"status", "clean_train_loss", "clean_train_accuracy"},
            "diverged": epoch_keys | {"status"},
        }
        status = result.get("status") if isinstance(result, dict) else None
        if status not in ends or result.keys() != ends[status]:
            raise _damaged(self.path / "result.json", "it does not hold a result")
        path = self.path / "metrics.jsonl"
        metrics = [_upgraded(_parse(path, line)) for line in _text(path).splitlines()]
        if any(not isinstance(line, dict) or line.keys() != epoch_keys for line in metrics):
            raise _damaged(path, "a line does not hold an epoch's figures")
        if [line["epoch"] for line in metrics] != list(range(1, result["epoch"] + 1)):
            raise _damaged(path, f"it does not hold the epochs 1 to {result['epoch']}")
        if any(metrics[-1][key] != result[key] for key in epoch_keys):
            raise _damaged(path, "its last line is not what result.json says")
        environments = self.environments()
        if not environments:
            raise _damaged(self.path / "environment.json", "it names no start")
        return Run(config, metrics, result, environments[-1])

    def environments(self) -> list[dict[str, Any]]:
        """One entry a start of the program."""
        path = self.path / "environment.json"
        entries = _read(path)
        if not isinstance(entries, list):
            raise _damaged(path, "it is no list")
        return entries

    @property
    def was_begun(self) -> bool:
        """Whether an epoch was trained."""
        path = self.path / "metrics.jsonl"
        return path.exists() and path.stat().st_size > 0

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.path / "checkpoints"

    def start(self, run: RunConfig, environment: dict[str, Any]) -> None:
        """Makes the folder ready for a run, and notes what it runs on."""
        self.path.mkdir(parents=True, exist_ok=True)
        earlier = self.environments() if (self.path / "environment.json").exists() else []
        write_json(self.path / "config.json", dataclasses.asdict(run))
        write_json(self.path / "environment.json", [*earlier, environment])

    def write_metrics(self, entries: list[dict[str, Any]]) -> None:
        """Writes the lines of the epochs so far, and no others."""
        write_bytes(self.path / "metrics.jsonl", "".join(map(_line, entries)).encode())

    def append_metrics(self, entry: dict[str, Any]) -> None:
        """Adds an epoch's line."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(_line(entry))

    def finish(self, result: dict[str, Any]) -> None:
        """Writes result.json, which marks the run as ended."""
        write_json(self.path / "result.json", result)


def run_folders(study: Path) -> list[RunFolder]:
    """The study's runs, whether finished or not.

    Raises:
      InputError: if there is no such folder, or it holds what no study holds.
    """
    if not study.is_dir():
        what = "is a file" if study.exists() else "does not exist"
        raise InputError(f"{study}: {what}; a study is the folder that training wrote")
    entries = sorted(path for path in study.iterdir() if not path.name.startswith("."))
    runs = [path for path in entries if _RUN_NAME.fullmatch(path.name) and path.is_dir()]
    for path in entries:
        if path not in runs and not (path.name == REPORT and path.is_dir() and runs):
            raise InputError(
                f"{study}: holds {path.name}, which is no run; a study's folder holds nothing else"
            )
    # One without settings was stopped before its first file: as if it were not there.
    return [RunFolder(path) for path in runs if (path / "config.json").exists()]


def check_same_study(study: Path, runs: list[RunConfig]) -> None:
    """Raises `InputError` if the folder holds another study than these runs', or no study."""
    if not study.exists() and not study.is_symlink():
        return
    wanted = {run.optimizer: run for run in runs}
    for folder in run_folders(study):
        found = folder.config()
        # Single optimizers may have rates of their own: compare each with its like.
        same_optimizer = wanted.get(found.optimizer)
        difference = difference_of(found, same_optimizer or runs[0])
        if difference:
            raise InputError(
                f"{study}: belongs to another study, with {difference[0]} {difference[1]!r} in "
                f"{found.name} where this one has {difference[2]!r}; choose another --output"
            )


def load_runs(study: Path) -> list[Run]:
    """Every finished run of a study.

    Raises:
      InputError: if a file is damaged, or the runs are not of one study.
    """
    runs = [folder.load() for folder in run_folders(study) if folder.is_finished]
    first = {run.config.optimizer: run.config for run in reversed(runs)}
    for run in runs:
        for other in (runs[0].config, first[run.config.optimizer]):
            difference = difference_of(run.config, other)
            if difference:
                raise InputError(
                    f"{study}: {run.config.name} and {other.name} are not of one study; "
                    f"{difference[0]} is {difference[1]!r} and {difference[2]!r}"
                )
    return runs


def difference_of(a: RunConfig, b: RunConfig) -> tuple[str, Any, Any] | None:
    """The first setting in which runs of one study must agree, and do not."""
    free = {"optimizer", "seed"} | ({"learning_rate"} if a.optimizer != b.optimizer else set())
    for field in dataclasses.fields(RunConfig):
        mine, other = getattr(a, field.name), getattr(b, field.name)
        if field.name not in free and mine != other:
            return field.name, mine, other
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _damaged(path, "it is missing") from None
    except UnicodeDecodeError:
        raise _damaged(path, "it is no text") from None


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _damaged(path, str(error)) from None


def _read(path: Path) -> Any:
    return _parse(path, _text(path))


def _upgraded(entry: Any) -> Any:
    """An epoch's figures as they are written today; at first alpha was called learning_rate."""
    if not isinstance(entry, dict) or "format" in entry:
        return entry
    names = {"learning_rate": "alpha"}
    return {"format": 2} | {names.get(name, name): value for name, value in entry.items()}


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path}: damaged, {what}; remove {path.parent} and train that run again")

"""The files of a study: what each run's folder holds, written and read.

STUDY/OPTIMIZER-seedK/   config.json  environment.json  metrics.jsonl  result.json
STUDY/report/            what train/report.py makes of them
"""

import contextlib
import dataclasses
import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from train.config import RunConfig
from train.errors import InputError
from train.formats import (
    FORMAT,
    RESULT,
    SETTINGS,
    Key,
    check_format,
    checked,
    current,
    epoch_keys,
)

REPORT = "report"
_RUN_NAME = re.compile(r"[a-z_]+-seed\d+")
# What file managers, file systems, editors and schedulers leave anywhere.
_LITTER = re.compile(
    r"\..*|@eaDir|Thumbs\.db|desktop\.ini|Icon\r|lost\+found|__MACOSX|\$RECYCLE\.BIN|#.*#|.*~"
    r"|System Volume Information|.*\.(swp|bak|orig|tmp|out|err|log)"
)


def is_litter(path: Path) -> bool:
    """Whether a name says that a file is nobody's work."""
    return _LITTER.fullmatch(path.name) is not None


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all; NaN and infinity, which JSON lacks, become null."""
    write_bytes(path, (json.dumps(_finite(value), indent=2, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, whoever else writes it at the time."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(_finite(current(entry)), allow_nan=False) + "\n"


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
    def evaluation(self) -> str:
        """What the run was evaluated on: the test set, or validation examples."""
        return _evaluation(self.config)

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


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """One run's folder."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether the run ended: result.json is written last."""
        return _exists(self.path / "result.json")

    def config(self) -> RunConfig:
        """The run's settings.

        Raises:
          InputError: if they cannot be read, or are from a newer version.
        """
        path = self.path / "config.json"
        return RunConfig(**checked(str(path), _read(path), SETTINGS))

    def load(self) -> Run:
        """The run, all of its files checked against each other.

        Raises:
          InputError: naming the file, the key and what is wrong with it.
        """
        config = self.config()
        keys = epoch_keys(_evaluation(config))
        path = self.path / "result.json"
        result = checked(str(path), _read(path), {**keys, **RESULT})
        if result["epoch"] > config.epochs or (
            result["status"] == "done" and result["epoch"] < config.epochs
        ):
            raise _mismatch(
                path, f"{result['status']} in epoch {result['epoch']} of {config.epochs}"
            )
        metrics = self._metrics(keys)
        if len(metrics) != result["epoch"]:
            raise _mismatch(
                self.path / "metrics.jsonl",
                f"holds {len(metrics)} epochs, where result.json says {result['epoch']}",
            )
        for key in keys:
            if metrics[-1][key] != result[key]:
                raise _mismatch(
                    self.path / "metrics.jsonl",
                    f"its last {key} is {metrics[-1][key]!r}, where result.json says "
                    f"{result[key]!r}",
                )
        environments = self.environments()
        if not environments:
            raise _mismatch(self.path / "environment.json", "names no start of the program")
        here = {key: value for key, value in environments[-1].items() if key != "format"}
        return Run(config, metrics, result, here)

    def _metrics(self, keys: Mapping[str, Key]) -> list[dict[str, Any]]:
        path = self.path / "metrics.jsonl"
        metrics: list[dict[str, Any]] = []
        for number, text in enumerate(_text(path).split("\n"), 1):
            if not text.strip():
                continue
            entry = _parse(path, text, f" in line {number}")
            metrics.append(checked(f"{path}, line {number}", entry, keys))
            if metrics[-1]["epoch"] != len(metrics):
                epoch = metrics[-1]["epoch"]
                raise _mismatch(path, f"line {number} holds epoch {epoch}, not {len(metrics)}")
        return metrics

    def environments(self) -> list[dict[str, Any]]:
        """One entry a start of the program."""
        path = self.path / "environment.json"
        entries = _read(path)
        if not isinstance(entries, list):
            raise InputError(f"{path}: is {entries!r:.60}; allowed is a list, [{{…}}, …]")
        for number, entry in enumerate(entries, 1):
            check_format(f"{path}, entry {number}", entry)
        return entries

    @property
    def was_begun(self) -> bool:
        """Whether an epoch was trained."""
        path = self.path / "metrics.jsonl"
        return _exists(path) and path.stat().st_size > 0

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.path / "checkpoints"

    def start(self, run: RunConfig, environment: dict[str, Any]) -> None:
        """Makes the folder ready for a run, and notes what it runs on."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in self.path.glob(".*.partial"):  # a killed process left it
            path.unlink(missing_ok=True)
        earlier = self.environments() if _exists(self.path / "environment.json") else []
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


@dataclasses.dataclass(frozen=True)
class Contents:
    """What lies in a study's folder."""

    runs: list[tuple[RunFolder, RunConfig]]  # whether finished or not
    strays: dict[str, str]  # what is no run of the study, by name: what it is
    has_report: bool


def contents(study: Path) -> Contents:
    """Looks through a study's folder.

    Raises:
      InputError: if there is no such folder, or a run's settings cannot be read.
    """
    with _reading(study):
        if not study.is_dir():
            what = "is a file" if study.exists() else "does not exist"
            raise InputError(f"{study}: {what}; a study is the folder that training wrote")
        found = Contents([], {}, has_report=_exists(study / REPORT))
        for path in sorted(study.iterdir()):
            if path.name == REPORT or path.name.startswith("."):
                continue
            if not (_RUN_NAME.fullmatch(path.name) and path.is_dir()):
                found.strays[path.name] = "no run"
            elif _exists(path / "config.json"):
                folder = RunFolder(path)
                config = folder.config()
                if config.name == path.name:
                    found.runs.append((folder, config))
                else:
                    found.strays[path.name] = f"the run {config.name}"
            # Without a file it was stopped before its first: as if it were not there.
            elif not all(map(is_litter, path.iterdir())):
                raise _mismatch(path / "config.json", "is missing")
    return found


def check_same_study(study: Path, runs: list[RunConfig]) -> None:
    """Raises `InputError` if the folder holds another study than these runs', or no study."""
    if not study.exists() and not study.is_symlink():
        return
    found = contents(study)
    strays = {name: what for name, what in found.strays.items() if not is_litter(Path(name))}
    if found.runs:  # what lies beside them does no harm, unless it lies in the way
        strays = {run.name: strays[run.name] for run in runs if run.name in strays}
    elif found.has_report:
        strays[REPORT] = "no run"
    for name, what in strays.items():
        raise InputError(
            f"{study}: holds {name}, which is {what}; choose another --output, or move it away"
        )
    wanted = {run.optimizer: run for run in runs}
    for _, config in found.runs:
        # Single optimizers may have rates of their own: compare each with its like.
        difference = difference_of(config, wanted.get(config.optimizer) or runs[0])
        if difference:
            raise InputError(
                f"{study}: belongs to another study, with {difference[0]} {difference[1]!r} in "
                f"{config.name} where this one has {difference[2]!r}; choose another --output"
            )


def difference_of(a: RunConfig, b: RunConfig) -> tuple[str, Any, Any] | None:
    """The first setting in which runs of one study must agree, and do not."""
    free = {"optimizer", "seed"} | ({"learning_rate"} if a.optimizer != b.optimizer else set())
    mine, other = a.identity, b.identity
    for name in mine:
        if name not in free and mine[name] != other[name]:
            return name, getattr(a, name), getattr(b, name)
    return None


def _evaluation(config: RunConfig) -> str:
    return "validation" if config.validation_examples else "test"


def _exists(path: Path) -> bool:
    """Unlike `Path.exists`, it takes no error for an absence, on no version of Python."""
    with _reading(path):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What the system cannot read is not damaged: the disk may come back, the owner may help."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"{error.filename or path}: cannot be read: {why}") from None


def _text(path: Path) -> str:
    if not _exists(path):
        raise _mismatch(path, "is missing")
    with _reading(path):
        content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError:
        raise _mismatch(path, "damaged: no text in UTF-8") from None


def _parse(path: Path, text: str, where: str = "") -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _mismatch(path, f"damaged{where}: {error}") from None


def _read(path: Path) -> Any:
    return _parse(path, _text(path))


def _mismatch(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: {what}; put the run's files back from a copy, or move {path.parent} elsewhere"
    )

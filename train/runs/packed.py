"""A study in one file, as it is kept in a repository: what its folder holds, each thing once.

{
 "format": 3,
 "settings": {those that all runs share},
 "environments": [each once],
 "runs": [
  {
   "settings": {those of this run},
   "starts": [{"started": TIME, "environment": its place in the list above, from 0}, …],
   "metrics": {"epoch": [1, 2, …], "train_loss": [0.5, 0.25, …], …},
   "result": {…}
  }, …
 ]
}

Every number is as in the run's files; the runs are ordered by arm, rate and seed.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train.common.errors import InputError
from train.common.files import reading, write_bytes
from train.common.rules import Rule
from train.runs import formats
from train.runs.formats import FORMAT, Key, check_format, checked, epoch_keys, result_keys
from train.runs.settings import OWN
from train.runs.store import Run


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _are_columns(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(column, list) for column in value.values())
        and len({len(column) for column in value.values()}) == 1
    )


_OBJECT = Key(Rule("an object, {…}", lambda value: isinstance(value, dict)))
_OBJECTS = Key(Rule("a list of objects, [{…}, …]", _are_objects))
_STUDY = {"settings": _OBJECT, "environments": _OBJECTS, "runs": _OBJECTS}
_RUN = {
    "settings": _OBJECT,
    "starts": _OBJECTS,
    "metrics": Key(Rule("an object of lists of one length, {…: […], …}", _are_columns)),
    "result": _OBJECT,
}


def write(path: Path, runs: Sequence[Run]) -> None:
    """Writes the runs of one study; the same runs, in any order, give the same bytes."""
    write_bytes(path, f"{_text(_packed(runs))}\n".encode())


def read(path: Path) -> list[Run]:
    """The runs that `write` wrote.

    Raises:
      InputError: if the file is something else, cannot be read, is damaged, or from a newer
      version.
    """
    with reading(path):
        text = path.read_bytes()
    try:
        study = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_study(path, f" or damaged: {error}") from None
    if isinstance(study, dict):
        check_format(str(path), study)
    if not isinstance(study, dict) or not _STUDY.keys() <= study.keys():
        raise _no_study(path, "")
    number = study.get("format", 1)
    study = checked(str(path), study, _STUDY)
    runs: dict[str, Run] = {}
    for k, entry in enumerate(study["runs"], 1):
        run = _run(f"{path}, run {k}", entry, study, number)
        name = run.config.name_with_rate
        if name in runs:
            raise _damaged(str(path), f"holds {name} twice")
        runs[name] = run
    return list(runs.values())


def _packed(runs: Sequence[Run]) -> dict[str, Any]:
    runs = sorted(runs, key=lambda run: (run.config.arm, run.config.learning_rate, run.config.seed))
    settings = [dataclasses.asdict(run.config) for run in runs]
    shared = {
        name: value
        for name, value in settings[0].items()
        if name not in OWN and all(other[name] == value for other in settings)
    }
    environments: list[dict[str, Any]] = []

    def start(environment: dict[str, Any]) -> dict[str, Any]:
        here = {key: value for key, value in environment.items() if key != "started"}
        if here not in environments:
            environments.append(here)
        when = {key: value for key, value in environment.items() if key == "started"}
        return when | {"environment": environments.index(here)}

    entries = [
        {
            "settings": {name: own[name] for name in own if name not in shared},
            "starts": [start(environment) for environment in run.environments],
            "metrics": {key: [line[key] for line in run.metrics] for key in run.metrics[0]},
            "result": run.result,
        }
        for run, own in zip(runs, settings, strict=True)
    ]
    return {
        "format": FORMAT,
        "settings": shared,
        "environments": environments,
        "runs": entries,
    }


def _run(place: str, entry: dict[str, Any], study: dict[str, Any], number: int) -> Run:
    """One run, checked as its files would be."""

    def current(part: str, value: dict[str, Any], keys: Mapping[str, Key]) -> dict[str, Any]:
        return checked(f"{place}, {part}", {"format": number} | value, keys)

    entry = checked(place, entry, _RUN)
    settings = {"format": number} | study["settings"] | entry["settings"]
    config = formats.settings(f"{place}, settings", settings)
    keys = epoch_keys(config.evaluation)
    names, columns = entry["metrics"].keys(), entry["metrics"].values()
    lines = [dict(zip(names, line, strict=True)) for line in zip(*columns, strict=True)]
    run = Run(
        config,
        [current(f"metrics, epoch {epoch}", line, keys) for epoch, line in enumerate(lines, 1)],
        current("result", entry["result"], result_keys(config.evaluation)),
        [_environment(place, start, study["environments"]) for start in entry["starts"]],
    )
    if contradiction := run.contradiction():
        file, what = contradiction
        raise _damaged(f"{place}, {Path(file).stem}", what)
    return run


def _environment(
    place: str, start: dict[str, Any], environments: list[dict[str, Any]]
) -> dict[str, Any]:
    index = start.get("environment")
    if type(index) is not int or index not in range(len(environments)):
        raise _damaged(f"{place}, starts", f"there is no environment {index!r:.60}")
    when = {key: value for key, value in start.items() if key != "environment"}
    return when | environments[index]


def _text(value: Any, indent: str = "") -> str:
    """JSON, in which what holds no list and no object takes one line."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not any(isinstance(item, dict | list) for item in items):
        return json.dumps(value, allow_nan=False)
    inner = f"{indent} "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_text(item, inner)}" for key, item in value.items()]
        first, last = "{}"
    else:
        parts = [_text(item, inner) for item in value]
        first, last = "[]"
    return f"{first}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{last}"


def _no_study(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: is a file, but no packed study{why}; a study is the folder that training wrote, "
        "or what tools/pack_study.py made of it; scores are in a file whose name ends in .csv"
    )


def _damaged(place: str, what: str) -> InputError:
    return InputError(f"{place}: {what}; take the file from a copy")

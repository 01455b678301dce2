"""A made-up study's files, changed as people and disks change them."""

import dataclasses
import json
import re

from tests.train.commands import status
from tests.train.made_up import PLAIN
from train.report import report
from train.runs.settings import RunConfig
from train.study.presets import PRESETS

RUN = "sgdm-seed0"
FILES = ("config.json", "environment.json", "metrics.jsonl", "result.json")


def config(**changes) -> RunConfig:
    """The settings of `RUN`, with changes."""
    (template, *_) = PRESETS["demo"].runs("0123456789abcdef")
    made_up = {"arm": "sgdm", "optimizer": "sgdm", "seed": 0, "epochs": 2, "learning_rate": 0.5}
    return dataclasses.replace(template, **made_up | PLAIN | changes)


def edit(path, change):
    """Changes each JSON object of a file."""
    text = path.read_text()
    if path.suffix == ".jsonl":
        lines = [json.dumps(change(json.loads(line))) for line in text.splitlines()]
        path.write_text("".join(f"{line}\n" for line in lines))
    elif text.startswith("["):
        path.write_text(json.dumps([change(entry) for entry in json.loads(text)]))
    else:
        path.write_text(json.dumps(change(json.loads(text))))


def snapshot(folder):
    """Every file's content, by its place in the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def refused(study, capsys, monkeypatch):
    """The line with which the report refuses a study; nothing changes."""
    before = snapshot(study)
    assert status(report, [study], monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("report.py: ")
    assert err.count("\n") == 1
    assert snapshot(study) == before
    assert not re.search(r"\b(remove|delete)\b", err)
    return err

"""The report as a user calls it: what it prints, and what it refuses in one line."""

import re
import shutil
from pathlib import Path

import pytest

from tests.train.commands import status
from tests.train.made_up import write_run
from train import report


def test_report_on_something_else(tmp_path, capsys, monkeypatch):
    for arguments, why in (
        ([tmp_path / "nowhere"], "does not exist"),
        ([tmp_path], "holds no finished run"),
        ([Path(__file__)], "is a file"),
        ([], "required: STUDY"),
        ([tmp_path, tmp_path], "--output: missing"),
    ):
        assert status(report, arguments, monkeypatch) == 2
        _, err = capsys.readouterr()
        assert why in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--margin", "wide"], "margin: 'wide' is not a number"),
        (["--margin", "0"], "margin: 0.0 is not a number of points above 0, below 100"),
        (["--output", "mine"], "--output: mine holds thesis.txt, which is no part of a report"),
        (["--outpu", "mine"], "unrecognized arguments: --outpu"),
    ],
)
def test_bad_options_of_a_report(options, why, study, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    before = (study / "report" / "table.md").stat()
    assert status(report, [study, *options], monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("report.py: ")
    assert err.count("\n") == 1
    assert why in err
    assert (study / "report" / "table.md").stat() == before


def test_report_on_several_studies(tmp_path, capsys, monkeypatch):
    for folder, seeds in (("a", range(3)), ("b", range(3, 8))):
        for seed in seeds:
            write_run(tmp_path / folder, "sgdm", seed, 0.9 + seed / 1000)
            write_run(tmp_path / folder, "rsgdm", seed, 0.91 + seed * seed / 10000)
    write_run(tmp_path / "c", "sgdm", 0, 0.8, lr_convention="heavy_ball")
    options = ["--output", tmp_path / "all", "--margin", "0.5"]
    folders = [tmp_path / name for name in "abc"]
    assert status(report, [*folders, *options], monkeypatch) == 0
    out = capsys.readouterr().out
    assert "Table 1: lr_convention ema" in out
    assert "rsgdm − sgdm (test accuracy, margin ±0.5 points): better; size " in out
    assert "Table 2: lr_convention heavy_ball" in out
    assert f"Report and figures: {tmp_path / 'all'}\n" in out


def test_tables_are_readable_in_100_columns(tmp_path, capsys, monkeypatch):
    for k, name in enumerate(("sgdm", "rsgdm", "rsgdm_compact")):
        for seed in range(12):
            loss = 0.25 + (3 + k) * seed % 5 / 100
            write_run(tmp_path / "s", name, seed, 0.9 + (2 + k) * seed % 7 / 100, loss=loss)
    write_run(tmp_path / "s", "sgdm", 12, None)
    write_run(tmp_path / "s", "rsgdm", 12, 0.9)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    assert status(report, [tmp_path / "s"], monkeypatch) == 0
    out = re.sub("\x1b[^m]*m", "", capsys.readouterr().out)
    assert all(len(line) <= 100 for line in out.splitlines() if "Report" not in line)
    interval, p = r"[+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\]", r"\d\.\d{4}"
    for cells in (
        rf"rsgdm +accuracy +12 of 13 +{interval} +{p} +primary +{p} +\d+",
        rf"rsgdm_compact +loss +12 +{interval} +{p} +{p} *$",
        r"sgdm +0\.5 +12 \+ 1 diverged +[\d.]+ ± [\d.]+ +[\d.]+ ± [\d.]+ +[\d.]+ ± [\d.]+ *$",
    ):
        assert re.search(f"^ *{cells}", out, re.M), cells


DAMAGES = {
    "metrics.jsonl": [None, b"", b"{}\n", b"\xff\xfe", b'{"epoch": 1'],
    "result.json": [b"", b"{}", b"[]", b'{"status": "done"}', b"\xff"],
    "config.json": [b"", b"{}", b"[]", b"null", b"\xff"],
    "environment.json": [None, b"", b"[]", b"{}"],
}


@pytest.mark.parametrize(
    ("name", "content"), [(name, content) for name in DAMAGES for content in DAMAGES[name]]
)
def test_report_on_a_damaged_study(name, content, study, capsys, monkeypatch):
    path = study / "sgdm-seed0" / name
    path.unlink() if content is None else path.write_bytes(content)
    before = (study / "report" / "table.md").stat()
    assert status(report, [study], monkeypatch) == 2
    _, err = capsys.readouterr()
    assert f"{path}: damaged, " in err
    assert err.count("\n") == 1
    assert (study / "report" / "table.md").stat() == before


def test_report_on_a_run_that_lost_an_epoch(study, capsys, monkeypatch):
    path = study / "sgdm-seed0" / "metrics.jsonl"
    path.write_text(path.read_text().splitlines()[1] + "\n")
    assert status(report, [study], monkeypatch) == 2
    assert "does not hold the epochs 1 to 2" in capsys.readouterr().err


def test_report_on_runs_that_do_not_belong_together(study, capsys, monkeypatch):
    shutil.copytree(study / "sgdm-seed0", study / "sgdm-seed7")
    assert status(report, [study], monkeypatch) == 2
    assert "sgdm-seed7: holds the run sgdm-seed0" in capsys.readouterr().err
    config = study / "sgdm-seed7" / "config.json"
    config.write_text(config.read_text().replace('"seed": 0', '"seed": 7'))
    assert status(report, [study], monkeypatch) == 0
    config.write_text(config.read_text().replace('"decay": 0.9', '"decay": 0.8'))
    capsys.readouterr()
    assert status(report, [study], monkeypatch) == 2
    assert "are not of one study; decay is 0.8 and 0.9" in capsys.readouterr().err

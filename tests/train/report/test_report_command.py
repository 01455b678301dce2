"""The report as a user calls it: what it prints, and what it refuses in one line."""

import re
import shutil
from pathlib import Path

import pytest

from tests.train.commands import status
from tests.train.made_up import study_of, write_run
from train.report import report
from train.report.tables import COMPARISONS_HEADER


@pytest.fixture(autouse=True)
def _quick(no_pictures):
    """What is printed does not depend on the pictures."""


@pytest.fixture
def study(made_up_study) -> Path:
    report.build_report(made_up_study)
    return made_up_study


def test_report_on_something_else(tmp_path, capsys, monkeypatch):
    study = study_of(tmp_path / "study", range(1))
    for arguments, why in (
        ([tmp_path / "nowhere"], "does not exist"),
        ([tmp_path], "holds no finished run"),
        ([Path(__file__), "--output", tmp_path / "report"], "is a file, but no packed study"),
        ([], "required: STUDY"),
        ([study, study], "--output: missing"),
    ):
        assert status(report, arguments, monkeypatch) == 2
        _, err = capsys.readouterr()
        assert why in err
        assert err.count("\n") == 1


def test_a_tilde_that_the_shell_leaves(study, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    before = sorted(tmp_path.iterdir())
    assert status(report, [study, "--output=~/mine"], monkeypatch) == 0
    assert (tmp_path / "home" / "mine" / "table.md").is_file()
    assert status(report, [study, "--output=~nobody-here/mine"], monkeypatch) == 2
    assert "'~nobody-here/mine': there is no such home folder" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--margin", "wide"], "margin: 'wide' is not a number"),
        (["--margin", "0"], "margin: 0.0 is not a number of points above 0, below 100"),
        (["--output", "mine"], "--output: mine holds thesis.txt, which is no part of a report"),
        (["--outpu", "mine"], "unrecognized arguments: --outpu"),
        (["--baseline", "lion"], "--baseline: 'lion' is no arm; allowed: sgdm, rsgdm"),
        (["--compare", "rsgdm"], "--compare: 'rsgdm' is not two arms A:B"),
        (["--compare", "rsgdm:lion"], "--compare: 'lion' is no arm; allowed: sgdm, rsgdm"),
        (["--compare", "a:b", "--baseline", "a"], "--baseline: not allowed with argument"),
        (["--better", "lower"], "--better: only for a file of scores"),
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
    assert re.search(r"rsgdm against sgdm: better by 0\.8\d \[.*\] points of test accuracy\.", out)
    assert "Table 2: lr_convention heavy_ball" in out
    assert f"Report and figures: {tmp_path / 'all'}\n" in out


def _wide(folder, loss):
    """A study whose tables are as wide as they get."""
    for k, name in enumerate(("sgdm", "rsgdm", "rsgdm_compact")):
        for seed in range(12):
            each = loss * (1 + (3 + k) * seed % 5 / 100)
            write_run(folder, name, seed, 0.9 + (2 + k) * seed % 7 / 100, loss=each)
    write_run(folder, "sgdm", 12, None)
    write_run(folder, "rsgdm", 12, 0.9)
    return folder


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> report.Report:
    return report.read_report(_wide(tmp_path_factory.mktemp("wide") / "study", 0.25))


@pytest.fixture(scope="module")
def wider(tmp_path_factory) -> report.Report:
    """Losses of millions, as BatchNorm at a high rate makes them, and beyond."""
    folder = _wide(tmp_path_factory.mktemp("wider") / "study", 5e6)
    write_run(folder, "nesterov", 0, 0.5, loss=1e38)
    return report.read_report(folder)


def _printed(shown, columns, capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", f"{columns}")
    shown.show()
    return re.sub("\x1b[^m]*m", "", capsys.readouterr().out)


@pytest.mark.parametrize("columns", [1, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("name", ["wide", "wider"])
def test_no_number_is_cut_however_narrow_the_screen(name, columns, request, capsys, monkeypatch):
    shown = request.getfixturevalue(name)
    out = _printed(shown, columns, capsys, monkeypatch)
    lines = [line.rstrip() for line in out.splitlines() if not line.startswith("Report and")]
    assert max(map(len, lines)) <= max(columns, 40)
    assert "…" not in out
    (table,) = shown.tables
    # Each cell stands whole, wherever lines end.
    words = re.sub(r"[─\s]+", " ", out)
    for header, rows in (
        (table.header(), table.cells()),
        (COMPARISONS_HEADER, table.comparison_cells()),
    ):
        assert all(cell in words for cells in rows for cell in cells)
        # Turned, the first column's cells are titles.
        assert {word for name in header[1:] for word in name.split()} <= set(words.split())
    for verdict in table.verdicts():
        assert verdict in words
    assert out == _printed(shown, columns, capsys, monkeypatch)


def test_tables_stand_side_by_side_or_turn(wide, capsys, monkeypatch):
    row = r"^ *rsgdm − sgdm +test accuracy +12 of 13 +\S+ \[\S+ \S+\] +9[\d.]+ % +\S+ +\S+ "
    turned = (
        r"^rsgdm − sgdm *\n  measure +test accuracy *\n  pairs +12 of 13 *\n"
        r"  difference \[interval\] +\S+"
    )
    for columns, is_turned in ((40, True), (60, True), (100, True), (200, False)):
        out = _printed(wide, columns, capsys, monkeypatch)
        assert bool(re.search(row, out, re.M)) is not is_turned, columns
        assert bool(re.search(turned, out, re.M)) is is_turned, columns


def test_a_pipe_has_no_width(wide, capsys, monkeypatch):
    terminal = _printed(wide, 200, capsys, monkeypatch)
    monkeypatch.delenv("TTY_COMPATIBLE")
    monkeypatch.setenv("COLUMNS", "40")
    wide.show()
    assert capsys.readouterr().out == terminal


def test_report_on_runs_that_do_not_belong_together(study, capsys, monkeypatch):
    shutil.copytree(study / "sgdm-seed0", study / "sgdm-seed7")
    assert status(report, [study], monkeypatch) == 0
    assert f"{study}: left out: sgdm-seed7, the run sgdm-seed0" in capsys.readouterr().err
    config = study / "sgdm-seed7" / "config.json"
    config.write_text(config.read_text().replace('"seed": 0', '"seed": 7'))
    assert status(report, [study], monkeypatch) == 0
    assert capsys.readouterr().err == ""
    config.write_text(config.read_text().replace('"decay": 0.9', '"decay": 0.8'))
    assert status(report, [study], monkeypatch) == 2
    assert "are not of one study; decay is 0.8 and 0.9" in capsys.readouterr().err

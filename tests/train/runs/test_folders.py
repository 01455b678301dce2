"""A study's folder: what lies beside the runs, and which runs are of one study."""

import re
import shutil
from pathlib import Path

import pytest

from tests.train.made_up import write_run
from tests.train.study_files import RUN, config, edit, snapshot
from train.common.errors import InputError
from train.report.report import read_report
from train.runs.folders import check_same_study

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def study(made_up_study) -> Path:
    return made_up_study


LITTER = (
    *("@eaDir", "Thumbs.db", "desktop.ini", "lost+found", "slurm-123.out", "nohup.out"),
    *("#notes#", "notes.txt~", "notes.txt.bak", ".DS_Store", ".nfs0001", "train.log", "__MACOSX"),
)
FOREIGN = ("sgdm-seed0 (copy)", "sgdm-seed0.old", "notes.txt", "Copy of rsgdm-seed1", "sgdm-seed1b")


def test_what_lies_beside_the_runs_is_left_out(study, capsys):
    before = read_report(study)
    for name in (*LITTER, *FOREIGN):
        if name.startswith(("sgdm", "Copy")):
            shutil.copytree(study / RUN, study / name)
        elif "." in name or name.startswith("#"):
            (study / name).write_text("mine")
        else:
            (study / name).mkdir()
    shutil.copytree(study / RUN, study / "sgdm-seed7")  # a copy under a run's name
    (study / "sgdm-seed8").symlink_to(study / "gone")
    (study / "sgdm-seed9").write_text("a file")
    found = snapshot(study)
    assert read_report(study) == before
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {study}: left out: ")
    assert said.count("\n") == 1
    check_same_study(study, [config(seed=seed) for seed in (0, 1, 2, 3)])
    assert capsys.readouterr().err == ""
    for seed, what in ((7, "the run sgdm-seed0"), (8, "no run"), (9, "no run")):
        with pytest.raises(InputError, match=f"holds sgdm-seed{seed}, which is {what}; choose"):
            check_same_study(study, [config(seed=seed)])
    assert snapshot(study) == found


def test_a_few_that_are_left_out_are_all_named(study, capsys):
    (study / "notes.txt").write_text("mine")
    shutil.copytree(study / RUN, study / "sgdm-seed7")
    read_report(study)
    line = f"{study}: left out: notes.txt, no run, sgdm-seed7, the run sgdm-seed0"
    assert capsys.readouterr().err == f"warning: {line}\n"


def test_a_folder_for_a_new_study(tmp_path):
    for name in LITTER:
        (tmp_path / name).mkdir()
    (tmp_path / "sgdm-seed0").mkdir()  # stopped before its first file
    (tmp_path / "sgdm-seed0" / ".config.json.12ab.partial").touch()
    check_same_study(tmp_path, [config()])
    for name in (*FOREIGN, "report"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=re.escape(f"holds {name}, which is no run; choose")):
            check_same_study(tmp_path, [config()])
        (tmp_path / name).rmdir()


def test_a_run_without_its_settings_is_not_begun_anew(study, capsys, monkeypatch):
    (study / "sgdm-seed1" / "config.json").unlink()
    with pytest.raises(InputError, match=r"sgdm-seed1/config\.json: is missing"):
        check_same_study(study, [config()])


def test_one_seed_no_finished_run_or_a_link_to_a_study(study, tmp_path):
    (tmp_path / "link").symlink_to(study)
    assert read_report(tmp_path / "link").tables == read_report(study).tables
    write_run(tmp_path / "one", "rsgdm", 0, 0.5)
    (row,) = read_report(tmp_path / "one").tables[0].rows
    assert row.spreads["test accuracy"].std is None
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="loop: does not exist"):
        read_report(tmp_path / "loop")
    for folder in study.glob("*-seed*"):
        (folder / "result.json").unlink()
    with pytest.raises(InputError, match="study: holds no finished run"):
        read_report(study)


def test_a_files_place_is_not_what_makes_a_study(study, tmp_path):
    def at(place):
        return lambda entry: entry | {"dataset": f"npz:{place}"}

    places = ("data/my.npz", "./data/my.npz", "/srv/data/my.npz", "/mnt/data/other.npz")
    for place, path in zip(places, sorted(study.glob("*/config.json")), strict=True):
        edit(path, at(place))
    found = read_report(study)
    assert [row.n for row in found.tables[0].rows] == [2, 2]
    check_same_study(study, [config(dataset="npz:/elsewhere/my.npz")])
    # On another machine, with other seeds.
    other = tmp_path / "other"
    for seed in (2, 3):
        for optimizer in ("sgdm", "rsgdm"):
            write_run(other, optimizer, seed, 0.75, dataset="npz:C:\\data\\my.npz")
    (table,) = read_report(study, other, output=tmp_path / "report").tables
    assert [row.n for row in table.rows] == [4, 4]
    # The file's content, and what is chosen of it, do count; so does a name.
    for changes, setting in (
        ({"data": "fedcba98"}, "data"),
        ({"train_examples": 100}, "train_examples"),
        ({"dataset": "digits"}, "dataset"),
    ):
        run = config(**{"dataset": "npz:data/my.npz"} | changes)
        with pytest.raises(InputError, match=f"another study, with {setting} "):
            check_same_study(study, [run])

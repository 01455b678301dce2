"""Which studies share a table, and which runs of two folders are one."""

import dataclasses
import itertools
import shutil

import pytest

from tests.train.made_up import study_of
from train.common.errors import InputError
from train.report.report import build_report, read_report
from train.report.studies import curves

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_studies_of_the_same_settings_share_a_table(tmp_path):
    whole = read_report(study_of(tmp_path / "whole"))
    parts = [study_of(tmp_path / "a", range(3)), study_of(tmp_path / "b", range(3, 8))]
    for folders in (parts, parts[::-1]):
        report = read_report(*folders, output=tmp_path / "report")
        (section,) = report.sections
        table, group = section.table, section.study
        assert table.folders == [str(folder) for folder in folders]
        assert dataclasses.replace(table, folders=[]) == whole.tables[0]
        assert {run.config.name: run for run in group.runs} == {
            run.config.name: run for run in whole.sections[0].study.runs
        }
        assert curves(group) == curves(whole.sections[0].study)


def test_an_optimizer_may_come_from_another_folder(tmp_path):
    folders = [
        study_of(tmp_path / "a"),
        study_of(tmp_path / "b", optimizers=("nesterov",), learning_rate=0.1),
    ]
    (table,) = read_report(*folders, output=tmp_path / "report").tables
    assert [(row.arm, row.rate) for row in table.rows] == [
        *(("sgdm", 0.5), ("rsgdm", 0.5), ("nesterov", 0.1)),
    ]
    assert [each.difference.n for each in table.comparisons] == 6 * [8]


@pytest.mark.parametrize(
    ("settings", "heading"),
    [
        ({"lr_convention": "heavy_ball"}, "Table 2: lr_convention heavy_ball"),
        ({"optimizer": "optax:lion"}, "Table 2"),
        ({"data": "fedcba98"}, "Table 2: data fedcba98"),
        ({"epochs": 3, "dtype": "bfloat16"}, "Table 2: epochs 3, dtype bfloat16"),
        ({"validation_examples": 100}, "Table 2: validation_examples 100"),
    ],
)
def test_studies_of_other_settings_have_tables_of_their_own(settings, heading, tmp_path):
    folders = [
        study_of(tmp_path / "a", range(4)),
        study_of(tmp_path / "b", range(4, 7), **settings),
        study_of(tmp_path / "c", range(4, 6)),
    ]
    report = read_report(*folders, output=tmp_path / "report")
    assert [[row.n for row in table.rows] for table in report.tables] == [[6, 6], [3, 3]]
    assert f"## {heading}\n" in report.markdown()


def test_a_study_that_belongs_to_two_others(tmp_path):
    a = study_of(tmp_path / "a")
    b = study_of(tmp_path / "b", optimizer="optax:lion")
    c = study_of(tmp_path / "c", optimizers=("nesterov",))
    for order in itertools.permutations((a, b, c)):
        with pytest.raises(InputError, match=r"c: belongs with .*, which differ in optimizer"):
            read_report(*order, output=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_the_same_run_in_two_folders_counts_once(tmp_path):
    a, b = (
        study_of(tmp_path / "a", range(4)),
        study_of(tmp_path / "b", range(2, 6), speed=1.0),
    )
    (table,) = read_report(a, b, a, output=tmp_path / "report").tables
    assert [row.n for row in table.rows] == [6, 6]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("result.json", '"clean_train_loss": 0.125', '"clean_train_loss": 0.126'),
        ("metrics.jsonl", '"train_loss": 0.5', '"train_loss": 0.6'),
    ],
)
def test_the_same_run_with_other_results_is_refused(file, old, new, tmp_path):
    a, b = study_of(tmp_path / "a", range(4)), study_of(tmp_path / "b", range(4))
    path = b / "rsgdm-seed2" / file
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(
        InputError, match=r"b/rsgdm-seed2: has other results than .*a/rsgdm-seed2, of the same"
    ):
        build_report(a, b, output=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_unfinished_runs_count_unless_another_folder_has_them(tmp_path):
    a, b = study_of(tmp_path / "a", range(4)), study_of(tmp_path / "b", range(4))
    for seed in (1, 2):
        (a / f"rsgdm-seed{seed}" / "result.json").unlink()
    (b / "rsgdm-seed2" / "result.json").unlink()
    report = read_report(a, b, output=tmp_path / "report")
    assert report.tables[0].unfinished == 1
    assert "Unfinished runs, not counted: 1." in report.markdown()


def test_the_same_run_twice_in_one_folder(tmp_path):
    study = study_of(tmp_path / "a")
    twice = study / "rsgdm-rate0.5-seed2"
    shutil.copytree(study / "rsgdm-seed2", twice)
    assert [row.n for row in read_report(study).tables[0].rows] == [8, 8]
    path = twice / "result.json"
    path.write_text(path.read_text().replace('"clean_train_loss": 0.125', '"clean_train_loss": 1'))
    with pytest.raises(InputError, match=r"rsgdm-seed2: has other results than .*, of the same"):
        read_report(study)

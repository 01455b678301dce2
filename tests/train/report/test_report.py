"""The report on one study or several: what shares a table, what is refused, the paper beside it."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.train.made_up import study_of, write_run
from tests.train.study_files import config
from train.common.errors import InputError
from train.report.pack import pack
from train.report.report import build_report, read_report
from train.report.studies import curves, title_of

pytestmark = pytest.mark.usefixtures("no_pictures")


FILES = {"table.md", "results.json"} | {
    f"{split}_{what}.{suffix}"
    for split in ("train", "test")
    for what in ("accuracy", "loss")
    for suffix in ("png", "svg")
}
FILES |= {"differences.png", "differences.svg"}


def _files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_report_of_a_known_study(tmp_path):
    report = build_report(study_of(tmp_path / "study"))
    accuracy, loss, train_loss = report.tables[0].comparisons
    # Differences of 4, 5, 4, 5, ... thousandths. Of the 255 means of subsets, 15 are 4 or less.
    found = accuracy.difference
    assert (found.mean, found.low, found.high) == pytest.approx((0.0045, 0.004, 0.005))
    assert (accuracy.p, accuracy.adjusted, accuracy.equivalence_adjusted) == (2 / 256, 2 / 256, 1)
    assert (loss.difference.mean, loss.p, loss.verdict) == (0, 1, "undecided")
    assert train_loss.measure.name == "train loss"
    text = (tmp_path / "study" / "report" / "table.md").read_text()
    assert "| rsgdm − sgdm | test accuracy | 8 | +0.45 [+0.40, +0.50] | 95 % | 0.0078 |" in text
    assert "- rsgdm against sgdm: better by 0.45 [0.40, 0.50] points of test accuracy." in text


def test_less_training_loss_is_better(tmp_path):
    for seed in range(8):
        for name, loss in (("sgdm", 0.5 + seed / 100), ("rsgdm", 0.25)):
            write_run(tmp_path / "study", name, seed, 0.9, train_loss=2 * loss)  # of 2 epochs
    found = read_report(tmp_path / "study").tables[0].comparisons[2]
    assert (found.measure.name, found.verdict) == ("train loss", "better")
    assert found.difference.mean == pytest.approx(0.25 - 0.535)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [("rsgdm", "sgdm"), ("nesterov", "sgdm")]),
        ({"baseline": "nesterov"}, [("sgdm", "nesterov"), ("rsgdm", "nesterov")]),
        ({"compare": ["rsgdm:nesterov"]}, [("rsgdm", "nesterov")]),
    ],
)
def test_the_comparisons_that_count(options, expected, tmp_path):
    study = study_of(tmp_path / "study", optimizers=("nesterov", "rsgdm", "sgdm"))
    (table,) = read_report(study, **options).tables
    arms = [(each.arm, each.other) for each in table.comparisons]
    assert arms == 3 * expected  # of each measure
    # The family is the comparisons of one measure.
    assert table.comparisons[0].adjusted == len(expected) * table.comparisons[0].p


def test_too_few_seeds_are_said(tmp_path):
    optimizers = ("sgdm", "rsgdm", "nesterov")
    enough = study_of(tmp_path / "enough", range(7), optimizers)
    assert "pairs are needed" not in read_report(enough).markdown()
    text = read_report(study_of(tmp_path / "few", range(6), optimizers)).markdown()
    assert "With 2 comparisons, at least 7 pairs are needed to find any difference" in text
    assert text.count("6 pairs cannot show anything at 97.5 %") >= 4


def test_one_epoch_is_not_epochs(tmp_path):
    study = study_of(tmp_path / "study", range(2), epochs=1, halve_every=1)
    text = read_report(study).markdown()
    assert ", 1 epoch, batch 128, rate halved every 1 epoch, " in text


def test_the_margin_decides_equivalence_alone(tmp_path):
    study = study_of(tmp_path / "study")
    found = {}
    for points in (0.3, 0.45, 0.6):
        report = read_report(study, margin_points=points)
        each = report.tables[0].comparisons[0]
        found[points] = (each.verdict, each.is_equivalent)
        assert f"±{points} points" in report.markdown()
    assert found == {0.3: ("better", False), 0.45: ("better", False), 0.6: ("better", True)}


def test_several_rates_an_arm_are_rows_of_one_table(tmp_path):
    """In one folder or two, or packed: a line a rate, the best rates, a figure of all."""
    one = tmp_path / "one"
    for rate, seeds in ((0.5, range(4)), (0.25, range(3))):
        study_of(one, seeds, learning_rate=rate)
    study_of(one, range(4), optimizers=("nesterov",))
    parts = [study_of(tmp_path / "a", range(4)), tmp_path / "b"]
    study_of(parts[1], range(3), learning_rate=0.25)
    study_of(parts[1], range(4), optimizers=("nesterov",))
    pack([one], tmp_path / "packed.json")
    report = build_report(one)
    (table,) = report.tables
    assert [(row.arm, row.rate, row.n) for row in table.rows] == [
        *(("sgdm", 0.25, 3), ("sgdm", 0.5, 4), ("rsgdm", 0.25, 3), ("rsgdm", 0.5, 4)),
        ("nesterov", 0.5, 4),
    ]
    assert [(each.arm, each.seeds) for each in table.best_rates] == [
        *(("sgdm", 3), ("rsgdm", 3), ("nesterov", 4)),
    ]
    assert [(each.name, each.difference.n) for each in table.main_comparisons] == [
        *(("rsgdm − sgdm, rate 0.25", 3), ("rsgdm − sgdm, rate 0.5", 4)),
        ("nesterov − sgdm, rate 0.5", 4),
    ]
    assert table.verdicts() == [
        "every comparison is undecided: 4 pairs cannot show anything at 98.33 %; at least 7 are "
        "needed."
    ]
    assert _files(report.folder) == FILES | {"rates.png", "rates.svg"}
    # Learning curves are those at an arm's best rate.
    best = {each.arm: each.rate for each in table.best_rates}
    shown = curves(report.sections[0].study, table.best_rates)["train_loss"]
    assert {arm: len(rows) for arm, rows in shown.items()} == {
        row.arm: row.n for row in table.rows if row.rate == best[row.arm]
    }
    (numbers,) = json.loads((report.folder / "results.json").read_text())["tables"]
    assert len(numbers["runs"]) == 18
    assert {"sgdm-rate0.25-seed2", "sgdm-rate0.5-seed3", "nesterov-seed0"} <= numbers["runs"].keys()
    for others in ([tmp_path / "packed.json"], parts):
        (same,) = read_report(*others, output=tmp_path / "report").tables
        assert dataclasses.replace(same, folders=[]) == table


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"halve_every": 1}, ", rate halved every 1 epoch, decay"),
        ({"halve_every": 3, "warmup_epochs": 2}, "rate halved every 3 epochs after 2 epochs of"),
        ({"schedule": "linear"}, ", rate linear to zero, decay"),
        ({"schedule": "cosine", "warmup_epochs": 1}, "cosine to zero after 1 epoch of warm-up,"),
        ({"schedule": "another"}, ", rate another, decay"),
        ({"batch_norm": "reestimated"}, "BatchNorm re-estimated"),
    ],
)
def test_the_title_says_how_runs_were_trained(settings, said):
    assert said in title_of(config(**settings))
    assert "BatchNorm" not in title_of(config())


def test_a_report_removes_what_an_earlier_one_drew(tmp_path, no_pictures):
    folders = [
        study_of(tmp_path / "a", range(2)),
        study_of(tmp_path / "b", range(2), epochs=3),
    ]
    build_report(*folders, output=tmp_path / "report")
    found = _files(tmp_path / "report")
    assert {name.partition("/")[0] for name in found if "/" in name} == {"table-1", "table-2"}
    build_report(folders[0], output=tmp_path / "report")
    assert _files(tmp_path / "report") == _files(build_report(folders[0]).folder) == FILES


def test_another_report_removes_the_same(tmp_path, no_pictures, monkeypatch):
    study, real = study_of(tmp_path / "a", range(2)), Path.unlink
    build_report(study)
    (study / "report" / "validation_loss.png").touch()

    def unlink(self, missing_ok=False):
        real(self, missing_ok=True)
        real(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    build_report(study)
    assert _files(study / "report") == FILES


def test_pairs_with_a_diverged_run_are_left_out_and_counted(tmp_path):
    study = study_of(tmp_path / "study", range(8))
    write_run(study, "rsgdm", 1, None)
    write_run(study, "sgdm", 2, None)
    write_run(study, "sgdm", 3, None)
    write_run(study, "rsgdm", 3, None)
    write_run(study, "rsgdm", 99, 0.1)  # has no partner, so it is no pair
    report = read_report(study)
    for each in report.tables[0].comparisons:
        assert (each.difference.n, each.diverged_pairs) == (5, 3)
    assert report.diverged == 4
    text = report.markdown()
    assert "| rsgdm − sgdm | test accuracy | 5 of 8 | +0.44 (" in text  # of seeds 0, 4, 5, 6, 7
    assert "| rsgdm | 0.5 | 7 + 2 diverged |" in text
    assert "Diverged runs count in no mean, and their pairs are excluded." in text
    assert "at least 6 pairs are needed" in text


def test_nothing_but_diverged_runs(tmp_path):
    for seed in range(2):
        write_run(tmp_path / "study", "sgdm", seed, 0.9)
        write_run(tmp_path / "study", "rsgdm", seed, None)
    report = read_report(tmp_path / "study")
    assert report.tables[0].comparison_cells()[0] == [
        *("rsgdm − sgdm", "test accuracy", "0 of 2", "no pair", "95 %"),
        *("none", "none", "none", "none", "none"),
    ]
    sentence = "rsgdm against sgdm: undecided in test accuracy: there is no pair."
    assert report.tables[0].verdicts()[0] == sentence


PAPERS = {
    ("cifar10", "resnet18"): [
        "| sgdm, paper |  |  | 94.48 |  |  | 100 |",
        "| rsgdm, paper |  |  | 94.62 |  |  | 100 |",
        "| rsgdm − sgdm, paper | test accuracy |  | +0.14 |",
        "Paper: its Table 1, as printed",
    ],
    ("cifar100", "resnet50"): [
        "| sgdm, paper |  |  | 76.70 |  |  | 99.98 |",
        "| rsgdm, paper |  |  | 77.27 |  |  | 99.98 |",
        "| rsgdm − sgdm, paper | test accuracy |  | +0.57 |",
        "Paper: its Table 2, as printed",
    ],
    ("cifar100", "resnet18"): [],
    ("cifar10", "resnet8"): [],
}


@pytest.mark.parametrize(("dataset", "model"), PAPERS)
def test_the_papers_numbers_stand_beside_ours(dataset, model, tmp_path):
    optimizers = ("sgdm", "rsgdm", "nesterov")
    study = study_of(tmp_path / "a", range(2), optimizers, dataset=dataset, model=model)
    report = read_report(study)
    text = report.markdown()
    assert len(re.findall("paper", text, re.I)) == len(PAPERS[dataset, model])
    for line in PAPERS[dataset, model]:
        assert line in text
    assert len(report.tables[0].rows) == 3
    # They are of the test set.
    held_out = {"dataset": dataset, "model": model, "validation_examples": 100}
    report = read_report(study_of(tmp_path / "b", range(2), **held_out))
    assert "paper" not in report.markdown()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("a", "holds rsgdm-seed0, which is no part of a report"),
        ("a/report", "is inside of"),
        ("a/sgdm-seed0/new", "is inside of"),
        (".", "holds a, which is no part of a report"),
        ("file", "is a file"),
        ("own", "holds thesis.txt, which is no part of a report"),
        ("tables", "is not empty, and no report"),
        ("results", "is not empty, and no report"),
    ],
)
def test_output_that_is_something_else(place, why, tmp_path):
    a, b = study_of(tmp_path / "a", range(2)), study_of(tmp_path / "b", range(2, 4))
    (tmp_path / "file").write_text("mine")
    for name in ("own/thesis.txt", "tables/table.md", "results/results.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text('["mine"]')
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(InputError, match=re.escape(why)):
        build_report(a, b, output=tmp_path / place)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_output_of_one_study(tmp_path, no_pictures):
    study = study_of(tmp_path / "study", range(2))
    for output in (tmp_path / "deep" / "report", study / "report", study / ".." / "empty"):
        report = build_report(study, output=output)
        assert report.folder == output
        assert (output / "table.md").is_file()
    shutil.rmtree(study / "report")
    build_report(study, output=tmp_path / "empty")
    assert not (study / "report").exists()


@pytest.mark.parametrize("points", [0, -0.3, 100, float("nan"), float("inf")])
def test_margins_that_make_no_sense(points, tmp_path):
    with pytest.raises(InputError, match=r"margin: .* is not a number of points above 0, below"):
        build_report(study_of(tmp_path / "study", range(2)), margin_points=points)
    assert not (tmp_path / "study" / "report").exists()

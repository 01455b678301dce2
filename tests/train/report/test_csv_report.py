"""A report on the scores of a CSV file, whatever program they come from."""

import json
import re

import numpy as np
import pytest

from tests.train.commands import status
from tests.train.study_files import snapshot
from train.report import report
from train.report.drawing import drawn, render
from train.report.figures import draw_differences, draw_rates
from train.report.report import read_csv_report
from train.report.scores import number
from train.report.statistics import Pairing

pytestmark = pytest.mark.usefixtures("no_pictures")


def _file(folder, *lines, name="runs.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def _plain(seeds=range(8), ahead=1.0):
    lines = ["arm,seed,score"]
    for seed in seeds:
        lines += [f"adam,{seed},{10 + seed}", f"lion,{seed},{10 + seed + ahead + seed / 10}"]
    return lines


def test_the_report_of_known_scores(tmp_path, capsys, monkeypatch, no_pictures):
    path = _file(tmp_path, *_plain())
    assert status(report, [path, "--margin", "2"], monkeypatch) == 0
    out = capsys.readouterr().out
    folder = tmp_path / "runs-report"
    assert f"Report and figures: {folder}\n" in out
    names = {file.name for file in folder.iterdir()}
    assert names == {"table.md", "results.json", "differences.png", "differences.svg"}
    # Differences of 1.0, 1.1, … 1.7: the sixth means of subsets from both ends are those of 0, 1, 3
    # tenths and of 4, 6, 7 tenths beyond 1.
    sentence = r"lion against adam: better by 1\.350 \[1\.133, 1\.567\] in score, but equivalent"
    assert re.search(sentence, out)
    assert re.search(sentence, (folder / "table.md").read_text())
    (table,) = json.loads((folder / "results.json").read_text())["tables"]
    assert len(table["scores"]) == 16
    assert [(row["arm"], row["n"]) for row in table["rows"]] == [("adam", 8), ("lion", 8)]


def test_lower_may_be_better_and_the_baseline_is_chosen(tmp_path):
    path = _file(tmp_path, *_plain())
    verdicts = {
        (better, baseline): read_csv_report(path, better=better, baseline=baseline)
        .tables[0]
        .comparisons[0]
        for better in ("higher", "lower")
        for baseline in (None, "lion")
    }
    assert {key: (each.verdict, each.other) for key, each in verdicts.items()} == {
        ("higher", None): ("better", "adam"),
        ("lower", None): ("worse", "adam"),
        ("higher", "lion"): ("worse", "lion"),
        ("lower", "lion"): ("better", "lion"),
    }


def test_order_of_lines_and_columns_spaces_marks_and_seeds_do_not_matter(tmp_path):
    header, *lines = _plain()
    expected = read_csv_report(_file(tmp_path, header, *lines)).tables
    turned = [",".join(f" {cell} " for cell in line.split(",")[::-1]) for line in lines]
    other = _file(tmp_path, "\ufeffscore, seed ,arm", *turned[:2], "", *turned[:1:-1])
    assert read_csv_report(other).tables[0].comparisons == expected[0].comparisons
    named = [line.replace(",", ",fold ", 1) for line in lines]
    assert read_csv_report(_file(tmp_path, header, *named)).tables == expected


def test_each_task_has_a_table_of_its_own(tmp_path, no_pictures):
    lines = [f"digits,{line}" for line in _plain()[1:]]
    lines += [f"letters,{line}" for line in _plain(range(5), ahead=-1.0)[1:]]
    made = read_csv_report(_file(tmp_path, "task,arm,seed,score", *lines))
    assert [table.comparisons[0].verdict for table in made.tables] == ["better", "undecided"]
    text = made.markdown()
    assert "## Table 2: letters" in text
    assert "5 pairs cannot show anything at 95 %" in text
    made.write()
    assert (made.folder / "table-2" / "differences.svg").is_file()


def test_a_score_that_is_not_finite_is_a_diverged_run(tmp_path):
    lines = [line.replace("lion,3,14.3", "lion,3,nan") for line in _plain()]
    (table,) = read_csv_report(_file(tmp_path, *lines)).tables
    assert (table.diverged, table.comparisons[0].difference.n) == (1, 7)
    assert table.comparisons[0].diverged_pairs == 1


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([""], "line 1: is empty; its first line names the columns arm, seed, score, rate, task"),
        (["arm,seed,score"], "line 1: no run follows the names of the columns"),
        (["arm,score", "a,1"], "line 1: no column 'seed'; needed are arm, seed, score"),
        (["arm,seed,score,lr"], "line 1: column 'lr' is unknown; allowed: arm, seed, score, "),
        (["arm,seed,score,arm"], "line 1: column 'arm' is there twice"),
        ([*_plain(), "lion,8"], "line 18: 2 cells, where line 1 names 3"),
        ([*_plain(), "lion,8,good"], "line 18: score 'good' is not a number"),
        ([*_plain(), "lion,8,"], "line 18: score is empty; write nan for a run that diverged"),
        ([*_plain(), ",8,1"], "line 18: arm is empty"),
        ([*_plain(), "lion,8,1e200"], "line 18: score '1e200' is beyond ±1e+100; write inf for a"),
        ([*_plain(), '"li\non",8,1'], "line 19: arm 'li\\non' is not a line of text"),
        ([*_plain(), 'lion,8,"1'], "is no CSV file: unexpected end of data"),
        ([*_plain(), "lion,8,1"], "line 18: lion has seed 8, adam has not"),
        ([*_plain(), "adam,8,1"], "line 18: adam has seed 8, lion has not"),
        ([*_plain(), "adam,0,1"], "line 18: adam, seed 0 is there already, in line 2"),
        (["arm,seed,score,rate", "a,0,1,fast"], "line 2: rate 'fast' is not a number"),
        (["arm,seed,score,rate", "a,0,1,0"], "line 2: rate '0' is not above 0"),
        (
            ["arm,rate,seed,score", *("a,.1,0,1", "a,.2,0,1", "b,.1,0,1", "b,.2,1,1")],
            "line 5: b has seed 1, a has not",
        ),
    ],
)
def test_bad_files(lines, why, tmp_path, capsys, monkeypatch):
    path = _file(tmp_path, *lines)
    before = snapshot(tmp_path)
    assert status(report, [path], monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"report.py: {path}, line ")
    assert why in err
    assert err.count("\n") == 1
    assert snapshot(tmp_path) == before


def test_files_that_are_no_text_or_not_there(tmp_path, capsys, monkeypatch):
    good = _file(tmp_path, *_plain(), name="good.csv")
    path = tmp_path / "runs.csv"
    path.write_bytes(b"arm,seed,score\na,0,\xff\n")
    (tmp_path / "runs.txt").write_text("arm,seed,score\na,0,1\n")
    for words, why in (
        ([path], "line 2: is no CSV file: no text in UTF-8"),
        ([tmp_path / "none.csv"], "none.csv: cannot be read: No such file"),
        ([tmp_path / "runs.txt"], "scores are in a file whose name ends in .csv"),
        ([path, path], "a report on a file of scores is on it alone"),
        ([path, "--better", "bigger"], "invalid choice: 'bigger'"),
        ([good, "--margin", "-1"], "margin: -1.0 is not a number above 0"),
        ([good, "--baseline", "x"], "'x' is no arm; allowed: adam, lion"),
    ):
        assert status(report, words, monkeypatch) == 2
        err = capsys.readouterr().err
        assert why in err
        assert err.count("\n") == 1
    assert {file.name for file in tmp_path.iterdir()} == {"good.csv", "runs.csv", "runs.txt"}


def test_a_folder_of_something_else_is_not_overwritten(tmp_path, capsys, monkeypatch):
    path = _file(tmp_path, *_plain())
    (tmp_path / "runs-report").mkdir()
    (tmp_path / "runs-report" / "thesis.txt").touch()
    assert status(report, [path], monkeypatch) == 2
    assert "holds thesis.txt, which is no part of a report" in capsys.readouterr().err


RATES = ["arm,rate,seed,score"] + [
    f"{arm},{rate},{seed},{(1 if arm == 'a' else 2) * rate + seed / 8}"
    for arm in "ab"
    for rate in (0.25, 0.5, 1.0)
    for seed in range(8)
]


def test_scores_of_several_rates(tmp_path, no_pictures):
    made = read_csv_report(_file(tmp_path, *RATES))
    (table,) = made.tables
    assert [(row.arm, row.rate) for row in table.rows[:3]] == [("a", 0.25), ("a", 0.5), ("a", 1.0)]
    assert [(each.name, each.adjusted) for each in table.comparisons] == [
        (f"b − a, rate {rate:g}", 3 * 2 / 2**8) for rate in (0.25, 0.5, 1)
    ]
    assert [(each.arm, each.rate, each.at_end) for each in table.best_rates] == [
        *(("a", 1.0, True), ("b", 1.0, True)),
    ]
    text = made.markdown()
    assert "| b | 1 | 8 | 1: 100 % |" in text
    assert "At the end of its rates: a, b." in text
    made.write()
    assert (made.folder / "rates.png").is_file()


def test_the_figure_of_rates(tmp_path):
    (section,) = read_csv_report(_file(tmp_path, *RATES)).sections
    (shown,) = drawn(draw_rates(section.scores))
    assert shown["scales"] == ["log", "linear"]
    mean = np.arange(8).mean() / 8
    assert shown["lines"][1] == ["b (n = 8)", [0.25, 0.5, 1], [0.5 + mean, 1 + mean, 2 + mean]]
    assert len(shown["bands"]) == 2


def test_the_figure_of_differences(tmp_path):
    (table,) = read_csv_report(_file(tmp_path, *_plain())).tables
    (shown,) = drawn(draw_differences(table))
    found = table.comparisons[0].difference
    lines = [line[1:] for line in shown["lines"]]
    # Of six digits.
    np.testing.assert_allclose(lines[1], [[found.low, found.high], [0, 0]], rtol=1e-5)
    np.testing.assert_allclose(lines[2], [[found.mean], [0]], rtol=1e-5)


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (0.0312, 4, "+0.0312"),
        (0.00003, 4, "+3e-05"),
        (-5.12e-14, 12, "-5.1e-14"),
        (0.0, 4, "+0.0000"),
        (0.00006, 4, "+0.0001"),
        (12345678.4, 0, "+12345678"),
        (12345678.4, 4, "+12345678"),
        (1.2345678e20, 2, "+1.234568e+20"),
    ],
)
def test_numbers_are_cut_neither_to_zero_nor_to_one_digit(value, digits, shown):
    assert number(value, digits, "+") == shown


def test_a_name_that_begins_with_an_underscore_is_in_the_legend(tmp_path):
    lines = [line.replace("a,", "_a,", 1) if line[0] == "a" else line for line in RATES]
    lines[0] = RATES[0]
    (section,) = read_csv_report(_file(tmp_path, *lines)).sections
    (legend,) = draw_rates(section.scores).legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_a (n = 8)", "b (n = 8)"]


def test_a_seed_may_have_any_length(tmp_path):
    long = "9" * 5000
    lines = [line.replace(",7,", f",{long},") for line in _plain()]
    (table,) = read_csv_report(_file(tmp_path, *lines)).tables
    assert table.comparisons[0].difference.n == 8


def test_equal_scores_have_no_spread(tmp_path):
    lines = [
        f"{arm},{seed},{score}" for arm, score in (("a", 0.1), ("b", 0.2)) for seed in range(3)
    ]
    (table,) = read_csv_report(_file(tmp_path, "arm,seed,score", *lines)).tables
    assert table.cells()[0][-1] == "0.10000 ± 0.00000"
    assert table.comparisons[0].pairing == Pairing(None, None)


@pytest.mark.parametrize("name", ["cost_$5", "b$", "$\\frac$", "$x$"])
def test_names_are_no_mathematics(name, tmp_path):
    lines = [line.replace("lion", name) for line in _plain()]
    (table,) = read_csv_report(_file(tmp_path, *lines)).tables
    assert f">{name} − adam<" in render(draw_differences(table), "svg").decode()

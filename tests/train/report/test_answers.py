"""The tables of documents/answers.py, from packed studies."""

from tests.train.report.made_up_studies import SEEDS, at_rates, write_study
from train.report.documents import answers
from train.report.documents.predictions import PREDICTIONS
from train.report.documents.results import Results
from train.report.pack import pack


def test_the_tables(tmp_path, monkeypatch):
    cells = at_rates(sgdm=[0.0] * 4, rsgdm=[-0.1, -0.2, -0.3, None])
    pack([write_study(tmp_path / "study", cells)], tmp_path / "results" / "digits" / "rates.json")
    results = Results(tmp_path / "results")
    assert "| 8 of 30 pairs run | not run |\n" in answers.verdicts(results)
    # Of part of the pairs there is no mean and no p.
    assert "rsgdm over sgdm, α = 0.1 | 8 | not finished |  |  |" in answers.tests(results)
    monkeypatch.setitem(PREDICTIONS[0].planned, "digits", (len(SEEDS), 5))
    lines = answers.verdicts(results).splitlines()
    assert len(lines) == 2 + len(PREDICTIONS)
    assert lines[2].startswith("| 1. At equal α rsgdm's training loss is below sgdm's, ")
    assert lines[2].endswith("| undecided | not run |")
    assert lines[3].endswith("| not run | not run |")
    assert lines[-1].endswith("| not planned | not run |")
    rows = answers.tests(results).splitlines()[2:]
    assert len(rows) == 5
    assert "| 1 | digits | rsgdm over sgdm, α = 0.1 | 8 | +0.100 [+0." in rows[0]
    assert "| 8, 8 diverged | no pair |" in rows[3]
    assert "the lead at 1.6 minus that at 0.1 | 8 | +0.200 [" in rows[4]

"""The tuning command: rates chosen on validation examples, and what it refuses."""

import pytest

from tests.train.commands import status
from train import tune

TUNING = [
    *("--preset", "demo", "--train-examples", "256", "--validation-examples", "100"),
    *("--epochs", "2", "--seeds", "1", "--optimizers", "sgdm", "rsgdm"),
]


@pytest.mark.slow
def test_tuning_chooses_on_validation_examples(tmp_path, capsys, monkeypatch):
    output = tmp_path / "tuning"
    assert status(tune, ["--rates", "0.5", "1e-9", *TUNING, "--output", output], monkeypatch) == 0
    table = capsys.readouterr().out
    assert (output / "tuning.md").read_text() == table
    good, bad = (line for line in table.splitlines() if line.startswith(("| 0.5", "| 1e-09")))
    assert good.count("**") == 4
    assert "**" not in bad


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--rates 0.5 --preset demo", "rates are not chosen on test data"),
        ("--rates 0.5 0.5", "rates: one is given twice"),
        ("--rates 0.5 fast", "'fast' is not a number"),
        ("--rates 0.5 -1", "-1.0 is not a positive number"),
        ("--rates 0.5 --learning-rate 0.1", "the grid is given by --rates"),
        ("--rates 0.5 --batch-size 512", "batch_size: 512 is more than"),
        ("", "required: --rates"),
    ],
)
def test_bad_tuning(options, why, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = options.split() if "demo" in options else [*TUNING, *options.split()]
    assert status(tune, words, monkeypatch) == 2
    _, err = capsys.readouterr()
    assert why in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())

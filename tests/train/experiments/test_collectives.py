"""What devices send each other: the command's own arguments. test_parallel.py has the numbers."""

import pytest

from tests.train.commands import status
from train.experiments import collectives


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--devices -1", "devices: -1 is not a whole number of 1 or more"),
        ("--devices few", "devices: 'few' is not a whole number of 1 or more"),
        ("--models resnet9", "models: 'resnet9' is unknown; allowed: resnet8,"),
    ],
)
def test_bad_options(options, why, capsys, monkeypatch):
    assert status(collectives, options, monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert why in err
    assert err.count("\n") == 1

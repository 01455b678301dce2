"""The checks for a GPU, rehearsed on this machine's device."""

import re

import jax
import pytest

from tests.train.commands import status
from train.experiments import gpu_check


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is a GPU")
def test_without_a_gpu(capsys, monkeypatch):
    assert status(gpu_check, [], monkeypatch) == 2
    assert "there is no GPU that JAX sees, only cpu" in capsys.readouterr().err


@pytest.mark.slow
def test_rehearsal(no_tfds, capsys, monkeypatch):
    assert status(gpu_check, ["--rehearse"], monkeypatch) == 0
    out = capsys.readouterr().out
    for name in ("devices", "float32 products", "rsgdm updates", "cifar10: rsgdm, bfloat16"):
        assert re.search(rf"^ *{name} .* yes *$", out, re.M), name
    assert len(re.findall(r"images/s, loss \d", out)) == 9


def test_a_check_that_does_not_hold(capsys, monkeypatch):
    bad = gpu_check.Check("memory", "too much", holds=False)
    monkeypatch.setattr(gpu_check, "checks", lambda **_: iter([bad]))
    assert status(gpu_check, ["--rehearse"], monkeypatch) == 1
    assert re.search(r"memory +too much +NO", capsys.readouterr().out)

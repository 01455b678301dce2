"""Which workers may be asked for, and how many there are then."""

import os
import re

import pytest

from tests.train.commands import status
from train import cifar
from train.common.errors import InputError
from train.study.cli import parse
from train.study.presets import PRESETS
from train.study.validation import check
from train.study.workers import count_of

BAD = {
    "--workers 0": "workers: 0 is not auto, none, or a whole number of 1 or more",
    "--workers few": "workers: 'few' is not auto, none, or a whole number of 1 or more",
    "--workers 25": "workers: 25 are more than the 24 runs of the study",
    "--workers 2 --cluster tcp://127.0.0.1:1": "cluster: it has workers of its own",
    "--workers 2 --distributed": "workers: train whole runs each; not together with --distributed",
    "--cluster nowhere:x": "cluster: 'nowhere:x': ",
    "--cluster tls://127.0.0.1:1": "cluster: 'tls://127.0.0.1:1': TLS expects",
    "--cluster carrier-pigeon://a:1": "cluster: 'carrier-pigeon://a:1': ",
}


@pytest.mark.parametrize("options", BAD)
def test_bad_options(options, tmp_path, monkeypatch, capsys):
    words = ["--preset", "demo", *options.split(), "--output", tmp_path / "study"]
    assert status(cifar, words, monkeypatch) == 2
    err = capsys.readouterr().err
    assert BAD[options] in err.splitlines()[-1]
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        ("", "auto"),
        ("--workers none", None),
        ("--workers 3", 3),
        ("--cluster tcp://127.0.0.1:1", None),  # it has its own
        ("--distributed", None),  # one process for each host
        ("--coordinator 127.0.0.1:1 --num-processes 2 --process-id 0", None),
    ],
)
def test_a_presets_workers_give_way(options, workers):
    assert parse(["--preset", "demo", *options.split()]).config.execution.workers == workers


def test_a_number_of_workers_from_python():
    check(PRESETS["demo"].replace(workers=3))
    for bad in ("3", 0, True, 2.0):
        with pytest.raises(InputError, match=rf"^workers: {re.escape(repr(bad))} is not auto, "):
            check(PRESETS["demo"].replace(workers=bad))


# CUDA_VISIBLE_DEVICES → how many GPUs CUDA takes: none from the first on that is none
VISIBLE = {
    "0,1": 2,
    " 2 , GPU-8932f937": 2,
    "MIG-GPU-1/7/0": 1,
    "0,-1,1": 1,
    "-1": 0,
    "NoDevFiles": 0,
    "": 0,
}


@pytest.mark.parametrize("visible", VISIBLE)
def test_a_worker_for_each_gpu(visible, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert count_of("auto", 9) == (VISIBLE[visible] or 6)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert count_of("auto", 9) == 6


def test_the_number_of_workers(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert [count_of("auto", 9), count_of("auto", 4), count_of(3, 9), count_of(3, 2)] == [
        *(6, 4, 3, 2)
    ]

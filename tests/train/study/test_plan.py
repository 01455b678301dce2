"""What a dry run says, and that it leaves no trace."""

import re

import pytest

from tests.train.commands import status
from tests.train.conftest import one_device, run_study, small
from train import cifar
from train.study.dry_run import Plan
from train.study.presets import PRESETS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "parameters", "multiply_adds", "steps"),
    # Multiply-adds of one image forward: the counts usually given for these networks.
    [
        ("cifar10", 11_173_962, 0.5558e9, 78_000),
        pytest.param("cifar100", 23_705_252, 1.297e9, 78_000, marks=pytest.mark.slow),
    ],
)
def test_the_papers_studies(preset, parameters, multiply_adds, steps, no_tfds):
    plan = Plan.of(PRESETS[preset], timed_steps=0, devices=one_device())
    assert plan.is_stand_in
    assert plan.step_seconds is None
    assert set(plan.costs) == {"sgdm", "rsgdm"}
    for cost in plan.costs.values():
        assert cost.parameters == parameters
        assert cost.parameter_bytes == 4 * parameters
        assert cost.steps == steps
        # Forward and twice as much backward; the program does not multiply the border's zeros.
        assert 0.8 < cost.flops_a_step / (3 * 2 * multiply_adds * 128) < 1.05
        assert 0.8 < cost.flops_an_evaluated_image / (2 * multiply_adds) < 1.05
    # One count beside one buffer, or three; and the schedule's own count.
    assert plan.costs["sgdm"].optimizer_bytes - 4 * parameters in range(16)
    assert plan.costs["rsgdm"].optimizer_bytes - 3 * 4 * parameters in range(16)
    images = 50_000 * 3072 + 50_000 * 4 + 10_000 * 3072 + 10_000 * 4
    assert plan.costs["sgdm"].data_bytes == pytest.approx(images, rel=1e-6)
    evaluated = 200 * 10_000 + 50_000
    assert plan.flops == pytest.approx(
        sum(
            steps * c.flops_a_step + evaluated * c.flops_an_evaluated_image
            for c in plan.costs.values()
        )
    )


@pytest.mark.slow
def test_a_dry_run_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--preset", "demo", "--dry-run", "2", "--train-examples", "256"]
    assert status(cifar, words, monkeypatch) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^runs +24: sgdm, rsgdm, nesterov × 8 seeds, 0 of them done *$", out, re.M)
    assert re.search(r"^steps +288: 6 epochs of 2 steps of 128 examples", out, re.M)
    assert re.search(r"^time +a step takes sgdm \S+ s, rsgdm \S+ s, nesterov \S+ s; all", out, re.M)
    assert not list(tmp_path.iterdir())


def test_a_dry_run_knows_what_is_done(study, capsys):
    config = small(study, seeds=(0, 3))
    Plan.of(config, timed_steps=0, devices=one_device()).show()
    assert "6: sgdm, rsgdm × 3 seeds, 4 of them done" in capsys.readouterr().out
    config = config.replace(learning_rate={"": (0.5,), "rsgdm": (0.1, 0.2, 0.4)})
    Plan.of(config, timed_steps=0, devices=one_device()).show()
    assert "12: sgdm, rsgdm at 3 rates × 3 seeds, 2 of them done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--dry-run -1", "dry_run: -1 is not a whole number of 0 or more"),
        ("--dry-run few", "dry_run: 'few' is not a whole number"),
        ("--dry-run --batch-size 5000", "batch_size: 5000 is more than"),
        ("--dry-run --epochs 0", "epochs: 0"),
    ],
)
def test_bad_dry_runs(options, why, capsys, monkeypatch):
    assert status(cifar, ["--preset", "demo", *options.split()], monkeypatch) == 2
    assert why in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_of_days_says_so(tmp_path, capsys, monkeypatch):
    config = small(tmp_path / "study", seeds=(0, 1))
    monkeypatch.setattr("train.study.runner.DAY", 1e-3)
    run_study(config)
    err = capsys.readouterr().err
    assert re.search(r"will take about \S+ days on this machine: 8 steps of \S+ s$", err, re.M)
    assert err.index("will take") < err.index("sgdm-seed0")

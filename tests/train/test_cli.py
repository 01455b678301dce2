"""The commands as a user types them: exit status, one clear line, nothing overwritten."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from train import cifar, report, tune

ROOT = Path(__file__).parents[2]


def _run(*words, **options):
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300, **options
    )


# options → what the line must say
BAD = {
    "--learning-rate -0.1": "learning_rate of sgdm: -0.1 is not a positive number",
    "--learning-rate 0": "not a positive number",
    "--learning-rate nan": "nan is not a positive number",
    "--learning-rate fast": "'fast' is not a number",
    "--learning-rate rsgdm=x": "learning_rate of rsgdm: 'x' is not a number",
    "--learning-rate 0.1 0.2": "'0.1' is not NAME=VALUE",
    "--learning-rate momentum=0.1": "'momentum' is unknown; allowed: sgdm, rsgdm",
    "--optimizers adam": "learning_rate: none given for adam",
    "--optimizers lion": "optimizers: 'lion' is unknown; allowed: sgdm, rsgdm",
    "--optimizers sgdm sgdm": "sgdm is given twice",
    "--optimizers rsadam": "rsadam is not available yet",
    "--epochs 0": "epochs: 0 is not a whole number of 1 or more",
    "--epochs 1.5": "'1.5' is not a whole number",
    "--halve-every 0": "halve_every: 0",
    "--batch-size 0": "batch_size: 0",
    "--batch-size 5000": "batch_size: 5000 is more than the 1348 examples",
    "--seeds 0": "seeds: 0:0 is empty",
    "--seeds 5:3": "seeds: 5:3 is empty",
    "--seeds -1:3": "seeds",
    "--seeds one": "'one' is neither N nor A:B",
    "--decay 1": "decay: 1.0 is not a number in [0, 1)",
    "--decay -0.5": "decay",
    "--weight-decay -1": "weight_decay: -1.0 is not 0 or more",
    "--weight-decay inf": "weight_decay: inf",
    "--train-examples 3": "train_examples: 3 is out of range",
    "--validation-examples -3": "validation_examples: -3",
    "--lr-convention pytorch": "lr_convention: 'pytorch' is unknown; allowed: ema, heavy_ball",
    "--model vgg": "model: 'vgg' is unknown; allowed: resnet8",
    "--model resnet18": "model: resnet18 is not available yet",
    "--dataset mnist": "dataset: 'mnist' is unknown; allowed: digits",
    "--dataset cifar10": "dataset: cifar10 is not available yet",
    "--dataset npz:file": "dataset: npz:file is not available yet",
    "--dtype bfloat16": "dtype: bfloat16 is not available yet",
    "--dtype float16": "dtype: 'float16' is unknown",
    "--parallel pmap": "parallel: pmap is not available yet",
    "--distributed": "distributed: not available yet",
    "--data-dir here": "data_dir: not available yet",
    "--preset imagenet": "'imagenet' is unknown; allowed: cifar10, cifar100, fashion_mnist, demo",
    "--preset cifar10": "dataset: cifar10 is not available yet",
    "--epoch 3": "unrecognized arguments: --epoch 3",
    "--epochs": "argument --epochs: expected one argument",
    "demo": "unrecognized arguments: demo",
}


@pytest.mark.parametrize("options", BAD)
def test_bad_options(options, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cifar.main(["--preset", "demo", *options.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cifar.py: ")
    assert err.count("\n") == 1
    assert BAD[options] in err
    assert not list(tmp_path.iterdir())


def test_the_default_preset_is_cifar10(capsys):
    assert cifar.main([]) == 2
    assert "cifar10 is not available yet" in capsys.readouterr().err


def test_output_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert cifar.main(["--preset", "demo", "--output", str(tmp_path / "file" / "study")]) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert str(tmp_path / "file" / "study") in err


def test_help_lists_every_option():
    done = _run("train/cifar.py", "--help")
    assert done.returncode == 0
    for option in (
        *("preset", "dataset", "data-dir", "train-examples", "validation-examples", "model"),
        *("optimizers", "seeds", "epochs", "batch-size", "learning-rate", "lr-convention", "decay"),
        *("weight-decay", "augment", "no-augment", "dtype", "parallel", "distributed", "output"),
    ):
        assert re.search(rf"--{option}\b", done.stdout), option


SMALL = (
    *("--preset", "demo", "--train-examples", "256", "--epochs", "1", "--seeds", "1"),
    *("--optimizers", "sgdm", "rsgdm", "--learning-rate", "0.5", "rsgdm=0.25"),
)


def test_rates_of_single_optimizers_need_names(capsys):
    assert cifar.main(list(SMALL)) == 2
    assert "'0.5' is not NAME=VALUE" in capsys.readouterr().err


def test_program_as_a_script(tmp_path):
    study = tmp_path / "study"
    options = [word for word in SMALL if word != "0.5"]
    done = _run("train/cifar.py", *options, "--output", str(study))
    assert done.returncode == 0, done.stderr
    # No terminal: plain lines on standard error, the table alone on standard output.
    assert "\x1b" not in done.stdout + done.stderr
    assert re.search(
        r"^\[ +1/2\] sgdm-seed0 +epoch +1/1 +train +\d+\.\d\d% +test", done.stderr, re.M
    )
    assert re.search(r"^ +rsgdm +0\.25 +1 ", done.stdout, re.M)
    assert "(one pair)" in done.stdout
    table = (study / "report" / "table.md").read_bytes()
    (study / "report" / "table.md").unlink()
    again = _run("-m", "train.report", str(study))
    assert again.returncode == 0, again.stderr
    assert (study / "report" / "table.md").read_bytes() == table
    assert again.stdout == done.stdout


def test_live_progress_bar_on_a_terminal(tmp_path):
    environment = os.environ | {"TTY_COMPATIBLE": "1", "TERM": "xterm-256color", "COLUMNS": "120"}
    done = _run(
        "train/cifar.py",
        *(w for w in SMALL if w != "0.5"),
        "--output",
        str(tmp_path / "s"),
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "━" in done.stderr
    assert "2/2" in done.stderr
    assert "rsgdm-seed0" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption(number, status, tmp_path):
    options = ["--preset", "demo", "--epochs", "100000", "--output", str(tmp_path / "study")]
    process = subprocess.Popen(
        [sys.executable, "train/cifar.py", *options], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    limit = threading.Timer(120, process.kill)  # a hang must fail, not hang the tests
    limit.start()
    assert any("epoch   1/100000" in process.stderr.readline() for _ in range(3))
    process.send_signal(number)
    _, err = process.communicate()
    limit.cancel()
    assert process.returncode == status
    assert "the same command goes on" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_divergence_exits_with_3(tmp_path):
    options = (*SMALL[:-2], "sgdm=1e30", "rsgdm=0.25")
    done = _run("train/cifar.py", *options, "--output", str(tmp_path / "study"))
    assert done.returncode == 3, done.stderr
    assert "sgdm-seed0 diverged: the loss was not finite at step" in done.stderr
    assert "0 + 1 diverged" in done.stdout


def test_report_on_something_else(tmp_path, capsys):
    for path, why in (
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path, "holds no finished run"),
        (Path(__file__), "is a file"),
    ):
        assert report.main([str(path)]) == 2
        _, err = capsys.readouterr()
        assert why in err
        assert err.count("\n") == 1


def test_report_on_a_damaged_study(study, capsys):
    metrics = study / "sgdm-seed0" / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-9])
    assert report.main([str(study)]) == 2
    assert f"{metrics}: damaged" in capsys.readouterr().err


def test_tuning_chooses_on_validation_examples(tmp_path):
    options = "--preset demo --train-examples 256 --validation-examples 100 --epochs 2 --seeds 1"
    grid = "--rates 0.5 1e-9 --optimizers sgdm rsgdm --output"
    table = tune.tune([*options.split(), *grid.split(), str(tmp_path / "tuning")])
    assert (tmp_path / "tuning" / "tuning.md").read_text() == table
    good, bad = (line for line in table.splitlines() if line.startswith(("| 0.5", "| 1e-09")))
    assert good.count("**") == 4
    assert "**" not in bad


def test_tuning_on_test_data_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune.py", "--rates", "0.5", "--preset", "demo"])
    assert tune.main() == 2
    assert not list(tmp_path.iterdir())

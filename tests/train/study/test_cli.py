"""The program as a user types it: exit status, one clear line, nothing overwritten."""

import os
import pwd
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.train.commands import not_installed, status
from train import cifar

ROOT = Path(__file__).parents[3]
LIMIT = 300  # seconds, to end a hang


def _run(*words, **options):
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, **options
    )


# options → what the line must say
BAD = {
    "--learning-rate -0.1": "learning_rate: -0.1 is not a positive number",
    "--learning-rate 0": "not a positive number",
    "--learning-rate 1e39": "learning_rate of sgdm: 1e+39 is out of float32's range",
    "--learning-rate 1e-50": "out of float32's range",
    "--learning-rate rsgdm=-5": "learning_rate of rsgdm: -5.0 is not a positive number",
    "--learning-rate sgdm=1 sgdm=2": "sgdm is given twice",
    "--learning-rate nan": "nan is not a positive number",
    "--learning-rate fast": "'fast' is not a number",
    "--learning-rate rsgdm=x": "learning_rate of rsgdm: 'x' is not a number",
    "--learning-rate 0.1 0.1": "learning_rate of sgdm: 0.1 is given twice",
    "--learning-rate sgdm=0.1,": "learning_rate of sgdm: '' is not a number",
    "--schedule exponential": "schedule: 'exponential' is unknown; allowed: step, linear, cosine",
    "--warmup-epochs 6": "warmup_epochs: 6 is not below the number of epochs, 6",
    "--warmup-epochs -1": "warmup_epochs: -1 is not a whole number of 0 or more",
    "--evaluate-every 0": "evaluate_every: 0 is not a whole number of 1 or more",
    "--batch-norm new": "batch_norm: 'new' is unknown; allowed: running, reestimated",
    "--learning-rate momentum=0.1": "'momentum' is no arm of this study: sgdm, rsgdm",
    "--baseline adam": "--baseline: 'adam' is no arm; allowed: sgdm, rsgdm, nesterov",
    "--compare sgdm:adam": "--compare: 'adam' is no arm; allowed: sgdm, rsgdm, nesterov",
    "--rates-from nowhere": "nowhere: does not exist",
    "--optimizers adam": "learning_rate: none given for adam",
    "--optimizers lion": "optimizers: 'lion' is unknown; allowed: sgdm, rsgdm",
    "--optimizers sgdm sgdm": "sgdm is given twice",
    "--optimizers sgdm=optax:sgd": "'sgdm' is a built-in optimizer; allowed is NAME=module",
    "--optimizers x=optax": "'x=optax' is not of the form NAME=module:function",
    "--optimizers x=optax:lion(0.9)": "'x=optax:lion(0.9)' is not of the form",
    "--optimizers x=optax:lion(b1=b2)": "is not of the form",
    "--optimizers x=optax:lion(b1=0.9,b1=0.8)": "is not of the form",
    "--optimizers x=optax:lion(**{})": "is not of the form",
    "--optimizers x=optax:lion(learning_rate=1)": "learning_rate is the study's",
    "--optimizers x=optax:lyon": "optax:lyon cannot be imported: module 'optax' has no attribute",
    "--optimizers x=no.such:thing": "no.such:thing cannot be imported: No module named 'no'",
    "--optimizers x=optax:__version__": "optax:__version__ is no function",
    "--optimizers x=optax:lion": "learning_rate: none given for x, only for sgdm, rsgdm, nesterov",
    "--optimizers x=optax:lion(b=1) --learning-rate 1": "x=optax:lion(b=1): lion() got an unexp",
    "--optimizers x=optax:lbfgs --learning-rate 1": "x=optax:lbfgs takes no step on this model",
    "--optimizers x=math:hypot --learning-rate 1": "x=math:hypot: ",
    "--optimizers x=builtins:dict --learning-rate 1": "x=builtins:dict makes dict; an optimizer",
    "--optimizers x=optax:adam sgdm --learning-rate x=1,2 sgdm=3 --compare x:sgdm": (
        "--compare: 'x:sgdm': no learning rate in common; x has 1.0, 2.0, sgdm has 3.0"
    ),
    "--epochs 0": "epochs: 0 is not a whole number of 1 or more",
    "--epochs 1.5": "'1.5' is not a whole number",
    "--halve-every 0": "halve_every: 0",
    "--halve-every 10000000000": "halve_every: 10000000000 is not a whole number",
    "--output=": "output: '' is no folder's name",
    "--output=~no-such-user/study": "'~no-such-user/study': there is no such home folder",
    "--dataset npz:~no-such-user/file": "dataset: '~no-such-user/file': there is no such home",
    "--dataset cifar10 --data-dir=~no-such-user": "data_dir: '~no-such-user': there is no such",
    "--batch-size 0": "batch_size: 0",
    "--batch-size 5000": "batch_size: 5000 is more than the 1348 examples",
    "--seeds 0": "seeds: 0:0 is not A:B with 0 <= A < B <= 2^31",
    "--seeds 5:3": "seeds: 5:3 is not A:B",
    "--seeds=-1:3": "seeds: -1:3 is not A:B",
    "--seeds 1000000000": "makes 3000000000 runs; 10000 are allowed",
    "--seeds one": "seeds: 'one' is not A:B with",
    "--decay 1": "decay: 1.0 is not a number in [0, 1)",
    "--decay -0.5": "decay: -0.5 is not a number in [0, 1)",
    "--weight-decay -1": "weight_decay: -1.0 is not a number of 0 or more",
    "--weight-decay inf": "weight_decay: inf",
    "--learning-rate 1 adam=0.1": "'adam' is no arm of this study: sgdm, rsgdm",
    "--workers 00": "workers: 0 is not auto, none, or a whole",
    "--workers " + "9" * 5000: "workers: '999",
    "--train-examples 3": "train_examples: 3 is out of range",
    "--validation-examples -3": "validation_examples: -3",
    "--lr-convention pytorch": "lr_convention: 'pytorch' is unknown; allowed: ema, heavy_ball",
    "--model vgg": "model: 'vgg' is unknown; allowed: resnet8, resnet18, resnet50",
    "--dataset mnist": "'mnist' is unknown; allowed: cifar10, cifar100, fashion_mnist, digits, npz",
    "--dataset npz:": "dataset: npz: names no file",
    "--dataset npz:file": "file: does not exist",
    "--dataset npz:/": "/: is a folder, not an .npz file",
    "--unverified-archive": "unverified_archive: digits has no archive",
    "--dataset cifar10 --unverified-archive": "no --data-dir is given; expected cifar-10-binary",
    "--dataset cifar10 --data-dir here": "data_dir: here is not a folder",
    "--dataset cifar10 --data-dir / --unverified-archive": "unverified_archive: / holds none",
    "--dtype bfloat16 --tf32": "tf32: is for dtype float32, not bfloat16",
    "--dtype float16": "dtype: 'float16' is unknown",
    "--parallel threads": "parallel: 'threads' is unknown; allowed: jit, pmap",
    "--coordinator here:1": "num_processes: is missing; coordinator, num_processes, process_id are",
    "--coordinator here --num-processes 2 --process-id 0": "coordinator: 'here' is not HOST:PORT",
    f"--coordinator a:{'9' * 5000} --num-processes 2 --process-id 0": "99999' is not HOST:PORT",
    "--coordinator a:1 --num-processes 0 --process-id 0": "num_processes: 0 is not a whole number",
    "--coordinator a:1 --num-processes 2 --process-id 2": "process_id: 2 is not below num_proc",
    "--distributed": "distributed: the processes do not meet: ",
    "--dry-run --distributed": "dry_run: is for the devices of one process, not for several",
    "--data-dir here": "data_dir: digits has no archive; for cifar10, cifar100, fashion_mnist",
    "--preset imagenet": "'imagenet' is unknown; allowed: cifar10, cifar100, fashion_mnist, demo",
    "--preset cifar10": "cifar10: downloading needs no_such_package: pip install -e '.[tfds]'; or",
    "--epoch 3": "unrecognized arguments: --epoch 3",
    "--epochs": "argument --epochs: expected one argument",
    "demo": "unrecognized arguments: demo",
}


@pytest.mark.parametrize("options", BAD)
def test_bad_options(options, no_tfds, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status(cifar, ["--preset", "demo", *options.split()], monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cifar.py: ")
    assert err.count("\n") == 1
    assert BAD[options] in err
    assert not list(tmp_path.iterdir())


def test_the_default_preset_is_cifar10(no_tfds, capsys, monkeypatch):
    assert status(cifar, [], monkeypatch) == 2
    assert "put the official cifar-10-binary.tar.gz or" in capsys.readouterr().err


def test_output_that_cannot_be_made(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("mine")
    options = ["--preset", "demo", "--output", tmp_path / "file" / "study"]
    assert status(cifar, options, monkeypatch) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert str(tmp_path / "file" / "study") in err


def test_help_lists_every_option(capsys, monkeypatch):
    assert status(cifar, "--help", monkeypatch) == 0
    out = capsys.readouterr().out
    for option in (
        *("preset", "dataset", "data-dir", "train-examples", "validation-examples", "model"),
        *("optimizers", "seeds", "epochs", "batch-size", "learning-rate", "lr-convention", "decay"),
        *("weight-decay", "augment", "no-augment", "dtype", "parallel", "distributed", "output"),
        *("coordinator", "num-processes", "process-id"),
        *("unverified-archive", "tf32", "tensorboard", "dry-run", "schedule", "warmup-epochs"),
        *("batch-norm", "evaluate-every", "rates-from", "baseline", "compare"),
    ):
        assert re.search(rf"--{option}\b", out), option


# An é of Latin-1, as Python has it from the command line.
@pytest.mark.parametrize("option", ["--output=", "--dataset=npz:", "--dataset=cifar10 --data-dir="])
def test_a_name_that_is_not_utf8(option, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status(cifar, f"--preset demo {option}caf\udce9", monkeypatch) == 2
    err = capsys.readouterr().err
    assert err.endswith(": 'caf\\udce9': a name in this path is not UTF-8\n")
    assert not list(tmp_path.iterdir())


def test_no_home(tmp_path, capsys, monkeypatch):
    """As in a container whose numeric user has no entry."""

    def getpwuid(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    monkeypatch.delenv("HOME")
    monkeypatch.chdir(tmp_path)
    assert status(cifar, "--preset demo --output=~/study", monkeypatch) == 2
    assert "output: '~/study': there is no such home folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


SMALL = (
    *("--preset", "demo", "--train-examples", "256", "--epochs", "1", "--seeds", "1"),
    *("--optimizers", "sgdm", "rsgdm", "--learning-rate", "rsgdm=0.25", "--workers", "none"),
)


def test_program_as_a_script(tmp_path):
    study = tmp_path / "study"
    done = _run("train/cifar.py", *SMALL, "--output", str(study))
    assert done.returncode == 0, done.stderr
    # No terminal: plain lines on standard error, the table alone on standard output.
    assert "\x1b" not in done.stdout + done.stderr
    assert re.search(
        r"^\[ +1/2\] sgdm-seed0 +epoch +1/1 +train +\d+\.\d\d% +test", done.stderr, re.M
    )
    assert re.search(r"^ +rsgdm +0\.25 +1 ", done.stdout, re.M)
    assert re.search(r"^ +sgdm +1\.6 +1 +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ *$", done.stdout, re.M)
    assert "undecided in test accuracy: 1 pair cannot show anything" in done.stdout
    assert "1 seed cannot show any difference" in done.stderr
    table = (study / "report" / "table.md").read_bytes()
    (study / "report" / "table.md").unlink()
    # From a checkout that is not installed.
    again = _run("-S", "-m", "train.report", str(study), env=not_installed())
    assert again.returncode == 0, again.stderr
    assert (study / "report" / "table.md").read_bytes() == table
    assert again.stdout == done.stdout


@pytest.mark.parametrize(
    ("number", "status", "model", "moment", "delay"),
    [
        (signal.SIGINT, 130, "resnet8", "epoch   1/100000", 0.0),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (signal.SIGTERM, 143, "resnet8", "epoch   1/100000", 0.0),
                # As XLA takes over the program: with ResNet-50 that lasts longer than the delay.
                (signal.SIGTERM, 143, "resnet50", "MLIR module conversion jit(train_step)", 0.05),
                # Well inside the compilation, which takes seconds.
                (signal.SIGINT, 130, "resnet8", "Compiling jit(train_step)", 0.5),
                (signal.SIGTERM, 143, "resnet8", "Compiling jit(train_step)", 0.5),
            )
        ),
    ],
)
def test_interruption(number, status, model, moment, delay, tmp_path):
    options = [
        "--preset",
        "demo",
        "--model",
        model,
        "--epochs",
        "100000",
        "--workers",
        "none",
        "--train-examples",
        "256",
    ]
    options += ["--output", str(tmp_path / "study")]
    environment = dict(os.environ)
    if not moment.startswith("epoch"):
        environment |= {"JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_LOG_COMPILES": "1"}
    process = subprocess.Popen(
        [sys.executable, "train/cifar.py", *options],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    limit = threading.Timer(LIMIT, process.kill)
    limit.start()
    try:
        for line in process.stderr:
            if moment in line:
                threading.Timer(delay, process.send_signal, [number]).start()
                break
        _, err = process.communicate()
    finally:
        process.kill()
        process.wait()
        limit.cancel()
    assert process.returncode == status
    assert "the same command goes on after the last whole epoch" in err.splitlines()[-1]
    assert "Traceback" not in err

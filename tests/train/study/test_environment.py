"""What the environment says must not change a study's numbers, nor end it in a traceback."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import flax
import jax
import numpy as np
import pytest

import rsgdm_optax
from tests.train import outcomes
from tests.train.commands import not_installed
from tests.train.conftest import run_study, small
from train.common import jax_settings
from train.common.errors import InputError
from train.common.variables import blamed
from train.engine import backend
from train.runs import environment

ROOT = Path(__file__).parents[3]
LIMIT = 300  # seconds, to end a hang

# Each of these changed a study's numbers, or ended it in a traceback.
HOSTILE = {
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_DISABLE_JIT": "1",
    "JAX_ALLOW_F16_REDUCTIONS": "0",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_DEBUG_NANS": "1",
    "JAX_DEBUG_INFS": "1",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_CHECK_TRACER_LEAKS": "1",
    "JAX_NO_TRACING": "1",
    "JAX_NO_EXECUTION": "1",
    "JAX_TRANSFER_GUARD": "disallow",
    # A terminal that can nothing, in a locale that knows no Greek.
    "TERM": "dumb",
    "COLUMNS": "0",
    "PYTHONIOENCODING": "ascii:strict",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "LC_ALL": "C",
    # Another repository.
    "GIT_DIR": "/nowhere",
}


@pytest.mark.slow
def test_the_environment_changes_no_number(trained, tmp_path):
    """From a checkout that is not installed, among packages of the user's own of our names."""
    for name in ("train", "rsgdm_optax", "command"):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "__init__.py").write_text("raise Exception('not this one')")
    options = """--preset demo --optimizers rsgdm sgdm --seeds 1 --epochs 2 --halve-every 1
        --train-examples 256 --learning-rate rsgdm=0.5 sgdm=1e30 --schedule step
        --batch-norm running --evaluate-every 1 --workers none --output study"""
    done = subprocess.run(
        [sys.executable, "-S", ROOT / "train" / "cifar.py", *options.split()],
        cwd=tmp_path,
        env=not_installed(tmp_path / "own") | HOSTILE,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "sgdm-seed0 diverged: the loss was not finite at step" in done.stderr
    assert "0 + 1 diverged" in done.stdout
    run = tmp_path / "study" / "rsgdm-seed0"
    for mine, theirs in zip(
        outcomes.metrics(run), outcomes.metrics(trained / "rsgdm-seed0"), strict=True
    ):
        # Rounding differs where JAX divides the processor among eight devices, as in these tests.
        assert mine == pytest.approx(theirs, rel=1e-5)
    (entry,) = json.loads((run / "environment.json").read_text())
    (here,) = json.loads((trained / "rsgdm-seed0" / "environment.json").read_text())
    assert entry["commit"] == here["commit"]
    assert entry["packages"] == here["packages"]


def test_from_python_another_setting_is_refused(tmp_path, x64):
    with pytest.raises(InputError, match=r"^jax_enable_x64: True; a study's numbers are of False"):
        run_study(small(tmp_path / "study"))
    assert not (tmp_path / "study").exists()


def test_every_setting_is_set():
    settings = jax_settings.NUMBERS | jax_settings.CHECKS
    before = {name: value for name, value in jax.config.values.items() if name in settings}
    # A guard has three; the last is no setting: every product here has its own precision.
    others = {"jax_transfer_guard", "jax_default_matmul_precision"}
    hostile = {name.lower() for name in HOSTILE if name.startswith("JAX_")}
    assert hostile - others <= settings.keys()
    # JAX's own defaults, which the library's tests have too; a guard that is not set allows all.
    assert all(value in (settings[name], None) for name, value in before.items())
    try:
        for name in before:
            text = HOSTILE["JAX_TRANSFER_GUARD" if "guard" in name else name.upper()]
            jax.config.update(name, int(text) if text.isdigit() else text)
        jax_settings.configure()
        assert {name: jax.config.values[name] for name in before} == {
            name: settings[name] for name in before
        }
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("no CUDA\nat all")])
def test_a_backend_that_does_not_start(error, monkeypatch):
    def fail(_kind):
        raise error

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(InputError, match=r"^JAX_PLATFORMS=cuda: JAX cannot start: no .*"):
        backend.devices()
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "0")
    with pytest.raises(InputError, match=r"^JAX_NUM_CPU_DEVICES=0: JAX cannot start: no"):
        backend.devices()
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES")
    with pytest.raises(InputError, match=r"^JAX cannot start: no"):
        backend.devices()


def test_a_platform_that_is_not_there():
    code = """
from train.common import entrypoint
def main():
    from train.engine import backend
    return len(backend.devices())
entrypoint.run("program.py", main)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "nonsense"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("program.py: JAX_PLATFORMS=nonsense: JAX cannot start: ")
    assert done.stderr.count("\n") == 1


def test_flags_that_xla_does_not_know(monkeypatch):
    backend.check_xla_flags.cache_clear()
    monkeypatch.setenv("XLA_FLAGS", "--xla_no_such_flag=1")
    with pytest.raises(InputError, match=r"^XLA_FLAGS=--xla_no_such_flag=1: Unknown flag"):
        backend.devices()
    backend.check_xla_flags.cache_clear()


def test_variables_that_a_text_is_about(monkeypatch):
    for name in [name for name in os.environ if name.startswith("JAX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("JAX_ENABLE_X64", "maybe")
    monkeypatch.setenv("JAX_LOG_COMPILES", "1")
    assert blamed("invalid truth value 'maybe'") == "JAX_ENABLE_X64=maybe"
    assert blamed('Invalid value "1" for flag jax_log_compiles') == "JAX_LOG_COMPILES=1"
    assert blamed("no room for 1 file") == ""


# --- What is recorded.


def test_versions_are_the_packages_own(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    entry = environment.environment(
        devices=jax.devices()[:1], parallel="jit", matmul_precision="float32", convolution="xla"
    )
    own = {"rsgdm_optax": rsgdm_optax, "jax": jax, "flax": flax, "numpy": np}
    assert entry["packages"].items() >= {n: m.__version__ for n, m in own.items()}.items()


def _git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false")
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        ["git", *name, *words], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commit_is_this_checkouts_or_none(tmp_path, monkeypatch):
    checkout = tmp_path / "around" / "checkout"
    checkout.mkdir(parents=True)
    _git(tmp_path / "around", "init", "-q")
    _git(tmp_path / "around", "commit", "-q", "--allow-empty", "-m", "theirs")
    assert environment.commit(checkout) is None
    assert environment.commit(tmp_path) is None  # no repository at all

    (checkout / "file").write_text("1")
    _git(checkout, "init", "-q")
    _git(checkout, "add", "file")
    _git(checkout, "commit", "-q", "-m", "ours")
    ours = _git(checkout, "rev-parse", "HEAD")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "around" / ".git"))
    assert environment.commit(checkout) == ours
    (tmp_path / "link").symlink_to(checkout)
    assert environment.commit(tmp_path / "link") == ours
    (checkout / "file").write_text("2")
    assert environment.commit(checkout) == f"{ours}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))  # without git
    assert environment.commit(checkout) is None

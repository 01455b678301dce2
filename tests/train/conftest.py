"""One small study, trained once a session; tests that change it work on a copy."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import jax
import pytest

from tests.train.made_up import PLAIN, write_run
from tests.train.networks import SMALLEST
from train.data import tfds
from train.data.dataset import Dataset
from train.engine.epochs import Trainer
from train.models.resnet import MODELS
from train.report.report import Report
from train.study import runner
from train.study.config import Config
from train.study.presets import PRESETS

# Needs TensorFlow, which has an environment of its own: `make test-tfds`.
collect_ignore = [] if find_spec("tensorflow_datasets") else ["data/test_tfds.py"]

# The same few programs are compiled by many tests, here and in child processes.
_CACHE = Path(__file__).parents[2] / ".cache" / "jax"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_CACHE)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def small(output: Path | str, **changes) -> Config:
    """A study of seconds: 256 digits, two epochs."""
    defaults = PLAIN | {
        "optimizers": ("sgdm", "rsgdm"),
        "seeds": (0, 2),
        "epochs": 2,
        "halve_every": 1,
        "train_examples": 256,
        "learning_rate": 0.5,
        "checkpoint_every": 1,
        "workers": None,
    }
    return PRESETS["demo"].replace(output=str(output), **defaults | changes)


def one_device() -> tuple[jax.Device, ...]:
    """Of the eight virtual devices training uses one; test_parallel.py has children for more."""
    return tuple(jax.devices()[:1])


def run_study(config: Config, **options) -> Report:
    """A study on one device."""
    return runner.run_study(config, **{"devices": one_device()} | options)


def check_study(config: Config) -> Dataset:
    """What makes a study impossible, on one device."""
    return runner.check_study(config, one_device())


@pytest.fixture
def cache(tmp_path_factory, monkeypatch) -> Path:
    """The folder of decoded arrays, empty and this test's own."""
    home = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home / "rsgdm_optax"


@pytest.fixture
def no_tfds(cache, monkeypatch):
    """As if tensorflow-datasets were not installed: no test is to reach for the network."""
    monkeypatch.setattr(tfds, "_NEEDED", ("no_such_package",))


@pytest.fixture(scope="module")
def quick_studies():
    """One trainer of a small network for a file's studies; and no report: it takes longer.

    Not for a file that uses `trained`.
    """
    trainers: dict[tuple, Trainer] = {}

    def trainer(dataset: Dataset, **options) -> Trainer:
        key = (dataset.fingerprint, len(dataset.train), dataset.evaluation_name)
        if key not in trainers:
            trainers[key] = Trainer(dataset, **options)
        return trainers[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "resnet8", SMALLEST)
        patch.setattr(runner, "Trainer", trainer)
        patch.setattr("train.report.report.build_report", lambda *_, **__: None)
        yield


@pytest.fixture(scope="package")
def trained(tmp_path_factory) -> Path:
    """The folder of a finished small study. Read only."""
    assert MODELS["resnet8"] is not SMALLEST
    study = tmp_path_factory.mktemp("trained") / "study"
    run_study(small(study))
    return study


@pytest.fixture
def study(trained, tmp_path) -> Path:
    """A copy of the finished small study."""
    return Path(shutil.copytree(trained, tmp_path / "study"))


@pytest.fixture
def made_up_study(tmp_path) -> Path:
    """Two optimizers × two seeds, whose figures are made up."""
    for seed in (0, 1):
        for optimizer in ("sgdm", "rsgdm"):
            write_run(tmp_path / "study", optimizer, seed, 0.75 + seed / 8)
    return tmp_path / "study"


@pytest.fixture
def no_pictures(monkeypatch):
    """Figures are drawn, but not rendered: that takes most of a report's time."""
    monkeypatch.setattr("train.report.figures.render", lambda *_: b"a picture")


def pytest_terminal_summary(terminalreporter):
    """Prints the table of `make faults`."""
    from tests.train.study.test_faults import OUTCOMES

    for (what, outcome), count in sorted(OUTCOMES.items()):
        terminalreporter.write_line(f"| {what} | {count} | {outcome} |")

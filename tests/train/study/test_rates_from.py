"""Rates of a study from another one, of validation examples: `--rates-from`."""

import json
import shutil

import pytest

from tests.train.conftest import run_study, small
from tests.train.made_up import write_run
from train.common.errors import InputError
from train.report.pack import pack
from train.runs.settings import RunConfig
from train.study.cli import parse
from train.study.rates_from import check_source, rates_from

RATES = {"sgdm": 0.5, "rsgdm": 0.25}  # the best ones


def _tuning(folder, arms=tuple(RATES), ahead=0.01, **settings):
    for arm in arms:
        for rate in (0.125, 0.25, 0.5, 1.0):
            for seed in range(2):
                accuracy = 0.5 + seed / 10 + (ahead if rate == RATES[arm] else 0)
                given = {"validation_examples": 50, "learning_rate": rate} | settings
                write_run(folder, arm, seed, accuracy, **given)
    return folder


def _parse(tuning, *words):
    options = ["--preset", "demo", "--optimizers", *RATES, "--rates-from", str(tuning), *words]
    return parse(options).config


def test_the_best_rate_of_each_arm(tmp_path):
    tuning = _tuning(tmp_path / "tuning")
    pack([tuning], tmp_path / "packed.json")
    for path in (tuning, tmp_path / "packed.json"):
        study = _parse(path).study
        assert {arm: study.rates(arm) for arm in RATES} == {"sgdm": (0.5,), "rsgdm": (0.25,)}
        assert study.rates_from == str(path)
    # An arm that is not asked for does no harm.
    assert _parse(tuning, "--optimizers", "rsgdm").study.learning_rate == {"rsgdm": (0.25,)}


@pytest.mark.parametrize(
    ("settings", "words", "why"),
    [
        ({"validation_examples": 0}, "", "was evaluated on test data"),
        ({"dataset": "cifar10"}, "", "has dataset cifar10, this study digits"),
        ({}, "--model resnet18", "has model resnet8, this study resnet18"),
        ({}, "--lr-convention heavy_ball", "has lr_convention ema, this study heavy_ball"),
        ({}, "--optimizers sgdm nesterov", "lacks nesterov; it has sgdm, rsgdm"),
        ({"optimizer": "optax:lion"}, "", "its sgdm is optax:lion, this study's sgdm"),
        ({"arms": ("sgdm",), "ahead": None}, "--optimizers sgdm", "no rate of sgdm has all"),
        ({}, "--learning-rate 0.1", "not together with learning_rate"),
    ],
)
def test_what_rates_are_not_taken_from(settings, words, why, tmp_path):
    ahead = settings.pop("ahead", 0.01)
    tuning = tmp_path / "tuning"
    if ahead is None:
        for seed in range(2):
            given = {"validation_examples": 50, "learning_rate": 0.5}
            write_run(tuning, "sgdm", seed, None if seed else 0.5, **given)
    else:
        _tuning(tuning, **settings)
    with pytest.raises(InputError, match=f"^rates_from: .*{why}") as caught:
        _parse(tuning, *words.split())
    assert "\n" not in str(caught.value)


def test_a_study_that_is_not_finished(tmp_path):
    tuning = _tuning(tmp_path / "tuning")
    last = tuning / "sgdm-rate1.0-seed1"
    (last / "result.json").unlink()
    with pytest.raises(InputError, match=r"tuning is not finished, 1 run left; the command that"):
        _parse(tuning)
    # Stopped between two runs; then with other seeds at one rate than at the others.
    shutil.rmtree(last)
    assert _parse(tuning).study.rates("sgdm") == (0.5,)
    shutil.rmtree(tuning / "sgdm-rate1.0-seed0")
    given = {"validation_examples": 50, "learning_rate": 1.0}
    write_run(tuning, "sgdm", 5, 0.5, **given)
    with pytest.raises(InputError, match=r"tuning: no seed of sgdm ran at every rate"):
        _parse(tuning)


def test_another_file_under_the_same_name(tmp_path):
    tuning = _tuning(tmp_path / "tuning", dataset="npz:mine.npz", data="0123")
    config = _parse(tuning, "--dataset", "npz:/elsewhere/mine.npz")
    runs: list[RunConfig] = config.runs("0123")
    check_source(config, runs[0])
    with pytest.raises(InputError, match="has data 0123, this study 4567"):
        check_source(config, config.runs("4567")[0])
    shutil.rmtree(tuning)
    check_source(config.replace(rates_from=None), runs[0])


def test_runs_say_where_their_rates_come_from(quick_studies, tmp_path, monkeypatch):
    one = small(tmp_path / "study", optimizers=("sgdm",), seeds=(0, 1), epochs=1)
    tuning = tmp_path / "tuning"
    run_study(one.replace(output=str(tuning), learning_rate=(0.25, 0.5), validation_examples=50))
    asked = {}
    ask = "train.report.report.build_report"
    monkeypatch.setattr(ask, lambda _, **options: asked.update(options))
    rates = rates_from(tuning, one)
    both = one.replace(learning_rate=rates, rates_from=str(tuning), baseline="sgdm")
    run_study(both)
    # From Python, too, rates are what they are said to be.
    with pytest.raises(InputError, match=r"^learning_rate of sgdm: \(2\.0,\) is not what rates"):
        run_study(both.replace(learning_rate=2.0, output=str(tmp_path / "other")))
    assert not (tmp_path / "other").exists()
    assert asked == {"baseline": "sgdm", "compare": None}
    run = tmp_path / "study" / "sgdm-seed0"
    (environment,) = json.loads((run / "environment.json").read_text())
    assert environment["rates_from"] == str(tuning)
    assert json.loads((run / "config.json").read_text())["learning_rate"] in (0.25, 0.5)
    (environment,) = json.loads((tuning / "sgdm-rate0.5-seed0" / "environment.json").read_text())
    assert "rates_from" not in environment

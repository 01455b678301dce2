"""A whole study: the files it writes, and what a second call does."""

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest

from tests.train.conftest import run_study, small
from tests.train.documents import same_drawing, shown_by
from tests.train.study_files import snapshot
from train.common.errors import InputError
from train.report.report import build_report
from train.runs.formats import FORMAT
from train.runs.lock import locked
from train.runs.settings import RunConfig
from train.study import runner as train_study
from train.study.cli import parse
from train.study.presets import PRESETS

RUNS = {"sgdm-seed0", "sgdm-seed1", "rsgdm-seed0", "rsgdm-seed1"}
FIGURES = {
    f"{split}_{what}.{suffix}"
    for split in ("train", "test")
    for what in ("accuracy", "loss")
    for suffix in ("png", "svg")
}
DIFFERENCES = {"differences.png", "differences.svg"}


def _lines(study, run):
    return [json.loads(line) for line in (study / run / "metrics.jsonl").read_text().splitlines()]


def _json(path):
    def no_constants(name):
        raise AssertionError(f"{name} in {path}")

    return json.loads(path.read_text(), parse_constant=no_constants)


def test_folders_and_files(trained):
    assert {path.name for path in trained.iterdir()} == RUNS | {"report", ".lock"}
    for run in RUNS:
        files = {path.name for path in (trained / run).iterdir()}
        written = {"config.json", "environment.json", "metrics.jsonl", "result.json"}
        assert files == written | {"checkpoints", ".lock"}
    files = {path.name for path in (trained / "report").iterdir()}
    assert files == FIGURES | DIFFERENCES | {"table.md", "results.json"}


def test_metrics(trained):
    for run in RUNS:
        lines = _lines(trained, run)
        assert [line["epoch"] for line in lines] == [1, 2]
        assert [line["step"] for line in lines] == [2, 4]
        assert [line["format"] for line in lines] == [FORMAT, FORMAT]
        assert [line["alpha"] for line in lines] == [0.5, 0.25]
        for line in lines:
            assert set(line) == {
                *("format", "epoch", "step", "alpha", "train_loss", "train_accuracy"),
                *("test_loss", "test_accuracy", "images_per_second"),
            }
            assert 0 <= line["test_accuracy"] <= 1
            assert line["train_accuracy"] * 256 == pytest.approx(
                round(line["train_accuracy"] * 256)
            )


def test_result_is_the_last_epoch(trained):
    for run in RUNS:
        result = _json(trained / run / "result.json")
        assert result["status"] == "done"
        assert result.items() >= _lines(trained, run)[-1].items()
        assert result["clean_train_accuracy"] * 256 == pytest.approx(
            round(result["clean_train_accuracy"] * 256)
        )
        assert result["clean_train_loss"] > 0


def test_config_holds_every_setting_of_the_run(trained):
    config = _json(trained / "rsgdm-seed1" / "config.json")
    assert config.pop("format") == FORMAT
    run = RunConfig(**config)
    assert (run.name, run.epochs, run.train_examples) == ("rsgdm-seed1", 2, 256)
    assert config["weight_decay"] == 5e-4


def test_environment_names_versions_and_device(trained):
    (entry,) = _json(trained / "sgdm-seed0" / "environment.json")
    assert {"jax", "flax", "optax", "rsgdm_optax"} <= entry["packages"].keys()
    assert entry["backend"] == "cpu"


def test_runs_of_a_seed_are_paired(trained):
    # m₁ = (1−β)·g₁ = n₁: until the second update, hence over both batches of the first epoch,
    # SGDM and RSGDM have the same weights, up to rounding.
    first, second = ({run: _lines(trained, run)[k]["train_loss"] for run in RUNS} for k in (0, 1))
    assert first["sgdm-seed0"] == pytest.approx(first["rsgdm-seed0"], rel=1e-6)
    assert abs(second["sgdm-seed0"] - second["rsgdm-seed0"]) > 1e-5
    assert abs(first["sgdm-seed0"] - first["sgdm-seed1"]) > 1e-4


def test_the_same_command_repeats_nothing_and_rebuilds_the_report(study):
    before = snapshot(study)
    shown = {path: shown_by(study / path) for path in before if path.suffix == ".svg"}
    shutil.rmtree(study / "report")
    run_study(small(study))
    after = snapshot(study)
    assert after.keys() == before.keys()
    pictures = {path for path in before if path.suffix in (".png", ".svg")}
    assert all(after[path] == before[path] for path in before.keys() - pictures)
    assert all(same_drawing(shown_by(study / path), numbers) for path, numbers in shown.items())


@pytest.mark.slow
def test_the_home_folder_is_the_shells(study, tmp_path, monkeypatch):
    before = snapshot(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    run_study(small("~/study"))  # the same study, which is done
    assert snapshot(tmp_path) == before
    config = parse(["--output=~/study", "--dataset=npz:~/a.npz", "--data-dir=~"]).config
    assert config.execution.output == str(study)
    assert config.run.dataset == f"npz:{tmp_path / 'a.npz'}"
    assert config.execution.data_dir == str(tmp_path)
    assert config.replace(output="study~").execution.output == "study~"


@pytest.mark.usefixtures("no_pictures")
def test_an_unfinished_run_is_done_again_exactly(study):
    before = snapshot(study)
    result = study / "rsgdm-seed1" / "result.json"
    result.unlink()
    metrics = study / "rsgdm-seed1" / "metrics.jsonl"
    metrics.write_text(metrics.read_text().splitlines()[0][:40])
    run_study(small(study))
    after = snapshot(study)

    def timeless(text):
        return [
            {k: v for k, v in json.loads(line).items() if k != "images_per_second"}
            for line in text.decode().splitlines()
        ]

    for path, content in before.items():
        if path.parts[0] == "report" or path.name == "environment.json":
            continue
        if path.parent.name == "rsgdm-seed1" and path.name == "metrics.jsonl":
            assert timeless(after[path]) == timeless(content)
        elif path.parent.name == "rsgdm-seed1" and path.name == "result.json":
            old, new = json.loads(content), json.loads(after[path])
            assert old | {"images_per_second": 0} == new | {"images_per_second": 0}
        else:
            assert after[path] == content
    assert len(_json(study / "rsgdm-seed1" / "environment.json")) == 2


@pytest.mark.usefixtures("no_pictures")
def test_more_optimizers_and_seeds_extend_a_study(study):
    before = snapshot(study)
    report = run_study(small(study, optimizers=("nesterov",), seeds=(1, 2)))
    after = snapshot(study)
    assert all(after[path] == before[path] for path in before if path.parts[0] != "report")
    assert [(row.arm, row.n) for row in report.tables[0].rows] == [
        *(("sgdm", 2), ("rsgdm", 2), ("nesterov", 1)),
    ]
    assert [each.difference.n for each in report.tables[0].comparisons[:2]] == [2, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_what_another_process_did_before_the_lock_was_ours(study, monkeypatch):
    """As if it had trained in an empty folder between our look at it and our lock."""
    elsewhere = study.with_name("elsewhere")
    before = snapshot(study)

    @contextmanager
    def late(folder):
        with locked(folder):
            shutil.copytree(study, folder, dirs_exist_ok=True)
            yield

    monkeypatch.setattr(train_study, "locked", late)
    with pytest.raises(InputError, match="another study, with epochs 2"):
        run_study(small(elsewhere, epochs=3))
    shutil.rmtree(elsewhere)
    run_study(small(elsewhere))  # trains nothing anew
    assert {path for path, old in before.items() if snapshot(elsewhere)[path] != old} <= {
        path for path in before if path.parts[0] in ("report", ".lock")
    }


@pytest.mark.slow
def test_rates_of_single_optimizers_extend_a_study(study):
    rates = {"sgdm": 0.5, "sgd": 0.1}
    run_study(small(study, optimizers=("sgd",), seeds=(0, 1), learning_rate=rates))


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_a_run_that_was_stopped_before_its_first_file_is_done(study):
    shutil.rmtree(study / "rsgdm-seed1")
    (study / "rsgdm-seed1").mkdir()
    (study / "rsgdm-seed1" / ".config.json.partial").write_text('{"data')
    report = run_study(small(study))
    assert [row.n for row in report.tables[0].rows] == [2, 2]


def test_report_numbers_are_the_runs(trained):
    (results,) = _json(trained / "report" / "results.json")["tables"]
    by_name = {row["arm"]: row for row in results["rows"]}
    accuracy = {
        name: [_lines(trained, f"{name}-seed{seed}")[-1]["test_accuracy"] for seed in (0, 1)]
        for name in ("sgdm", "rsgdm")
    }
    for name, values in accuracy.items():
        assert by_name[name]["n"] == 2
        assert by_name[name]["spreads"]["test accuracy"]["mean"] == pytest.approx(np.mean(values))
        assert by_name[name]["spreads"]["test accuracy"]["std"] == pytest.approx(
            np.std(values, ddof=1)
        )
    difference = np.subtract(accuracy["rsgdm"], accuracy["sgdm"]).mean()
    comparison = results["comparisons"][0]
    assert comparison["difference"]["mean"] == pytest.approx(difference)
    assert comparison["p"] in (0.5, 1)  # two pairs
    table = (trained / "report" / "table.md").read_text()
    assert f"{100 * np.mean(accuracy['rsgdm']):.2f} ± " in table
    assert f"{100 * difference:+.2f} (2 pairs cannot show anything at 95 %)" in table


def test_figures_are_pictures_of_every_optimizer(trained):
    for name in FIGURES:
        content = (trained / "report" / name).read_bytes()
        if name.endswith("png"):
            assert content.startswith(b"\x89PNG")
        else:
            assert b"rsgdm (n = 2)" in content
            assert b"Epoch" in content


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_divergence_is_recorded_and_the_study_goes_on(tmp_path):
    rates = {"sgdm": 1e30, "rsgdm": 0.5}
    study = tmp_path / "diverging"
    report = run_study(small(study, seeds=(0, 1), learning_rate=rates))
    result = _json(study / "sgdm-seed0" / "result.json")
    assert result["status"] == "diverged"
    assert result["epoch"] == len(_lines(study, "sgdm-seed0"))
    assert 2 * result["epoch"] - 1 <= result["step"] <= 2 * result["epoch"]
    assert None in _lines(study, "sgdm-seed0")[-1].values()
    assert _json(study / "rsgdm-seed0" / "result.json")["status"] == "done"
    assert report.diverged == 1
    assert "0 + 1 diverged" in (study / "report" / "table.md").read_text()
    assert build_report(study) == report


@pytest.mark.slow
def test_validation_examples_leave_the_test_set_alone(tmp_path):
    study = tmp_path / "study"
    run_study(small(study, seeds=(0, 1), optimizers=("rsgdm",), validation_examples=100))
    assert not any("test" in key for key in _lines(study, "rsgdm-seed0")[0])
    assert (study / "report" / "validation_loss.svg").is_file()


def test_a_function_after_each_epoch_is_not_called_by_workers(tmp_path):
    config = small(tmp_path / "study").replace(workers=2)
    with pytest.raises(InputError, match=r"^after_epoch: .*workers=None$"):
        run_study(config, after_epoch=lambda *_: None)
    assert not (tmp_path / "study").exists()


def test_presets_are_the_papers():
    for name, model in (("cifar10", "resnet18"), ("cifar100", "resnet50")):
        preset = PRESETS[name]
        run, study = preset.run, preset.study
        assert (run.dataset, run.model, study.optimizers) == (name, model, ("sgdm", "rsgdm"))
        assert (run.epochs, run.schedule, run.halve_every) == (200, "step", 50)
        assert (run.batch_size, run.decay, run.weight_decay) == (128, 0.9, 5e-4)
        assert (run.lr_convention, run.batch_norm) == ("ema", "running")
        assert (study.seeds, study.rates("sgdm"), study.rates("rsgdm")) == ((0, 1), *[(0.01,)] * 2)

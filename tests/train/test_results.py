"""`make results`: documents say what results/ holds, and notice when it changes."""

import itertools
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.train.made_up import write_run
from train import command
from train.config import PRESETS
from train.errors import InputError
from train.tune import best_rates

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
import make_results  # noqa: E402
from result_files import Results  # noqa: E402

MARKED = "# Title\n\n<!-- results: {} -->\nold text\n<!-- end of results -->\n\nThe end.\n"


@pytest.fixture
def checkout(tmp_path):
    """Documents that ask for every block."""
    folder = tmp_path / "checkout"
    (folder / "docs").mkdir(parents=True)
    (folder / "README.md").write_text(MARKED.format("summary"))
    blocks = ("studies", "last epochs", "tuning", "straying", "correction")
    (folder / "docs" / "results.md").write_text("".join(MARKED.format(name) for name in blocks))
    return folder


def _set_accuracy(run, accuracy):
    """Gives a finished run another accuracy after its first epoch, which is not what counts."""
    first, last = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    line = json.loads(first) | {"test_accuracy": accuracy}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n" + last)


def _study(folder, ahead=0.01, seeds=range(8), **settings):
    for seed, optimizer in itertools.product(seeds, ("sgdm", "rsgdm")):
        accuracy = 0.9 + seed / 1000 + (ahead + seed % 2 / 1000 if optimizer == "rsgdm" else 0)
        write_run(folder, optimizer, seed, accuracy, **settings)
    return folder


def _all(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _is_same(before, after):
    """Whether two files say the same: figures of two matplotlibs by their data's mark."""
    drawn_by = [re.findall(rb"Matplotlib v[\w.]+", content) for content in (before, after)]
    if drawn_by[0] == drawn_by[1]:
        return before == after
    mark = rb"<dc:description>(\w{64})</dc:description>"
    return re.findall(mark, before) == re.findall(mark, after)


def test_documents_are_what_the_results_say(tmp_path):
    committed = tmp_path / "committed"
    for name in make_results.DOCUMENTS:
        (committed / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, committed / name)
    shutil.copytree(ROOT / make_results.FIGURES, committed / make_results.FIGURES)
    renewed = Path(shutil.copytree(committed, tmp_path / "renewed"))
    make_results.make_results(ROOT / "results", renewed)
    before, after = _all(committed), _all(renewed)
    assert before.keys() == after.keys(), "run `make results`"
    for name, content in before.items():
        assert _is_same(content, after[name]), f"{name}: run `make results`"


def test_another_matplotlib_draws_the_same_data_otherwise():
    figure = (ROOT / make_results.FIGURES / "differences.svg").read_bytes()
    older = re.sub(rb"Matplotlib v[\w.]+", b"Matplotlib v3.9.0", figure) + b"<!-- other -->"
    assert older.count(b"v3.9.0") == 1
    assert _is_same(older, figure)
    mark = re.search(rb"<dc:description>(\w{64})<", figure)[1]
    assert not _is_same(older.replace(mark, mark[::-1]), figure)
    assert not _is_same(figure + b"<!-- other -->", figure)


def test_of_equal_mean_accuracies_the_one_of_lower_loss_is_best(tmp_path):
    assert (0.7 + 0.1) / 2 < (0.6 + 0.2) / 2  # in the last bit
    for rate, accuracies, loss in ((0.5, (0.7, 0.1), 0.5), (1.0, (0.6, 0.2), 0.6)):
        for seed, accuracy in enumerate(accuracies):
            folder = tmp_path / "tuning" / "digits" / f"rate-{rate}"
            settings = {"learning_rate": rate, "validation_examples": 50}
            write_run(folder, "sgdm", seed, accuracy, loss=loss, **settings)
    by_rate = Results(tmp_path).tuning["tuning/digits"]
    tables = [study.table for study in by_rate.values()]
    assert best_rates(list(by_rate), tables) == {"sgdm": 0.5}


def test_the_preset_has_the_best_rates_of_the_grid():
    by_rate = Results(ROOT / "results").tuning["tuning/fashion_mnist"]
    tables = [study.table for study in by_rate.values()]
    assert all(table.evaluation == "validation" for table in tables)
    assert PRESETS["fashion_mnist"].learning_rate == best_rates(list(by_rate), tables)


def test_documents_show_every_block_but_what_they_need_not():
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in make_results.DOCUMENTS]
    shown = re.findall(r"<!-- results: (.+?) -->", "".join(texts))
    assert set(shown) == set(make_results.BLOCKS)


def test_studies_become_tables_verdicts_and_figures(tmp_path, checkout):
    results = tmp_path / "results"
    _study(results / "digits" / "tuned")
    _study(results / "fashion" / "ema", ahead=0.0)
    write_run(results / "fashion" / "ema", "rsgdm", 8, None)
    for rate in (0.5, 0.125):
        folder = results / "tuning" / "digits" / f"rate-{rate}"
        _study(folder, seeds=range(2), learning_rate=rate, validation_examples=50)
    (results / "empty" / "sgdm-seed0").mkdir(parents=True)
    make_results.make_results(results, checkout)
    readme = (checkout / "README.md").read_text()
    assert readme.startswith("# Title\n\n<!-- results: summary -->\n| study | optimizer |")
    assert readme.endswith("<!-- end of results -->\n\nThe end.\n")
    assert "old text" not in readme
    # Differences of 10, 11, 10, 11, ... thousandths: t of 7 degrees at 97.5 % is 2.364624.
    assert (
        "| digits/tuned | rsgdm | 0.5 | 8 | 91.40 ± 0.26 | +1.05 [+1.01, +1.09] | "
        "better; beyond the margin |"
    ) in readme
    assert "| fashion/ema | rsgdm | 0.5 | 8 + 1 diverged |" in readme
    text = (checkout / "docs" / "results.md").read_text()
    assert "### digits/tuned\n\n| optimizer |" in text
    assert "- rsgdm − sgdm (test accuracy, margin ±0.3 points): better; size beyond the" in text
    tuning = text[text.index("<!-- results: tuning -->") :]
    assert "### tuning/digits\n\n| rate | sgdm | rsgdm |\n| --- | --- | --- |\n| 0.125 |" in tuning
    assert text.count("*Nothing has been run yet.*") == 2
    assert "| fashion/ema | rsgdm − sgdm | +0.05, +0.05 | +0.05 [" in text  # the diverged is out
    assert "empty" not in text
    for document, content in (("README.md", readme), ("docs/results.md", text)):
        links = re.findall(r"\]\(([^)]+\.svg)\)", content)
        assert links
        for link in links:
            assert ((checkout / document).parent / link).is_file()


def test_rsgdm_stands_beside_nesterov_where_they_had_one_rate(tmp_path, checkout):
    results = tmp_path / "results"
    for folder, rate in (("one", 0.5), ("two", 0.25)):
        for seed, ahead in enumerate((0.01, 0.02, 0.03)):
            write_run(results / folder, "rsgdm", seed, 0.9 + ahead, loss=0.5)
            write_run(
                results / folder, "nesterov", seed, 0.9, loss=0.25 + ahead, learning_rate=rate
            )
    make_results.make_results(results, checkout)
    text = (checkout / "docs" / "results.md").read_text()
    # Of 1, 2, 3: mean 2, standard error 1/√3; t of 2 degrees at 97.5 % is 4.302653.
    line = (
        "rsgdm − nesterov, at one rate, 3 pairs, not tested: +2.00 [-0.48, +4.48] points of "
        "accuracy, +0.2300 [+0.2052, +0.2548] in loss."
    )
    assert text.count(line) == text.count("rsgdm − nesterov, at") == 1
    assert text.index("### one") < text.index(line) < text.index("### two")


def test_epochs_at_the_last_rate_stand_beside_the_last(tmp_path, checkout):
    results = tmp_path / "results"
    for folder, halve_every in (("all", 2), ("one", 1)):
        for seed in range(3):
            for optimizer, accuracy in (("rsgdm", 0.9), ("sgdm", 0.8), ("nesterov", 0.7)):
                write_run(results / folder, optimizer, seed, accuracy, halve_every=halve_every)
            _set_accuracy(results / folder / f"sgdm-seed{seed}", 0.8 - (seed + 1) / 100)
    make_results.make_results(results, checkout)
    text = (checkout / "docs" / "results.md").read_text()
    assert "| all | 1 to 2 | 2.00 (3.00) | 0.00 (0.00) | 0.00 (0.00) |" in text
    assert "| one | 2 | 0.00 (0.00) | 0.00 (0.00) | 0.00 (0.00) |" in text
    # The epochs' means are ahead by 10.5, 11, 11.5: t of 2 degrees, 4.302653, times 0.5/√3.
    assert "| all | rsgdm − sgdm | +12.00, +10.00 | +11.00 [+9.76, +12.24] |" in text
    assert "| all | nesterov − sgdm | -8.00, -10.00 | -9.00 [-10.24, -7.76] |" in text
    assert "| all | rsgdm − nesterov | +20.00, +20.00 | +20.00 (all alike) |" in text
    assert "| one | rsgdm − sgdm | +10.00 | +10.00 (all alike) |" in text


def test_every_changed_number_is_noticed(tmp_path, checkout):
    results = tmp_path / "results"
    study = _study(results / "digits" / "tuned")
    make_results.make_results(results, checkout)
    before = _all(checkout)
    make_results.make_results(results, checkout)
    assert _all(checkout) == before
    run = study / "rsgdm-seed3"
    metrics, result = (run / name for name in ("metrics.jsonl", "result.json"))
    # An earlier epoch stands in a figure, and beside the last.
    lines = metrics.read_text().splitlines(keepends=True)
    accuracy = json.loads(lines[0])["test_accuracy"]
    _set_accuracy(run, 0.5)
    make_results.make_results(results, checkout)
    changed = {name for name, content in _all(checkout).items() if content != before[name]}
    assert changed == {"docs/results.md", "docs/figures/results/digits-tuned-accuracy.svg"}
    # The last epoch stands in two files, which must agree.
    metrics.write_text(lines[0] + lines[1].replace(f"{accuracy}", "0.5"))
    with pytest.raises(InputError, match=r"its last line is not what result\.json says"):
        make_results.make_results(results, checkout)
    result.write_text(result.read_text().replace(f"{accuracy}", "0.5"))
    make_results.make_results(results, checkout)
    changed = {name for name, content in _all(checkout).items() if content != before[name]}
    assert changed >= {"README.md", "docs/results.md"}


def test_figures_of_what_is_gone_are_removed(tmp_path, checkout):
    results = tmp_path / "results"
    study = _study(results / "digits" / "tuned")
    make_results.make_results(results, checkout)
    assert len(list((checkout / make_results.FIGURES).iterdir())) == 3
    shutil.rmtree(study)
    make_results.make_results(results, checkout)
    assert not list((checkout / make_results.FIGURES).iterdir())


def test_an_unknown_block_is_one_line_and_writes_nothing(tmp_path, checkout, monkeypatch, capsys):
    document = checkout / "docs" / "results.md"
    document.write_text(MARKED.format("surprises"))
    before = _all(checkout)
    monkeypatch.setattr(sys, "argv", ["make_results.py", str(tmp_path), str(checkout)])
    assert command.outcome("make_results.py", make_results.main) == 2
    said = capsys.readouterr().err
    assert "results.md: block 'surprises' is unknown; allowed: summary, studies" in said
    assert said.count("\n") == 1
    assert _all(checkout) == before

"""`make results`: documents say what results/ holds, and notice when it changes."""

import itertools
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.train.documents import same_drawing, same_text, shown_by
from tests.train.made_up import write_run
from train.common import entrypoint
from train.common.errors import InputError
from train.report.documents import make
from train.report.documents.figures import Gallery
from train.report.documents.make import renewed
from train.report.documents.predictions import PREDICTIONS
from train.report.documents.results import Results, Study
from train.report.drawing import Figure, drawn
from train.report.pack import pack
from train.study.presets import PRESETS

ROOT = Path(__file__).parents[3]

FIRST, ANNEALED = "docs/first-studies.md", "docs/results.md"
MARKED = "# Title\n\n<!-- results: {} -->\nold text\n<!-- end of results -->\n\nThe end.\n"


@pytest.fixture
def checkout(tmp_path):
    """Documents that ask for every block."""
    folder = tmp_path / "checkout"
    (folder / "docs").mkdir(parents=True)
    blocks = {
        FIRST: ("summary", "studies", "last epochs", "tuning", "straying", "correction"),
        ANNEALED: ("answers", "tests", "unplanned", "runs", "tuning", "sharpness"),
    }
    for document, names in blocks.items():
        (folder / document).write_text("".join(MARKED.format(name) for name in names))
    return folder


def _set_accuracy(run, accuracy):
    """Gives a finished run another accuracy after its first epoch, which is not what counts."""
    first, last = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    line = json.loads(first) | {"test_accuracy": accuracy}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n" + last)


def _packed(runs):
    """A folder of results/ once every study under a folder has been packed."""
    results = runs.with_name("results") / "first"
    shutil.rmtree(results, ignore_errors=True)
    for study in {path.parents[1] for path in runs.rglob("result.json")}:
        pack([study], results / f"{study.relative_to(runs)}.json")
    return results


def _study(folder, ahead=0.01, seeds=range(8), **settings):
    for seed, optimizer in itertools.product(seeds, ("sgdm", "rsgdm")):
        accuracy = 0.9 + seed / 1000 + (ahead + seed % 2 / 1000 if optimizer == "rsgdm" else 0)
        write_run(folder, optimizer, seed, accuracy, **settings)
    return folder


def _shown(gallery):
    return {name: drawn(figure) for name, figure in gallery.figures.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("document", "folder"), make.DOCUMENTS.items())
def test_documents_are_what_the_results_say(document, folder):
    text, gallery = renewed(Results(ROOT / "results" / folder), ROOT, document)
    written = (ROOT / document).read_text(encoding="utf-8")
    assert same_text(written, text), f"{document}: run `make results`"
    files = {path.stem: path for path in (ROOT / make.FIGURES / folder).iterdir()}
    assert files.keys() == gallery.figures.keys(), "run `make results`"
    for name, shown in _shown(gallery).items():
        assert same_drawing(shown_by(files[name]), shown), f"{name}: run `make results`"


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["demo", "fashion_mnist"])
def test_the_preset_has_the_best_rates_of_the_grid(preset):
    tuning = Study(ROOT / "results" / "annealed" / "tuning" / f"{preset}.json")
    assert tuning.evaluation == "validation"
    best = {each.arm: (each.rate,) for each in tuning.table.best_rates}
    assert PRESETS[preset].study.learning_rate == best


def test_documents_show_every_block_but_what_they_need_not():
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in make.DOCUMENTS]
    shown = re.findall(r"<!-- results: (.+?) -->", "".join(texts))
    assert set(shown) == set(make.BLOCKS)


def test_studies_become_tables_verdicts_and_figures(tmp_path, checkout):
    runs = tmp_path / "runs"
    _study(runs / "digits" / "tuned")
    _study(runs / "fashion" / "ema", ahead=0.0)
    write_run(runs / "fashion" / "ema", "rsgdm", 8, None)
    for rate in (0.5, 0.125):
        folder = runs / "tuning" / "digits"
        _study(folder, seeds=range(2), learning_rate=rate, validation_examples=50)
    make.make_results(_packed(runs).parent, checkout)  # the one test that writes all of it
    text = (checkout / FIRST).read_text()
    assert text.startswith("# Title\n\n<!-- results: summary -->\n| study | optimizer |")
    assert text.endswith("<!-- end of results -->\n\nThe end.\n")
    assert "old text" not in text
    # Differences of 10, 11, 10, 11, ... thousandths: 15 means of subsets are equal to either.
    assert (
        "| digits/tuned | rsgdm | 0.5 | 8 | 91.40 ± 0.26 | +1.05 [+1.00, +1.10] | better |"
    ) in text
    assert "| fashion/ema | rsgdm | 0.5 | 8 + 1 diverged |" in text
    assert "### digits/tuned\n\n| arm |" in text
    assert "- rsgdm against sgdm: better by 1.05 [1.00, 1.10] points of test accuracy." in text
    tuning = text[text.index("<!-- results: tuning -->") :]
    assert "### tuning/digits\n\n| arm | rate | seeds |" in tuning
    assert "\n| sgdm | 0.125 | 2 |" in tuning
    assert "\n| rsgdm | 0.125 | 2 | 0.125: 100 % |" in tuning
    assert "tuning-digits.svg" in tuning
    assert text.count("*Nothing has been run yet.*") == 2
    assert "| fashion/ema | rsgdm − sgdm | +0.05, +0.05 | +0.05 [" in text  # the diverged is out
    links = re.findall(r"\]\(([^)]+\.svg)\)", text)
    assert links
    for link in links:
        assert ((checkout / FIRST).parent / link).is_file()
    annealed = (checkout / ANNEALED).read_text()
    nothing = re.findall(
        r"\| not (?:run|planned) \| not run \||\| not run \| not planned \|", annealed
    )
    assert len(nothing) == len(PREDICTIONS)


@pytest.mark.slow
def test_rsgdm_stands_beside_nesterov_where_they_had_one_rate(tmp_path, checkout):
    runs = tmp_path / "runs"
    for folder, rate in (("one", 0.5), ("two", 0.25)):
        for seed, ahead in enumerate((0.01, 0.02, 0.03)):
            write_run(runs / folder, "rsgdm", seed, 0.9 + ahead, loss=0.5)
            write_run(runs / folder, "nesterov", seed, 0.9, loss=0.25 + ahead, learning_rate=rate)
    text, _ = renewed(Results(_packed(runs)), checkout, FIRST)
    line = (
        "rsgdm − nesterov, at one rate, 3 pairs, not tested: +2.00 (3 pairs cannot show anything "
        "at 95 %) points of test accuracy, +0.2300 (3 pairs cannot show anything at 95 %) in test "
        "loss."
    )
    assert text.count(line) == text.count("rsgdm − nesterov, at") == 1
    assert text.index("### one") < text.index(line) < text.index("### two")


@pytest.mark.slow
def test_epochs_at_the_last_rate_stand_beside_the_last(tmp_path, checkout):
    runs = tmp_path / "runs"
    for folder, halve_every in (("all", 2), ("one", 1)):
        for seed in range(6):
            for optimizer, accuracy in (("rsgdm", 0.9), ("sgdm", 0.8), ("nesterov", 0.7)):
                write_run(runs / folder, optimizer, seed, accuracy, halve_every=halve_every)
            _set_accuracy(runs / folder / f"sgdm-seed{seed}", 0.8 - (seed + 1) / 100)
    text, _ = renewed(Results(_packed(runs)), checkout, FIRST)
    assert "| all | 1 to 2 | 3.50 (6.00) | 0.00 (0.00) | 0.00 (0.00) |" in text
    assert "| one | 2 | 0.00 (0.00) | 0.00 (0.00) | 0.00 (0.00) |" in text
    # The epochs' means are ahead by 10.5, 11, … 13. Of six pairs the interval ends at the extremes.
    assert "| all | rsgdm − sgdm | +13.50, +10.00 | +11.75 [+10.50, +13.00] |" in text
    assert "| all | nesterov − sgdm | -6.50, -10.00 | -8.25 [-9.50, -7.00] |" in text
    assert "| all | rsgdm − nesterov | +20.00, +20.00 | +20.00 [+20.00, +20.00] |" in text
    assert "| one | rsgdm − sgdm | +10.00 | +10.00 [+10.00, +10.00] |" in text


@pytest.mark.slow
def test_every_changed_number_is_noticed(tmp_path, checkout):
    runs = tmp_path / "runs"
    study = _study(runs / "digits" / "tuned")

    def changes(before):
        """What is not as before: documents and figures."""
        text, gallery = renewed(Results(_packed(runs)), checkout, FIRST)
        now = {FIRST: text} | _shown(gallery)
        return {name for name, value in now.items() if value != before.get(name)}, now

    _, before = changes({})
    assert changes(before)[0] == set()
    run = study / "rsgdm-seed3"
    metrics, result = (run / name for name in ("metrics.jsonl", "result.json"))
    # An earlier epoch stands in a figure, and beside the last.
    lines = metrics.read_text().splitlines(keepends=True)
    accuracy = json.loads(lines[0])["test_accuracy"]
    _set_accuracy(run, 0.5)
    changed, now = changes(before)
    assert changed == {FIRST, "digits-tuned-accuracy"}
    assert not same_text(now[FIRST], before[FIRST])
    assert not same_drawing(now["digits-tuned-accuracy"], before["digits-tuned-accuracy"])
    # The last epoch stands in two files, which must agree.
    metrics.write_text(lines[0] + lines[1].replace(f"{accuracy}", "0.5"))
    with pytest.raises(
        InputError, match=r"its last test_accuracy is 0\.5, where result\.json says"
    ):
        Results(_packed(runs))
    result.write_text(result.read_text().replace(f"{accuracy}", "0.5"))
    changed, now = changes(before)
    assert changed >= {FIRST, "differences"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fashion/ema/sgdm-seed0/config.json", "is a file, but no packed study"),
        ("tuning/digits.json", "is a file, but no packed study"),
        ("straying/digits/sgdm-seed0.json", "is no straying measurement"),
    ],
)
def test_what_is_no_result_is_named(name, why, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(InputError, match=re.escape(f"{path}") + f".*{why}"):
        Results(tmp_path)


def test_figures_of_what_is_gone_are_removed(tmp_path):
    gallery = Gallery()
    gallery.show("new", "A figure", Figure)
    for name in ("old.svg", "new.svg", "mine.txt"):
        (tmp_path / name).touch()
    gallery.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "new.svg"]
    assert shown_by(tmp_path / "new.svg") == []


def test_an_unknown_block_is_one_line_and_writes_nothing(tmp_path, checkout, monkeypatch, capsys):
    document = checkout / ANNEALED
    document.write_text(MARKED.format("surprises"))
    before = document.read_text()
    monkeypatch.setattr(sys, "argv", ["make_results.py", str(tmp_path), str(checkout)])
    assert entrypoint.outcome("make_results.py", make.main) == 2
    said = capsys.readouterr().err
    assert "results.md: block 'surprises' is unknown; allowed: summary, studies" in said
    assert said.count("\n") == 1
    assert document.read_text() == before
    assert not (checkout / make.FIGURES).exists()

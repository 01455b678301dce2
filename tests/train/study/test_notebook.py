"""The notebook's file, and its first cell outside of a checkout. `make notebook` runs the rest."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CELLS = json.loads((ROOT / "colab" / "rsgdm_demo.ipynb").read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def _first_cell(folder, source):
    """What the first cell says in a folder, with the variable set."""
    code = CODE[0].replace('SOURCE = ""', f"SOURCE = {source!r}", 1)
    assert source in code.partition("\n")[0]
    command = [sys.executable, "-m", "IPython", "--quick", "--colors=NoColor", "-c", code]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"LC_ALL": "C"},  # git's words are translated
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout + done.stderr


def test_outputs_are_stripped():
    for cell in CELLS:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_no_address_is_taken_for_granted():
    assert CODE[0].startswith('SOURCE = ""')
    assert not any("http" in "".join(cell["source"]) for cell in CELLS)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "",
            "SOURCE: not set, and no checkout is here; give an address or folder, "
            "or upload rsgdm_optax.zip",
        ),
        ("nowhere", "SOURCE: 'nowhere' is no folder, and git could not clone it"),
        (".", "SOURCE: . is no checkout of rsgdm_optax"),
    ],
)
def test_outside_of_a_checkout_it_stops_with_one_line(source, line, tmp_path):
    said = _first_cell(tmp_path, source).strip().splitlines()
    assert [text for text in said if not text.startswith("fatal:")] == [line]  # git's own word


def test_it_finds_the_checkout_around_it(tmp_path):
    for folder, source in ((ROOT / "colab", ""), (ROOT, ""), (tmp_path, str(ROOT))):
        assert _first_cell(folder, source).strip() == f"using {ROOT}"


@pytest.mark.parametrize("packed", [False, True])
def test_it_finds_a_checkout_beside_it(packed, tmp_path):
    for name in ("rsgdm_optax", "train"):
        (tmp_path / "rsgdm_optax" / name).mkdir(parents=True)
        (tmp_path / "rsgdm_optax" / name / "file").touch()
    if packed:
        shutil.make_archive(str(tmp_path / "rsgdm_optax"), "zip", tmp_path, "rsgdm_optax")
        shutil.rmtree(tmp_path / "rsgdm_optax")
    assert _first_cell(tmp_path, "").strip() == f"using {tmp_path}/rsgdm_optax"


@pytest.mark.parametrize("missing", ["rsgdm_optax", "rich"])
def test_it_installs_what_is_missing(missing, monkeypatch):
    def distributions(name):
        return [] if name == missing else ["there"]

    def find_spec(name):
        return None if name == missing else "there"

    ran = []
    monkeypatch.setattr("importlib.metadata.distributions", distributions)
    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    monkeypatch.setattr("subprocess.run", lambda command, **_: ran.append(command))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(ROOT)
    exec(CODE[0], {"__name__": "first_cell"})  # noqa: S102
    (command,) = ran
    assert command[1:] == ["-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[train]"]


def test_it_clones_an_address(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    assert _first_cell(tmp_path, ROOT.as_uri()).strip() == f"using {tmp_path}/rsgdm_optax_clone"
    assert (tmp_path / "rsgdm_optax_clone" / "train" / "cifar.py").is_file()

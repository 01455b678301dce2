"""The rooms of the repository: imports point one way, and the drawing is today's."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import architecture  # noqa: E402


def test_imports_point_down():
    assert architecture.upward() == []


def test_an_arrow_up_is_seen(monkeypatch):
    rooms = ["rsgdm_optax", *architecture.ROOMS]
    monkeypatch.setattr(architecture, "ORDER", rooms)
    assert ("engine", "rsgdm_optax") in architecture.upward()


def test_the_library_imports_nothing_of_the_program():
    assert not [arrow for arrow in architecture.arrows() if arrow[0] == "rsgdm_optax"]


def test_the_drawing_is_todays():
    document = architecture.DOCUMENT.read_text(encoding="utf-8")
    assert architecture.renewed(document) == document, "run `python tools/architecture.py`"
    assert architecture.drawing() in document


def test_a_report_needs_no_jax():
    code = (
        "import sys; sys.modules['jax'] = None; import train.report.report; "
        "import train.report.documents.make"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

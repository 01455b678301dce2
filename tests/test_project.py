"""The project around the code: what is installed, what its documents say."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import rsgdm_optax

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _tracked() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def test_wheel_holds_the_library_alone(tmp_path):
    command = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
        metadata = next(n for n in archive.namelist() if n.endswith("METADATA"))
        text = archive.read(metadata).decode()
    library = ROOT / "rsgdm_optax"
    files = [*library.rglob("*.py"), library / "py.typed"]
    sources = {file.relative_to(ROOT).as_posix() for file in files}
    assert "rsgdm_optax/linear/__init__.py" in sources
    assert names == sources
    assert "rsgdm_optax/py.typed" in names
    needed = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", text, re.M)
    assert needed == ["jax", "optax"]


def test_library_imports_jax_and_optax_only():
    code = (
        "import sys, jax, optax; before = set(sys.modules); import rsgdm_optax; "
        "new = set(sys.modules) - before; print(*{name.partition('.')[0] for name in new}); "
        # What training does not need is imported when it is used.
        "assert not {'rsgdm_optax.analysis', 'rsgdm_optax.linear'} & new; "
        "rsgdm_optax.analysis.bias_terms; rsgdm_optax.linear.rsgdm"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"rsgdm_optax", "numpy"}  # numpy comes with jax


def test_library_does_not_know_the_training_program():
    for path in (ROOT / "rsgdm_optax").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) train\b", path.read_text(encoding="utf-8"), re.M)


def test_readme_code_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        names: dict = {}
        exec(block, names)  # noqa: S102
    x = names["jax"].random.normal(names["jax"].random.key(0), (64, 3))
    y = x @ names["jnp"].array([1.0, -2.0, 3.0])
    params, state = names["params"], names["state"]
    for _ in range(300):
        params, state = names["step"](params, state, x, y)
    # Weight decay of 5e-4 holds the solution back by about a thousandth.
    assert abs(params["w"] - names["jnp"].array([1.0, -2.0, 3.0])).max() < 0.01


def test_readme_commands_and_links_exist():
    assert set(re.findall(r"^\s+make ([\w-]+)", README, re.M)) <= _targets()
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
    for name in re.findall(r"\| `(\w+)\(", README):
        assert name in rsgdm_optax.__all__


def test_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["title"] == PROJECT["name"]
    assert citation["version"] == rsgdm_optax.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]


def test_changelog_is_dated():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first, *released = re.findall(r"^## (.+)$", text, re.M)
    assert first == "[Unreleased]"
    dates = [re.fullmatch(r"\[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d)", line) for line in released]
    assert all(dates)
    assert [date[1] for date in dates] == sorted((date[1] for date in dates), reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= kinds


def test_workflows_call_what_exists():
    targets = _targets()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
        assert commands
        for command in commands:
            for word in command.split():
                if word.startswith((".ci/", "tests/", "tools/")):
                    assert (ROOT / word).exists(), (path, word)
            assert set(re.findall(r"\bmake ([\w-]+)", command)) <= targets
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= form.keys()


def test_ci_calls_what_exists():
    commands = (ROOT / ".ci/run").read_text(encoding="utf-8")
    called = {word for line in re.findall(r"^make (.+)$", commands, re.M) for word in line.split()}
    assert called
    assert called <= _targets()


def test_windows_is_told_at_the_start():
    code = (
        "import sys; from train.common.entrypoint import start; "
        "sys.platform = 'win32'; start('train/cifar.py')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "Windows" in done.stderr


def test_no_tracked_file_names_a_machine_or_a_package_index():
    forbidden = re.compile(r"(/root/|/home/\w|/Users/\w|https?://[^\s\"')]*(simple|mirror|proxy))")
    for path in _tracked():
        if path.suffix not in (".png", ".npz"):
            found = forbidden.search(path.read_text(encoding="utf-8"))
            assert found is None or path == Path(__file__), (path, found)

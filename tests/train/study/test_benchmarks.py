"""Every benchmark runs, and says what it ran on; how fast, no test asks."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from benchmarks.timing import Spread, interleaved

NAMES = sorted(
    path.stem
    for path in Path(benchmarks.__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "timing")
)


@pytest.mark.slow
# The quickest of them stays in `make test`.
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "layers")) for n in NAMES]
)
def test_quick(name, tmp_path, capsys, monkeypatch):
    output = tmp_path / "folder" / "figures.json"
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--quick", "--output", str(output)])
    importlib.import_module(f"benchmarks.{name}").main()
    content = json.loads(output.read_text())
    assert content["quick"] is True
    assert {"processor", "packages", "commit", "convolution"} <= content["environment"].keys()
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 2 + len(content["rows"])
    assert table[0] == "| " + " | ".join(content["rows"][0]) + " |"
    spreads = [v for row in content["rows"] for v in row.values() if isinstance(v, dict)]
    assert spreads
    assert all(0 < s["low"] <= s["median"] <= s["high"] for s in spreads)


def test_measures_are_taken_in_turn():
    taken = []

    def measure(name):
        def seconds():
            taken.append(name)
            return float(len(taken))

        return seconds

    measures = {"a": measure("a"), "b": measure("b")}
    seconds = interleaved(measures, rounds=2)
    assert taken == ["a", "a", "b", "b"] * 2
    assert seconds["a"].tolist() == [2.0, 6.0]  # the first of each turn is thrown away
    assert seconds["b"].tolist() == [4.0, 8.0]
    assert interleaved(measures, rounds=2, settle=0)["b"].tolist() == [10.0, 12.0]


def test_quartiles():
    spread = Spread.of(np.array([5.0, 1.0, 2.0, 4.0, 3.0]))
    assert (spread.low, spread.median, spread.high) == (2.0, 3.0, 4.0)
    assert str(spread) == "3 [2, 4]"

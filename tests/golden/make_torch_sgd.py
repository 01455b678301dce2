"""Writes torch_sgd.json: the paths of torch.optim.SGD along gradients made by a formula.

    pip install torch==2.13.0 && python tests/golden/make_torch_sgd.py

PyTorch is not needed to run the tests.
"""

import json
import math
from pathlib import Path

import torch

STEPS = 30
CASES = [
    {"lr": 0.5, "momentum": 0.0},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"lr": 0.1, "momentum": 0.5, "dampening": 0.5},
    {"lr": 1.0, "momentum": 0.9, "dampening": 0.9},
    {"lr": 0.3, "momentum": 0.8, "dampening": 0.25},
    {"lr": 0.1, "momentum": 0.0, "dampening": 0.5},
]


def gradient(t: int) -> list[float]:
    """Three gradients of step t, from 1 on: a wave, a trend, and both."""
    return [math.cos(t), 0.1 * t, math.sin(2 * t) + 0.05 * t]


def path(arguments: dict) -> list[list[float]]:
    """The parameters after each step, from zero, in float64."""
    parameters = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([parameters], **arguments)
    points = []
    for t in range(1, STEPS + 1):
        parameters.grad = torch.tensor(gradient(t), dtype=torch.float64)
        optimizer.step()
        points.append(parameters.tolist())
    return points


if __name__ == "__main__":
    golden = {
        "torch": torch.__version__,
        "gradients": [gradient(t) for t in range(1, STEPS + 1)],
        "cases": [{"arguments": case, "path": path(case)} for case in CASES],
    }
    Path(__file__).with_name("torch_sgd.json").write_text(json.dumps(golden) + "\n")

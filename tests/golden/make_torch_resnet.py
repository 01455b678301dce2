"""Writes torch_resnet.json: what PyTorch's CIFAR ResNets compute from weights made by a formula.

    pip install torch==2.13.0 numpy && python tests/golden/make_torch_resnet.py

PyTorch is not needed to run the tests. Everything is float64.
"""

import json
from pathlib import Path

import torch
from formula import RATE, STEPS, batch, weights
from torch import nn
from torch.nn import functional

CASES = {
    "resnet8": {
        "expansion": 1,
        "widths": [16, 32, 64],
        "counts": [1, 1, 1],
        "channels": 1,
        "side": 8,
    },
    "resnet18": {
        "expansion": 1,
        "widths": [64, 128, 256, 512],
        "counts": [2, 2, 2, 2],
        "channels": 3,
        "side": 16,
    },
    "resnet50": {
        "expansion": 4,
        "widths": [64, 128, 256, 512],
        "counts": [3, 4, 6, 3],
        "channels": 3,
        "side": 16,
    },
}
SIZE = 4


class Block(nn.Module):
    """A basic block, or a bottleneck where expansion is 4."""

    def __init__(self, inside: int, width: int, stride: int, expansion: int):
        super().__init__()
        if expansion == 1:
            layers = [(inside, width, 3, stride), (width, width, 3, 1)]
        else:
            layers = [(inside, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        self.main = nn.ModuleList()
        for a, b, size, step in layers:
            self.main.append(nn.Conv2d(a, b, size, step, size // 2, bias=False))
            self.main.append(nn.BatchNorm2d(b))
        outside = width * expansion
        self.shortcut = nn.Sequential()
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )

    def forward(self, x):
        y = x
        for k, layer in enumerate(self.main):
            y = layer(functional.relu(y) if k and k % 2 == 0 else y)
        return functional.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """A 3×3 stem without pooling, four stages or three, average pooling, a dense layer."""

    def __init__(self, expansion, widths, counts, channels):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0])
        )
        inside, blocks = widths[0], []
        for stage, (width, count) in enumerate(zip(widths, counts, strict=True)):
            for k in range(count):
                blocks.append(Block(inside, width, 2 if stage and not k else 1, expansion))
                inside = width * expansion
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inside, 10)

    def forward(self, images):
        x = self.blocks(functional.relu(self.stem(images)))
        return self.head(x.mean((2, 3)))


def fill(model: nn.Module) -> None:
    """Sets every weight by the formula, layer by layer in the order of construction."""
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for k, layer in enumerate(layers):
        kind = "scale" if isinstance(layer, nn.BatchNorm2d) else "kernel"
        layer.weight.data = torch.tensor(weights(tuple(layer.weight.shape), k, kind))
        if layer.bias is not None:
            layer.bias.data = torch.tensor(weights(tuple(layer.bias.shape), k, "bias"))


def case(channels: int, side: int, **shape) -> dict:
    """Three steps of SGD, then evaluation."""
    model = ResNet(channels=channels, **shape).double()
    fill(model)
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    found = {"logits": [], "gradient_norms": []}
    for step in range(STEPS):
        images, labels = batch(step, SIZE, channels, side)
        logits = model(torch.tensor(images).permute(0, 3, 1, 2))
        optimizer.zero_grad()
        functional.cross_entropy(logits, torch.tensor(labels)).backward()
        found["logits"].append(logits.tolist())
        found["gradient_norms"].append([p.grad.norm().item() for p in model.parameters()])
        optimizer.step()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    found["means"] = [norm.running_mean[:3].tolist() for norm in norms]
    found["variances"] = [norm.running_var[:3].tolist() for norm in norms]
    model.eval()
    images, _ = batch(STEPS, SIZE, channels, side)
    with torch.no_grad():
        found["evaluation"] = model(torch.tensor(images).permute(0, 3, 1, 2)).tolist()
    return found


def rounded(value):
    """Twelve digits are plenty, and keep the file small."""
    return [rounded(v) for v in value] if isinstance(value, list) else float(f"{value:.12g}")


if __name__ == "__main__":
    cases = {
        name: {key: rounded(value) for key, value in case(**shape).items()}
        for name, shape in CASES.items()
    }
    golden = {"torch": torch.__version__, "size": SIZE, "shapes": CASES, "cases": cases}
    Path(__file__).with_name("torch_resnet.json").write_text(json.dumps(golden) + "\n")

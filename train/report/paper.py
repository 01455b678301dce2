"""The paper's own results, as its tables print them (Yuan and Hu 2021, section 3)."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class PaperRow:
    """Accuracies in per cent, with the digits that the paper gives."""

    train: str
    test: str


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """One of the paper's two tables."""

    number: int
    rows: Mapping[str, PaperRow]

    def points(self, optimizer: str, baseline: str) -> float:
        """By how many points of test accuracy one is ahead of the other."""
        return float(self.rows[optimizer].test) - float(self.rows[baseline].test)


# Data set and model → table.
PAPER: Mapping[tuple[str, str], PaperTable] = {
    ("cifar10", "resnet18"): PaperTable(
        1, {"sgdm": PaperRow("100", "94.48"), "rsgdm": PaperRow("100", "94.62")}
    ),
    ("cifar100", "resnet50"): PaperTable(
        2, {"sgdm": PaperRow("99.98", "76.70"), "rsgdm": PaperRow("99.98", "77.27")}
    ),
}

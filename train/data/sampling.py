"""Choosing examples class by class."""

import numpy as np

from train.common.errors import InputError


def stratified(labels: np.ndarray, count: int, name: str, *, keep: int) -> np.ndarray:
    """Indices of `count` examples, each class by its share, evenly spaced over the file's order.

    Raises:
      InputError: if there is not one for each class, or not `keep` left for each.
    """
    classes, totals = np.unique(labels, return_counts=True)
    least, most = len(classes), len(labels) - keep * len(classes)
    if not least <= count <= most:
        raise InputError(
            f"{name}: {count} is out of range; of {len(labels)} examples in {len(classes)} "
            f"classes, {least} to {most} can be taken"
        )
    # Largest remainders: the shares are rounded so that they add up to `count`.
    shares = count * totals / len(labels)
    counts = np.floor(shares).astype(int)
    by_remainder = np.argsort(counts - shares, kind="stable")
    counts[by_remainder[: count - counts.sum()]] += 1
    chosen = []
    for label, total, share in zip(classes, totals, counts, strict=True):
        places = (np.arange(share) * 2 + 1) * total // (2 * share) if share else np.arange(0)
        chosen.append(np.flatnonzero(labels == label)[places])
    return np.sort(np.concatenate(chosen))

"""Images and labels in memory, and the subsets a study trains and evaluates on.

All choices of examples here are fixed by the data alone, so that they are the
same for every seed, optimizer and machine.
"""

import dataclasses

import numpy as np

from train.errors import InputError


@dataclasses.dataclass(frozen=True)
class Split:
    """Images, uint8 N×H×W×C, and their labels, int32 N."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        return Split(self.images[indices], self.labels[indices])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What one study trains on and evaluates on."""

    train: Split
    evaluation: Split
    evaluation_name: str  # "test", or "validation" if the test set is left alone
    classes: int
    can_flip: bool  # whether a mirrored image still shows its class
    mean: np.ndarray  # per channel, of the training images
    std: np.ndarray


def load(name: str, *, train_examples: int | None, validation_examples: int) -> Dataset:
    """Loads a data set and selects its examples.

    Raises:
      InputError: if fewer examples remain than are asked for.
    """
    train, test, can_flip = _LOADERS[name]()
    classes = int(train.labels.max()) + 1
    evaluation, evaluation_name = test, "test"
    if validation_examples:
        chosen = _stratified(train.labels, validation_examples, "validation_examples", keep=1)
        evaluation, evaluation_name = train.take(chosen), "validation"
        train = train.take(np.setdiff1d(np.arange(len(train)), chosen))
    if train_examples is not None:
        train = train.take(_stratified(train.labels, train_examples, "train_examples", keep=0))
    axes = (0, 1, 2)
    std = train.images.std(axes, dtype=np.float64)
    return Dataset(
        train=train,
        evaluation=evaluation,
        evaluation_name=evaluation_name,
        classes=classes,
        can_flip=can_flip,
        mean=train.images.mean(axes, dtype=np.float64).astype(np.float32),
        # A constant channel is left as it is, at zero.
        std=np.where(std > 0, std, 1.0).astype(np.float32),
    )


def _stratified(labels: np.ndarray, count: int, name: str, *, keep: int) -> np.ndarray:
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


def _digits() -> tuple[Split, Split, bool]:
    """1,797 handwritten digits of 8×8 pixels, 0 to 16; every fourth of a class is for testing."""
    from sklearn import datasets  # imported where used: it takes longer than everything else here

    bunch = datasets.load_digits()
    everything = Split(bunch.images.astype(np.uint8)[..., None], bunch.target.astype(np.int32))
    test = _stratified(everything.labels, len(everything) // 4, "test examples", keep=1)
    train = np.setdiff1d(np.arange(len(everything)), test)
    return everything.take(train), everything.take(test), False


_LOADERS = {"digits": _digits}

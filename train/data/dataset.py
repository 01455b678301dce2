"""The examples that a study trains and evaluates on.

All choices of examples are fixed by the data alone, so that they are the same for every seed,
optimizer and machine.
"""

import dataclasses

import numpy as np

from train.data import sources
from train.data.sampling import stratified
from train.data.sources import Source


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
    fingerprint: str  # of the whole data set


def load(
    name: str,
    *,
    data_dir: str | None = None,
    unverified_archive: bool = False,
    train_examples: int | None = None,
    validation_examples: int = 0,
) -> Dataset:
    """Loads a data set and selects its examples.

    Raises:
      InputError: if it is not there, or not as it must be, or fewer examples remain than are
        asked for.
    """
    source = sources.read(name, data_dir, unverified_archive=unverified_archive)
    return select(source, train_examples, validation_examples)


def select(source: Source, train_examples: int | None, validation_examples: int) -> Dataset:
    """The examples to train on and to evaluate on; see `load`."""
    x_train, y_train, x_test, y_test = source.arrays
    train, evaluation, evaluation_name = Split(x_train, y_train), Split(x_test, y_test), "test"
    if validation_examples:
        chosen = stratified(train.labels, validation_examples, "validation_examples", keep=1)
        evaluation, evaluation_name = train.take(chosen), "validation"
        train = train.take(np.setdiff1d(np.arange(len(train)), chosen))
    if train_examples is not None:
        train = train.take(stratified(train.labels, train_examples, "train_examples", keep=0))
    mean, std = _mean_and_std(train.images)
    return Dataset(
        train=train,
        evaluation=evaluation,
        evaluation_name=evaluation_name,
        classes=source.classes,
        can_flip=source.can_flip,
        mean=mean,
        std=std,
        fingerprint=sources.fingerprint(source.arrays),
    )


def _mean_and_std(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per channel, from a count of each pixel value: no floating-point copy of all images."""
    values = np.arange(256.0)
    counts = np.zeros((images.shape[-1], 256))
    for start in range(0, len(images), 1000):
        for channel, count in enumerate(counts):
            pixels = images[start : start + 1000, ..., channel].ravel()
            count += np.bincount(pixels, minlength=256)
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt(((values - mean[:, None]) ** 2 * share).sum(axis=1))
    # A constant channel is left as it is, at zero.
    return mean.astype(np.float32), np.where(std > 0, std, 1.0).astype(np.float32)

"""Which examples a study trains and evaluates on."""

import numpy as np
import pytest
from sklearn import datasets

from tests.train import made_up
from train.common.errors import InputError
from train.data import sources
from train.data.dataset import load


def _rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_digits_are_scikit_learns():
    data = load("digits")
    bunch = datasets.load_digits()
    assert data.train.images.dtype == np.uint8
    assert data.train.images.shape[1:] == (8, 8, 1)
    assert (len(data.train), len(data.evaluation), data.classes) == (1348, 449, 10)
    assert not data.can_flip
    labelled = {
        (i.astype(np.uint8).tobytes(), t) for i, t in zip(bunch.images, bunch.target, strict=True)
    }
    for split in (data.train, data.evaluation):
        for image, label in zip(split.images, split.labels, strict=True):
            assert (image.tobytes(), int(label)) in labelled
    everything = np.concatenate([data.train.images, data.evaluation.images])
    assert sorted(i.tobytes() for i in everything) == sorted(
        i.astype(np.uint8).tobytes() for i in bunch.images
    )


def test_test_set_is_stratified():
    labels = datasets.load_digits().target
    counts = np.bincount(load("digits").evaluation.labels)
    assert np.all(np.abs(counts - np.bincount(labels) / 4) < 1)


@pytest.mark.parametrize("count", [10, 11, 300, 500, 1000, 1338])
def test_validation_examples_come_from_the_training_set(count):
    whole = load("digits")
    data = load("digits", validation_examples=count)
    assert data.evaluation_name == "validation"
    assert len(data.evaluation) == count
    assert len(data.train) == len(whole.train) - count
    both = np.concatenate([data.train.images, data.evaluation.images])
    assert sorted(map(np.ndarray.tobytes, both)) == sorted(
        map(np.ndarray.tobytes, whole.train.images)
    )
    shares = np.bincount(whole.train.labels) * count / len(whole.train)
    assert np.all(np.abs(np.bincount(data.evaluation.labels, minlength=10) - shares) < 1)


def test_train_examples_are_taken_beside_the_validation_examples():
    validation = load("digits", validation_examples=300).evaluation
    data = load("digits", train_examples=128, validation_examples=300)
    np.testing.assert_array_equal(data.evaluation.images, validation.images)
    assert len(data.train) == 128
    assert not _rows(data.train.images) & _rows(validation.images)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(("train_examples", 9), ("train_examples", 1349)),
        *(("validation_examples", 9), ("validation_examples", 1339)),
    ],
)
def test_counts_out_of_range(name, count):
    most = 1348 if name == "train_examples" else 1338
    with pytest.raises(InputError, match=f"{name}: {count} is out of range.* 10 to {most}"):
        load("digits", **{name: count})


def test_all_training_examples():
    np.testing.assert_array_equal(
        load("digits", train_examples=1348).train.images, load("digits").train.images
    )


def test_channels_are_normalised_each_and_a_constant_one_stays_at_zero(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (2500, 8, 8, 3), dtype=np.uint8)
    images[..., 1] = 7
    labels = np.arange(2500) % 2
    path = tmp_path / "made_up.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    data = load(f"npz:{path}")
    np.testing.assert_allclose(data.mean, images.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(data.std[::2], images.std((0, 1, 2))[::2], rtol=1e-6)
    assert data.std[1] == 1


def test_normalisation_comes_from_the_training_examples_in_use():
    data = load("digits", train_examples=200)
    pixels = data.train.images.astype(np.float64)
    np.testing.assert_allclose(data.mean, [pixels.mean()], rtol=1e-6)
    np.testing.assert_allclose(data.std, [pixels.std()], rtol=1e-6)


def test_fingerprint_sees_every_array():
    data = made_up.arrays(40, 20, (8, 8, 3), 4)
    prints = {sources.fingerprint(data)}
    for name, array in data._asdict().items():
        changed = array.copy()
        changed.flat[-1] ^= 1
        prints.add(sources.fingerprint(data._replace(**{name: changed})))
    assert len(prints) == 5

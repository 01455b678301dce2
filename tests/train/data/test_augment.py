"""Crops and flips, against every result that is allowed."""

import jax
import numpy as np

from train.data.augment import augment, border, draw


def _images(n: int, side: int = 8, channels: int = 2) -> np.ndarray:
    # Every pixel differs and none is zero, so that a window and its border are recognised.
    one = np.arange(1, side * side * channels + 1, dtype=np.uint8).reshape(side, side, channels)
    return np.broadcast_to(one, (n, side, side, channels))


def _augmented(key, images, padding, *, flip=False):
    return augment(images, draw(key, len(images), padding, flip=flip), padding)


def test_crops_are_windows_of_the_zero_padded_image_each_as_likely():
    n = 15000
    images = _images(n)
    crops = np.asarray(_augmented(jax.random.key(0), images, (1, 2)))
    assert crops.dtype == np.uint8
    padded = np.pad(images[0], ((1, 1), (2, 2), (0, 0)))
    windows = {padded[y : y + 8, x : x + 8].tobytes(): (y, x) for y in range(3) for x in range(5)}
    counts = dict.fromkeys(windows.values(), 0)
    for crop in crops:
        counts[windows[crop.tobytes()]] += 1
    # Fifteen equally likely places: six standard deviations of a count are 183.
    assert all(abs(count - n / 15) < 183 for count in counts.values()), counts


def test_flips_mirror_left_to_right_half_of_the_time():
    images = _images(4000)
    flipped = np.asarray(_augmented(jax.random.key(1), images, (0, 0), flip=True))
    mirrored = np.array(
        [np.array_equal(f, i[:, ::-1]) for f, i in zip(flipped, images, strict=True)]
    )
    same = np.array([np.array_equal(f, i) for f, i in zip(flipped, images, strict=True)])
    assert np.all(mirrored ^ same)
    assert abs(mirrored.mean() - 0.5) < 6 * 0.5 / np.sqrt(4000)


def test_images_keep_their_places_and_key_decides():
    images = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones(
        (5, 16, 16, 1), np.uint8
    )
    once = np.asarray(_augmented(jax.random.key(2), images, border(16, 16), flip=True))
    assert [set(np.unique(image)) - {0} for image in once] == [{k} for k in range(1, 6)]
    for seed, same in ((2, True), (3, False)):
        again = _augmented(jax.random.key(seed), images, border(16, 16), flip=True)
        assert np.array_equal(once, again) == same


def test_border_is_an_eighth_of_each_side():
    for side, padding in ((8, 1), (28, 3), (32, 4)):
        images = np.ones((4000, side, 16, 1), np.uint8)
        crops = np.asarray(_augmented(jax.random.key(0), images, border(side, 16)))
        for axis, width, most in ((2, side, padding), (1, 16, 2)):
            cut = width - crops.any(axis=axis).sum(axis=1)
            assert set(cut.ravel()) == set(range(most + 1))

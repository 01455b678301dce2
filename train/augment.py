"""Random crops and flips, on the device, on raw pixels."""

import jax
import jax.numpy as jnp


def random_crop(key: jax.Array, images: jax.Array, padding: tuple[int, int]) -> jax.Array:
    """A crop of the images' own size, out of each image in a border of zeros.

    Args:
      key: a PRNG key.
      images: N×H×W×C.
      padding: the border above and below, and at the sides, in pixels; each of the
        (2·padding[0] + 1)·(2·padding[1] + 1) places is as likely.
    """
    n, height, width, _ = images.shape
    border = ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0))
    padded = jnp.pad(images, border)
    places = jnp.array([[2 * padding[0] + 1], [2 * padding[1] + 1]])
    top, left = jax.random.randint(key, (2, n), 0, places)
    rows = (top[:, None] + jnp.arange(height))[:, :, None]
    columns = (left[:, None] + jnp.arange(width))[:, None, :]
    return padded[jnp.arange(n)[:, None, None], rows, columns]


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Each image, mirrored left to right with probability one half."""
    flip = jax.random.bernoulli(key, 0.5, (len(images), 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def augment(key: jax.Array, images: jax.Array, *, flip: bool) -> jax.Array:
    """The usual augmentation: crops from a border of an eighth of the side, 4 pixels at 32."""
    crop_key, flip_key = jax.random.split(key)
    images = random_crop(crop_key, images, (images.shape[1] // 8, images.shape[2] // 8))
    return random_flip(flip_key, images) if flip else images

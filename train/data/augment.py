"""Random crops and flips, on the device, on raw pixels.

Drawn for a whole batch, then applied to each image by itself: so what becomes of an image does
not depend on how many devices the batch is divided among.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Draws(NamedTuple):
    """What becomes of each image of a batch."""

    top: jax.Array  # int32 N: the crop's place in the padded image
    left: jax.Array
    flip: jax.Array | None  # bool N: whether it is mirrored left to right


def border(height: int, width: int) -> tuple[int, int]:
    """The usual border of an eighth of the side, 4 pixels at 32, above and below and aside."""
    return height // 8, width // 8


def draw(key: jax.Array, n: int, padding: tuple[int, int], *, flip: bool) -> Draws:
    """Draws for n images.

    Args:
      key: a PRNG key.
      n: how many images.
      padding: the border above and below, and at the sides, in pixels; each of the
        (2·padding[0] + 1)·(2·padding[1] + 1) places of a crop is as likely.
      flip: whether to mirror each image with probability one half.
    """
    crop_key, flip_key = jax.random.split(key)
    places = jnp.array([[2 * padding[0] + 1], [2 * padding[1] + 1]])
    top, left = jax.random.randint(crop_key, (2, n), 0, places)
    return Draws(top, left, jax.random.bernoulli(flip_key, 0.5, (n,)) if flip else None)


def augment(images: jax.Array, draws: Draws, padding: tuple[int, int]) -> jax.Array:
    """Crops of the images' own size, N×H×W×C, out of each in a border of zeros; and flips."""
    shape = images.shape[1:]
    padded = jnp.pad(images, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))

    def crop(image: jax.Array, top: jax.Array, left: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (top, left, 0), shape)

    # Image by image, so that XLA sees that no device needs another's.
    crops = jax.vmap(crop)(padded, draws.top, draws.left)
    if draws.flip is None:
        return crops
    return jnp.where(draws.flip[:, None, None, None], crops[:, :, ::-1], crops)

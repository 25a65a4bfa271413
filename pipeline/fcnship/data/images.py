"""Bilinear resizing and random affine changes of batches of images, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcnship.recipe import Augment
from fcnship.sizes import Size

Array = np.ndarray[Any, Any]
MOST_STRETCH = 2.0


def resize(images: Array, size: Size) -> Array:
    """Bilinear with half-pixel centres, averaging where it shrinks (as ``tf.image.resize(antialias=True)``).

    Takes (count, height, width, channels) of any number type, gives float32 of the new size.
    """
    rows = _weights(images.shape[1], size.height)
    columns = _weights(images.shape[2], size.width)
    tall = np.tensordot(rows, images.astype(np.float32), axes=(1, 1))  # (H, count, width, channels)
    both = np.tensordot(columns, tall, axes=(1, 2))  # (W, H, count, channels)
    return np.ascontiguousarray(both.transpose(2, 1, 0, 3))


def fitted(
    images: Array, size: Size, fill: float, most_stretch: float = MOST_STRETCH, at: Array | None = None
) -> Array:
    """Resized to ``size``, but stretched to no more than ``most_stretch`` times their shape.

    What is left then is ``fill``, on both sides: nobody meets a figure eight times as wide as it is high, but
    one in the middle of an image of that shape. ``at`` (count, 2) puts each elsewhere: the shares, from 0 to
    1, of what is left over that lie above it and to its left.
    """
    own = Size(*images.shape[1:3])
    if own == size:
        return images.astype(np.float32)
    inner = unstretched(own, size, most_stretch)
    if inner == size:
        return resize(images, size)
    placed = np.full((len(images), size.height, size.width, images.shape[3]), fill, np.float32)
    corners = corners_of(size, inner, np.full((len(images), 2), 0.5) if at is None else at)
    for place, image, (top, left) in zip(placed, resize(images, inner), corners, strict=True):
        place[top : top + inner.height, left : left + inner.width] = image
    return placed


def corners_of(size: Size, inner: Size, at: Array) -> list[tuple[int, int]]:
    """The upper left corner of an image of ``inner`` size in one of ``size``, for each row of shares."""
    down, across = size.height - inner.height, size.width - inner.width
    return [(int(shares[0] * down), int(shares[1] * across)) for shares in at]


def unstretched(own: Size, size: Size, most_stretch: float = MOST_STRETCH) -> Size:
    """The largest size inside ``size`` to which an image of its ``own`` size is not stretched too much."""
    shape = own.height / own.width * most_stretch, own.height / own.width / most_stretch
    height = min(size.height, max(round(size.width * shape[0]), 1))
    return Size(height, min(size.width, max(round(size.height / shape[1]), 1)))


def _weights(old: int, new: int) -> Array:
    """The (new, old) matrix of a triangle filter, widened by the factor of shrinking."""
    widen = max(old / new, 1.0)
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(old)[None] - centres[:, None]) / widen)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def to_range(images: Array, old: tuple[float, float], new: tuple[float, float]) -> Array:
    """Move pixel values from one range to another, as float32."""
    if old == new:
        return images.astype(np.float32)
    factor = (new[1] - new[0]) / (old[1] - old[0])
    return np.asarray((images.astype(np.float32) - old[0]) * factor + new[0], np.float32)


def augmented(images: Array, size: Size, augment: Augment, rng: np.random.Generator, fill: float) -> Array:
    """Fit, each image shifted, scaled, rotated and sheared at random; ``fill`` lies outside the image.

    Where the size is longer than an image is stretched (``fitted``), it lies anywhere along the longer side.
    """
    inner = unstretched(Size(*images.shape[1:3]), size)
    if augment == Augment():
        return fitted(images, size, fill)
    if images.shape[1] > size.height or images.shape[2] > size.width:
        images = resize(images, Size(min(images.shape[1], size.height), min(images.shape[2], size.width)))
    matrices = random_affine(len(images), augment, rng)
    if inner != size:
        matrices = _placed(matrices, size.height / inner.height, size.width / inner.width, rng)
    return _affine(images.astype(np.float32), size, matrices, fill)


def random_affine(count: int, augment: Augment, rng: np.random.Generator) -> Array:
    """(count, 2, 3) maps from output to input coordinates, both running from -1 to 1 over the image."""
    angle = np.radians(rng.uniform(-1, 1, count) * augment.rotate)
    tall, wide = np.exp(rng.uniform(-1, 1, (2, count)) * np.log1p(augment.scale))
    shear = rng.uniform(-1, 1, count) * augment.shear
    matrices = np.empty((count, 2, 3), np.float32)
    matrices[:, 0, 0], matrices[:, 0, 1] = np.cos(angle) * tall, np.sin(angle) * tall
    matrices[:, 1, 0], matrices[:, 1, 1] = shear - np.sin(angle) * wide, np.cos(angle) * wide
    matrices[:, :, 2] = rng.uniform(-2, 2, (count, 2)) * augment.shift
    return matrices


def _placed(matrices: Array, tall: float, wide: float, rng: np.random.Generator) -> Array:
    """For an output so many times as tall and wide as the image in it, which lies at a random place."""
    stretch = np.array([tall, wide], np.float32)
    away = rng.uniform(-1, 1, (len(matrices), 2)).astype(np.float32) * (stretch - 1)
    moved: Array = matrices.copy()
    moved[:, :, :2] = matrices[:, :, :2] * stretch
    moved[:, :, 2] += np.einsum("nij,nj->ni", matrices[:, :, :2], away)
    return moved


def _affine(images: Array, size: Size, matrices: Array, fill: float) -> Array:
    count, height, width, channels = images.shape
    padded = np.full((count, height + 2, width + 2, channels), fill, np.float32)
    padded[:, 1:-1, 1:-1] = images
    down = ((np.arange(size.height) + 0.5) / size.height * 2 - 1).astype(np.float32)[None, :, None]
    across = ((np.arange(size.width) + 0.5) / size.width * 2 - 1).astype(np.float32)[None, None, :]
    m = matrices[:, :, :, None, None]
    rows = m[:, 0, 0] * down + m[:, 0, 1] * across + m[:, 0, 2]
    columns = m[:, 1, 0] * down + m[:, 1, 1] * across + m[:, 1, 2]
    y, y_share = _split((rows + 1) * (height / 2) + 0.5, height)
    x, x_share = _split((columns + 1) * (width / 2) + 0.5, width)
    flat = padded.reshape(-1, channels)
    first = (np.arange(count, dtype=np.int32)[:, None, None] * (height + 2) + y) * (width + 2) + x
    top = _mix(flat[first], flat[first + 1], x_share)
    bottom = _mix(flat[first + width + 2], flat[first + width + 3], x_share)
    return _mix(top, bottom, y_share)


def _split(position: Array, side: int) -> tuple[Array, Array]:
    """A position in the padded image as a whole index and the share of the next one."""
    position = np.clip(position, 0, side + 1 - 1e-3)
    whole = position.astype(np.int32)
    return whole, (position - whole.astype(np.float32))[..., None]


def _mix(a: Array, b: Array, share: Array) -> Array:
    return np.asarray(a + (b - a) * share)

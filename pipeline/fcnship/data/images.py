"""Bilinear resizing and random affine changes of batches of images, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcnship.recipe import Augment
from fcnship.sizes import Size

Images = np.ndarray[Any, Any]


def resize(images: Images, size: Size) -> Images:
    """Bilinear with half-pixel centres, averaging where it shrinks (as ``tf.image.resize(antialias=True)``).

    Takes (count, height, width, channels) of any number type, gives float32 of the new size.
    """
    rows = _weights(images.shape[1], size.height)
    columns = _weights(images.shape[2], size.width)
    tall = np.tensordot(rows, images.astype(np.float32), axes=(1, 1))  # (H, count, width, channels)
    both = np.tensordot(columns, tall, axes=(1, 2))  # (W, H, count, channels)
    return np.ascontiguousarray(both.transpose(2, 1, 0, 3))


def _weights(old: int, new: int) -> Images:
    """The (new, old) matrix of a triangle filter, widened by the factor of shrinking."""
    widen = max(old / new, 1.0)
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(old)[None] - centres[:, None]) / widen)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def to_range(images: Images, old: tuple[float, float], new: tuple[float, float]) -> Images:
    """Move pixel values from one range to another, as float32."""
    if old == new:
        return images.astype(np.float32)
    factor = (new[1] - new[0]) / (old[1] - old[0])
    return np.asarray((images.astype(np.float32) - old[0]) * factor + new[0], np.float32)


def augmented(images: Images, size: Size, augment: Augment, rng: np.random.Generator, fill: float) -> Images:
    """Resize, each image shifted, scaled, rotated and sheared at random; ``fill`` lies outside the image."""
    if augment == Augment():
        return resize(images, size)
    if images.shape[1] > size.height or images.shape[2] > size.width:
        images = resize(images, Size(min(images.shape[1], size.height), min(images.shape[2], size.width)))
    return _affine(images.astype(np.float32), size, _matrices(len(images), augment, rng), fill)


def _matrices(count: int, augment: Augment, rng: np.random.Generator) -> Images:
    """(count, 2, 3) maps from output to input coordinates, both running from -1 to 1 over the image."""
    angle = np.radians(rng.uniform(-1, 1, count) * augment.rotate)
    tall, wide = np.exp(rng.uniform(-1, 1, (2, count)) * np.log1p(augment.scale))
    shear = rng.uniform(-1, 1, count) * augment.shear
    matrices = np.empty((count, 2, 3), np.float32)
    matrices[:, 0, 0], matrices[:, 0, 1] = np.cos(angle) * tall, np.sin(angle) * tall
    matrices[:, 1, 0], matrices[:, 1, 1] = shear - np.sin(angle) * wide, np.cos(angle) * wide
    matrices[:, :, 2] = rng.uniform(-2, 2, (count, 2)) * augment.shift
    return matrices


def _affine(images: Images, size: Size, matrices: Images, fill: float) -> Images:
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


def _split(position: Images, side: int) -> tuple[Images, Images]:
    """A position in the padded image as a whole index and the share of the next one."""
    position = np.clip(position, 0, side + 1 - 1e-3)
    whole = position.astype(np.int32)
    return whole, (position - whole.astype(np.float32))[..., None]


def _mix(a: Images, b: Images, share: Images) -> Images:
    return np.asarray(a + (b - a) * share)

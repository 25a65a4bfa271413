"""The images of a comparison: test images enlarged to a size, and noise; the same bits on every machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.data.collection import Images
from fcnship.data.images import to_range
from fcnship.sizes import Size

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class ImageBatches:
    """Makes batches of ``channels`` in ``value_range``: of ``pictures`` where there are some, else of noise.

    Pictures are enlarged by repeating pixels, and noise is drawn in float32: no sum is taken whose last bit
    would hang on the machine, so that outputs of another machine can be held against these (``identity``).
    """

    channels: int
    value_range: tuple[float, float]
    pictures: Images | None = None
    picture_range: tuple[float, float] = (0.0, 1.0)
    seed: int = 0

    def __call__(self, size: Size, batch: int) -> Array:
        """(batch, height, width, channels) float32: pictures, and noise as the last of several.

        Pictures alone leave channels dark.
        """
        rng = np.random.default_rng((self.seed, size.height, size.width, batch))
        shape = (size.height, size.width, self.channels)
        if self.pictures is None:
            noise = rng.random((batch, *shape), np.float32)
            return to_range(noise, (0.0, 1.0), self.value_range)
        places = rng.integers(len(self.pictures), size=batch)
        enlarged = np.stack([_enlarged(self.pictures[int(place)], size) for place in places])
        images = to_range(enlarged, self.picture_range, self.value_range)
        if batch > 1:
            images[-1] = to_range(rng.random(shape, np.float32), (0.0, 1.0), self.value_range)
        return np.ascontiguousarray(images)


def _enlarged(picture: Array, size: Size) -> Array:
    """(height, width, channels) at the new size: pixels are repeated or left out, none is mixed."""
    rows = np.arange(size.height) * picture.shape[0] // size.height
    columns = np.arange(size.width) * picture.shape[1] // size.width
    enlarged: Array = picture[rows][:, columns]
    return enlarged


def identity(images: Array) -> str:
    """The SHA-256 of images: their shape and every bit."""
    digest = hashlib.sha256(repr((images.shape, str(images.dtype))).encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    return digest.hexdigest()

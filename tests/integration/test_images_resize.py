"""Resizing in NumPy against TensorFlow's."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fcnship.data.images import resize
from fcnship.sizes import Size

IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 9, 12, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "size", ["9x12", "18x24", "28x28", "5x7", "3x40", "40x3", "1x1", "8x12", "100x99", "2x11"]
)
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_the_same_as_tensorflow(size: str, kind: type) -> None:
    wanted = Size.parse(size)
    images: np.ndarray = IMAGES.astype(kind)
    theirs = tf.image.resize(images, (wanted.height, wanted.width), antialias=True).numpy()
    # TensorFlow counts positions in float32: a millionth of a pixel off, at a contrast of 255.
    assert np.abs(resize(images, wanted) - theirs).max() < 1e-3

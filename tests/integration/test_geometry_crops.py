"""Cells said to equal a crop do: one pass over an image against the same model on each crop."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from geometry_models import CHANNELS, CONVOLUTIONS, RESIZING, model_of
from keras import layers

from fcnship.graph.crops import cells_as_on_crop
from fcnship.graph.geometry import geometry_of
from fcnship.graph.network import network_from_keras
from fcnship.sizes import Size

LARGE, CROP = Size(53, 56), Size(36, 40)


def _gap(model: Any, stride: tuple[int, int]) -> np.ndarray:
    """How far each cell lies from cell (0, 0) on its crop; infinite where the crop leaves the image."""
    image = np.random.default_rng(1).normal(size=(1, LARGE.height, LARGE.width, CHANNELS)).astype(np.float32)
    whole = np.asarray(model(image))[0]
    gap = np.full(whole.shape[:2], np.inf)
    for i, j in np.ndindex(gap.shape):
        part = image[:, i * stride[0] :, j * stride[1] :][:, : CROP.height, : CROP.width]
        if part.shape[1:3] == (CROP.height, CROP.width):
            gap[i, j] = np.abs(np.asarray(model(part))[0, 0, 0] - whole[i, j]).max()
    return gap


@pytest.mark.parametrize(
    "name", ["valid", "pad and crop", "fcn", "separable", "residual", "transposed", "nested"]
)
def test_what_must_be_equal_is(name: str) -> None:
    keras.utils.set_random_seed(3)
    model = model_of({**CONVOLUTIONS, **RESIZING}[name])
    network = network_from_keras(model)
    must = cells_as_on_crop(network, LARGE, CROP)
    gap = _gap(model, geometry_of(network).total_stride)
    assert gap[must].max(initial=0) < 1e-5
    if name in ("valid", "nested"):
        assert (must == np.isfinite(gap)).all()
    assert must.any() == (name in ("valid", "nested"))


def test_global_context_leaves_nothing_that_must_be_equal() -> None:
    image = keras.Input((None, None, CHANNELS))
    x = layers.Conv2D(2, 3)(image)
    scaled = layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)])
    network = network_from_keras(keras.Model(image, scaled))
    assert not cells_as_on_crop(network, LARGE, CROP).any()


def test_a_stride_that_same_padding_moves_is_not_aligned() -> None:
    """Same padding starts an even side at pixel 0 and an odd one at -1: inner cells differ as well."""
    image = keras.Input((None, None, CHANNELS))
    x = layers.Conv2D(2, 3, strides=2, padding="same")(image)
    network = network_from_keras(keras.Model(image, layers.Cropping2D(1)(x)))
    aligned = cells_as_on_crop(network, Size(52, 52), CROP)
    assert aligned.any()
    assert not cells_as_on_crop(network, LARGE, CROP).any()

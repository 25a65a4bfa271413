"""Which sizes a network accepts and what map it gives: fcnship against Keras at every small size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from geometry_models import CONVOLUTIONS, IMAGE, OTHERS, RESIZING, model_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from fcnship.errors import ProfileRefused
from fcnship.graph.geometry import geometry_of, is_legal, output_map
from fcnship.graph.network import network_as_json, network_from_json, network_from_keras
from fcnship.sizes import Size

BODIES = {**CONVOLUTIONS, **RESIZING, **OTHERS}
SIDES = range(1, 41)


@pytest.fixture(scope="module", params=BODIES, ids=list(BODIES))
def model(request: pytest.FixtureRequest) -> Any:
    return model_of(BODIES[request.param])


def map_by_keras(model: Any, size: Size) -> Size | None:
    """The output map that Keras computes, None where it refuses or gives nothing.

    Shapes are inferred first: TensorFlow 2.21 aborts the process on a transposed convolution of an empty map.
    """
    if map_inferred(model, size) is None:
        return None
    try:
        return _map(model(np.ones((1, size.height, size.width, IMAGE[-1]), np.float32)).shape)
    except (ValueError, tf.errors.InvalidArgumentError):
        return None


def map_inferred(model: Any, size: Size) -> Size | None:
    """The output map by Keras's own inference of shapes: quick, but blind to branches that do not meet."""
    try:
        return _map(model.compute_output_shape((1, size.height, size.width, IMAGE[-1])))
    except ValueError:
        return None


def _map(shape: Sequence[int]) -> Size | None:
    rows, columns = shape[1:3] if len(shape) == 4 else (1, 1)
    return Size(rows, columns) if rows > 0 and columns > 0 else None


def map_by_fcnship(network: Any, size: Size) -> Size | None:
    try:
        return output_map(network, size)
    except ProfileRefused:
        return None


def test_every_small_size_as_keras(model: Any) -> None:
    network = network_from_json(network_as_json(network_from_keras(model)))
    for size in [Size(side, 41 - side) for side in SIDES] + [Size(side, side) for side in SIDES]:
        expected = map_by_keras(model, size)
        assert map_by_fcnship(network, size) == expected, size
        assert is_legal(network, size) == (expected is not None), size


def test_minimum_runs_and_nothing_smaller_does(model: Any) -> None:
    geometry = geometry_of(model)
    low = geometry.minimum_size
    assert map_by_keras(model, low)
    assert not any(map_by_keras(model, Size(side, low.width)) for side in range(1, low.height))
    assert not any(map_by_keras(model, Size(low.height, side)) for side in range(1, low.width))
    assert (geometry.minimum_layer == "") == (low == Size(1, 1))


def test_channels_first_is_the_same_geometry() -> None:
    def body(layout: str) -> Any:
        image = keras.Input(IMAGE if layout == "channels_last" else (2, None, None))
        x = layers.Conv2D(3, (3, 5), strides=2, data_format=layout)(image)
        x = layers.MaxPooling2D((2, 1), data_format=layout, name="pool")(x)
        x = layers.BatchNormalization(axis=-1 if layout == "channels_last" else 1)(x)
        return keras.Model(image, layers.GlobalAveragePooling2D(data_format=layout)(x), name="net")

    first, last = geometry_of(body("channels_first")), geometry_of(body("channels_last"))
    assert first == last
    assert (first.total_stride, first.receptive_field) == ((4, 2), (5, 5))


windows = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["conv", "depthwise", "pool", "transposed", "up", "pad"]),
        "kernel": st.integers(1, 4),
        "stride": st.integers(1, 3),
        "same": st.booleans(),
    }
)


def _layer(kind: str, kernel: int, stride: int, same: bool) -> Any:
    padding = "same" if same else "valid"
    match kind:
        case "conv":
            return layers.Conv2D(2, (kernel, 1), strides=stride, padding=padding)
        case "depthwise":
            return layers.DepthwiseConv2D(kernel, dilation_rate=stride, padding=padding)
        case "pool":
            return layers.MaxPooling2D(kernel, stride, padding=padding)
        case "transposed":
            return layers.Conv2DTranspose(2, kernel, strides=stride, padding=padding)
        case "up":
            return layers.UpSampling2D((stride, 1))
        case _:
            return layers.ZeroPadding2D(((kernel - 1, stride), (0, 1)))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(windows, min_size=1, max_size=5), st.lists(st.integers(1, 40), min_size=6, max_size=6))
def test_random_stacks_as_keras(stack: list[dict[str, Any]], sides: list[int]) -> None:
    model = keras.Sequential([keras.Input(IMAGE), *(_layer(**step) for step in stack)])
    network = network_from_keras(model)
    for size in (Size(*pair) for pair in zip(sides[::2], sides[1::2], strict=True)):
        assert map_by_fcnship(network, size) == map_inferred(model, size)

"""Faults put into a converted network show in the same comparisons that the other tests make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from convert_checks import TOLERANCE, largest_difference, largest_difference_on_crops
from convert_models import with_weights
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keras import layers

from fcnship.graph.convert import convert

VISIBLE = 1000 * TOLERANCE


def _original(channels_first: bool = False) -> Any:
    shape = (2, 10, 10) if channels_first else (10, 10, 2)
    order = {"data_format": "channels_first" if channels_first else "channels_last"}
    net = keras.Sequential([keras.Input(shape), layers.Conv2D(4, 3, activation="relu", **order)])
    net.add(layers.MaxPooling2D(**order))
    net.add(layers.Flatten())
    net.add(layers.Dense(6, name="dense"))
    net.add(layers.Dense(3, activation="softmax", name="last"))
    return with_weights(net)


def _change_kernel(change: Callable[[Any], Any]) -> Any:
    """The converted network with its first dense layer's kernel (4, 4, 4, 6) changed."""
    original = _original()
    converted = convert(original)
    kernel, bias = converted.get_layer("dense").get_weights()
    converted.get_layer("dense").set_weights([change(kernel), bias])
    return original, converted


def _drop_bias() -> Any:
    original = _original()
    converted = convert(original)
    kernel, bias = converted.get_layer("dense").get_weights()
    converted.get_layer("dense").set_weights([kernel, np.zeros_like(bias)])
    return original, converted


def _softmax_over_space() -> Any:
    original = _original()
    converted = convert(original)
    before = next(layer for layer in converted.layers if isinstance(layer, layers.Softmax)).input
    return original, keras.Model(converted.input, layers.Softmax(axis=1)(before))


FAULTS = {
    "transposed kernel": lambda: _change_kernel(lambda k: k.transpose(1, 0, 2, 3)),
    "channels before rows": lambda: _change_kernel(lambda k: k.reshape(4, 4, 4, 6).transpose(1, 2, 0, 3)),
    "flipped kernel": lambda: _change_kernel(lambda k: k[::-1, ::-1]),
    "dropped bias": _drop_bias,
    "softmax over space": _softmax_over_space,
}


def test_without_a_fault_there_is_nothing_to_see():
    original, converted = _change_kernel(lambda kernel: kernel)
    assert largest_difference(original, converted) < TOLERANCE
    assert largest_difference_on_crops(original, converted, (2, 2)) < TOLERANCE


@pytest.mark.filterwarnings("ignore:.*You are using a softmax over axis")
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_seen_at_the_trained_size_and_on_crops(name):
    original, converted = FAULTS[name]()
    assert largest_difference(original, converted) > VISIBLE
    assert largest_difference_on_crops(original, converted, (2, 2)) > VISIBLE


def test_the_wrong_flatten_order_is_seen(monkeypatch):
    original = _original(channels_first=True)
    assert largest_difference(original, convert(original)) < TOLERANCE
    original = _original(channels_first=True)
    monkeypatch.setattr("fcnship.graph.surgery.flatten.flat_order", lambda surgeon, op: "hwc")
    assert largest_difference(original, convert(original)) > VISIBLE


KINDS = ("conv", "depthwise", "separable", "max", "average", "norm")


# Shrinking rebuilds networks for minutes; the draws of a failing example are printed and small anyway.
@settings(
    max_examples=12, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(data=st.data())
def test_random_networks(data: Any):
    original, stride = _random_network(data.draw)
    converted = convert(original)
    assert largest_difference(original, converted) < TOLERANCE
    assert largest_difference_on_crops(original, converted, stride) < TOLERANCE


def _random_network(draw: Any) -> tuple[Any, tuple[int, int]]:
    """A random small network with valid padding, and its total stride."""
    total = 1
    x = start = keras.Input((draw(st.integers(12, 20)), draw(st.integers(12, 20)), draw(st.integers(1, 3))))
    for kind in ["conv", *draw(st.lists(st.sampled_from(KINDS), max_size=3))]:
        size = tuple(draw(st.integers(1, max(1, min(3, side // 2)))) for side in x.shape[1:3])
        step = draw(st.integers(1, 2)) if min(x.shape[1:3]) > 7 and kind != "norm" else 1
        x = _random_layer(kind, size, step, filters=draw(st.integers(1, 4)))(x)
        total *= step
    x = layers.Flatten(data_format=draw(st.sampled_from(["channels_first", "channels_last"])))(x)
    for units in draw(st.lists(st.integers(2, 5), min_size=1, max_size=2)):
        activation = draw(st.sampled_from(["relu", None]))
        x = layers.Dense(units, use_bias=draw(st.booleans()), activation=activation)(x)
    return with_weights(keras.Model(start, x), seed=draw(st.integers(0, 99))), (total, total)


def _random_layer(kind: str, size: tuple[int, int], step: int, filters: int) -> Any:
    made = {
        "conv": lambda: layers.Conv2D(filters, size, strides=step, activation="relu"),
        "depthwise": lambda: layers.DepthwiseConv2D(size, strides=step),
        "separable": lambda: layers.SeparableConv2D(filters, size, strides=step, activation="tanh"),
        "max": lambda: layers.MaxPooling2D(size, strides=step),
        "average": lambda: layers.AveragePooling2D(size, strides=step),
        "norm": layers.BatchNormalization,
    }
    return made[kind]()

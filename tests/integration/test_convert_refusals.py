"""What cannot be converted is refused with the layer's name, the reason and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from convert_models import conv, head, image
from keras import layers, ops

from fcnship.errors import ModelRefused
from fcnship.graph.convert import convert


class Doubled(layers.Layer):
    """A custom layer."""

    def call(self, x: Any) -> Any:
        return x * 2


class Written(keras.Model):
    """A subclassed model."""

    def call(self, x: Any) -> Any:
        return x


def _on_map(*steps: Any) -> Any:
    x = start = image(8)
    x = conv()(x)
    for step in steps:
        x = step(x)
    return keras.Model(start, x, name="net")


def _two_inputs() -> Any:
    a, b = image(8, name="left"), image(8, name="right")
    return keras.Model([a, b], head(layers.Add()([conv()(a), conv()(b)])), name="net")


def _flatten_on_input() -> Any:
    return keras.Sequential([image(8), layers.Rescaling(2.0), layers.Flatten(name="flat"), layers.Dense(3)])


def _no_convolution() -> Any:
    return keras.Sequential([image(8), layers.GlobalAveragePooling2D(), layers.Dense(3)], name="net")


def _vector() -> Any:
    return keras.Sequential([keras.Input((5,)), layers.Dense(3)], name="net")


def _sizes_meet_once() -> Any:
    start = image(8)
    left = layers.Dense(3)(layers.Flatten()(conv()(start)))
    right = layers.Dense(3)(layers.Flatten()(conv(strides=2)(start)))
    return keras.Model(start, layers.Add()([left, right]), name="net")


def _cells_and_whole() -> Any:
    start = image(8)
    x = conv()(start)
    both = [layers.Dense(4)(layers.Flatten()(x)), layers.GlobalMaxPooling2D()(x)]
    return keras.Model(start, layers.Dense(3)(layers.Concatenate(name="join")(both)))


def _first_and_last() -> Any:
    start = keras.Input((6, 6, 6))
    x = conv(name="a", data_format="channels_first", padding="same")(start)
    return keras.Model(start, head(conv(name="b")(x)))


REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "flatten on the input": (_flatten_on_input, "layer 'flat' (Flatten)", "straight on the input"),
    "no convolution": (_no_convolution, "model 'net' holds no convolution", "nothing to slide"),
    "a vector": (_vector, "model 'net' takes no image", "height, width and channels"),
    "two inputs": (_two_inputs, "model 'net' has 2 inputs: 'left', 'right'", "one image"),
    "recurrent": (
        lambda: _on_map(layers.Reshape((36, 4), name="rows"), layers.LSTM(3)),
        "layer 'rows' (Reshape)",
        "it fixes a size: 36x4",
    ),
    "attention": (
        lambda: _on_map(lambda x: layers.MultiHeadAttention(1, 2, name="look")(x, x)),
        "layer 'look' (MultiHeadAttention)",
        "attention layers read the map as a sequence",
    ),
    "convolutional lstm": (
        lambda: _on_map(layers.TimeDistributed(layers.Dense(2), name="each")),
        "layer 'each' (TimeDistributed)",
        "recurrent layers read the map as a sequence",
    ),
    "reshape": (
        lambda: _on_map(layers.Reshape((12, 12, 1), name="fold")),
        "layer 'fold' (Reshape)",
        "it fixes a size: 12x12x1",
    ),
    "resizing": (
        lambda: _on_map(layers.Resizing(4, 4, name="small")),
        "layer 'small' (Resizing)",
        "fixes a size",
    ),
    "permute": (
        lambda: _on_map(layers.Permute((2, 1, 3), name="turn")),
        "layer 'turn' (Permute)",
        "every place",
    ),
    "lambda": (
        lambda: _on_map(layers.Lambda(lambda x: x, name="code")),
        "layer 'code' (Lambda)",
        "Python code",
    ),
    "custom layer": (lambda: _on_map(Doubled(name="mine")), "layer 'mine' (Doubled)", "custom layer"),
    "subclassed": (lambda: Written(name="net"), "model 'net' (Written) has no graph", "Python code"),
    "never built": (
        lambda: keras.Sequential([conv()], name="net"),
        "model 'net' was never built",
        "no Input",
    ),
    "sizes meet once": (_sizes_meet_once, "model 'net' cannot run at", "at 8x8 alone"),
    "cells and the whole": (_cells_and_whole, "layer 'join' (Concatenate)", "one for the whole image"),
    "two layouts": (_first_and_last, "layers 'a' and 'b' differ in their layout", "channels_first"),
    "prelu for each place": (
        lambda: _on_map(layers.PReLU(name="slopes")),
        "layer 'slopes' (PReLU)",
        "each place",
    ),
    "norm of rows": (
        lambda: _on_map(layers.LayerNormalization(axis=[1, 2, 3], name="norm")),
        "layer 'norm' (LayerNormalization)",
        "fix the size",
    ),
    "norm then activation": (
        lambda: _on_map(
            layers.Flatten(), layers.BatchNormalization(), layers.ReLU(name="act"), layers.Dense(3)
        ),
        "layer 'act' (ReLU)",
        "scales each place",
    ),
    "softmax over places": (
        lambda: _on_map(layers.Flatten(), layers.Softmax(name="soft")),
        "layer 'soft' (Softmax)",
        "places of a flattened map",
    ),
    "flattened output": (
        lambda: _on_map(layers.Flatten(name="flat")),
        "output 'flat' is a flattened map",
        "no Dense",
    ),
    "mean image": (
        lambda: _on_map(lambda x: x - ops.ones((6, 6, 1))),
        "(Subtract)",
        "its constant of 6x6x1 fixes the size",
    ),
    "sum of rows": (lambda: _on_map(lambda x: ops.mean(x, axis=1)), "(Mean)", "rows without columns"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_layer_the_reason_and_the_way_out(name):
    build, what, cause = REFUSED[name]
    with pytest.raises(ModelRefused) as caught:
        convert(build())
    assert what in caught.value.what
    assert cause in caught.value.cause
    assert caught.value.next
    assert caught.value.exit_code == 3


def test_a_whole_message():
    with pytest.raises(ModelRefused) as caught:
        convert(_flatten_on_input())
    assert str(caught.value) == (
        "layer 'flat' (Flatten) cannot be made convolutional\n"
        "  cause: it stands straight on the input: no convolution comes before it\n"
        "  next:  put at least one convolution before it; dense layers alone have nothing to slide"
    )


def test_a_custom_layer_behind_global_pooling_sees_no_size():
    model = _on_map(layers.GlobalAveragePooling2D(), Doubled(name="mine"))
    assert convert(model).output_shape == (None, 4)

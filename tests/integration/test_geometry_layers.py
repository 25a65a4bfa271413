"""How Keras models are read: names, kinds, what is refused and what ties a network to one size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from geometry_models import model_of
from keras import layers, ops

from fcnship.errors import ModelRefused
from fcnship.graph.cost import cost_of
from fcnship.graph.geometry import geometry_of
from fcnship.graph.network import network_from_keras
from fcnship.sizes import Size

Body = Callable[[Any], Any]
SMALL = (8, 10, 2)


def _named(x: Any) -> Any:
    shared = layers.Conv2D(2, 3, name="shared")
    inner = keras.Sequential([keras.Input((None, None, 2)), shared, layers.ReLU(name="act")], name="inner")
    outer_input = keras.Input((None, None, 2))
    outer = keras.Model(outer_input, inner(outer_input), name="outer")
    return layers.Add(name="sum")([outer(x), outer(x)])


def test_nested_and_shared_layers_have_a_path_and_a_node_a_call() -> None:
    network = network_from_keras(model_of(_named))
    assert [(node.name, node.call, node.inputs) for node in network.nodes[1:]] == [
        ("outer/inner/shared", 1, (0,)),
        ("outer/inner/act", 1, (1,)),
        ("outer/inner/shared", 2, (0,)),
        ("outer/inner/act", 2, (3,)),
        ("sum", 1, (2, 4)),
    ]
    assert network.parameters == 38


def test_several_outputs() -> None:
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(5, 3)(image)
    pooled = layers.GlobalAveragePooling2D()(x)
    geometry = geometry_of(keras.Model(image, [layers.Conv2D(3, 3)(x), layers.Dense(7)(pooled)]))
    assert (geometry.outputs, geometry.classes, geometry.receptive_field) == (("map", "vector"), 3, (5, 5))


TYING: dict[str, tuple[Body, str]] = {
    "flatten": (lambda x: layers.Dense(3)(layers.Flatten(name="it")(x)), "it"),
    "reshape": (lambda x: layers.Reshape((160,), name="it")(x), "it"),
    "reshape to a map": (lambda x: layers.Reshape((4, 20, 2), name="it")(x), "it"),
    "a weight for each cell": (lambda x: layers.PReLU(name="it")(x), "it"),
    "norm over space": (lambda x: layers.LayerNormalization(axis=(1, 2, 3), name="it")(x), "it"),
    "a constant map": (lambda x: x * ops.ones((8, 10, 1)), "multiply"),
}


@pytest.mark.parametrize("name", TYING)
def test_what_ties_a_network_to_one_size(name: str) -> None:
    body, layer = TYING[name]
    geometry = geometry_of(model_of(body, SMALL))
    assert geometry.fixed_size == Size(8, 10)
    assert geometry.fixing_layer.startswith(layer)


FREE: dict[str, Body] = {
    "flatten after a global pool": lambda x: layers.Flatten()(layers.GlobalMaxPooling2D(keepdims=True)(x)),
    "flatten after an adaptive pool": lambda x: layers.Flatten()(layers.AdaptiveAveragePooling2D(2)(x)),
    "reshape after a global pool": lambda x: layers.Reshape((1, 1, 2))(layers.GlobalMaxPooling2D()(x)),
    "reduction": lambda x: layers.Dense(3)(ops.mean(x, axis=(-3, -2))),
    "channel statistics": lambda x: ops.mean(x, axis=-1, keepdims=True) * x,
    "shared slope": lambda x: layers.PReLU(shared_axes=(1, 2))(x),
    "norm over channels": lambda x: layers.LayerNormalization()(x),
    "augmentation": lambda x: layers.RandomFlip()(layers.Rescaling(1 / 255)(x)),
    "a dense layer on a map": lambda x: layers.Dense(3, activation="softmax")(x),
    "a constant for each channel": lambda x: x - ops.ones((2,)),
    "squeeze": lambda x: ops.squeeze(ops.max(x, axis=(1, 2), keepdims=True), axis=(1, 2)),
}


@pytest.mark.parametrize("name", FREE)
def test_what_leaves_a_network_free(name: str) -> None:
    geometry = geometry_of(model_of(FREE[name], SMALL))
    assert (geometry.fixed_size, geometry.minimum_size) == (None, Size(1, 1))


class Custom(layers.Layer):
    def call(self, x: Any) -> Any:
        return x


class Inherited(layers.Conv2D):
    def call(self, x: Any) -> Any:
        return super().call(x)[:, 1:]


REFUSED: dict[str, tuple[Body, str]] = {
    "custom layer": (Custom(name="it"), "layer 'it' (Custom) cannot be used"),
    "custom convolution": (Inherited(2, 3, name="it"), "layer 'it' (Inherited) cannot be used"),
    "lambda": (layers.Lambda(lambda x: x, name="it"), "layer 'it' (Lambda) cannot be used"),
    "permute": (layers.Permute((2, 1, 3), name="it"), "layer 'it' (Permute) cannot be used"),
    "slice": (lambda x: x[:, 1:], "(GetItem) cannot be used"),
    "joined rows": (
        lambda x: layers.Concatenate(1, name="it")([x, x]),
        "layer 'it' (Concatenate) cannot be used",
    ),
    "one axis reduced": (lambda x: ops.max(x, axis=1, keepdims=True), "(Max) cannot be used"),
    "sequence": (layers.Reshape((-1, 2), name="it"), "layer 'it' (Reshape) cannot be used"),
    "mixed layouts": (
        lambda x: layers.MaxPooling2D(2, data_format="channels_first", name="it")(layers.Conv2D(2, 3)(x)),
        "layer 'it' (MaxPooling2D) cannot be used",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused_by_name(name: str) -> None:
    body, what = REFUSED[name]
    with pytest.raises(ModelRefused) as refused:
        network_from_keras(model_of(body, SMALL))
    assert what in refused.value.what
    assert refused.value.cause
    assert refused.value.next


def test_the_whole_message() -> None:
    with pytest.raises(ModelRefused) as refused:
        network_from_keras(model_of(Custom(name="odd")))
    assert str(refused.value) == (
        "layer 'odd' (Custom) cannot be used\n"
        "  cause: it is a custom class, and what it does to a map's size is not known\n"
        "  next:  replace it by standard layers (convolution, pooling, activation, merge)"
    )


def test_models_without_one_image_are_refused() -> None:
    a, b = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    with pytest.raises(ModelRefused, match="does not take one image"):
        network_from_keras(keras.Model([a, b], layers.Add()([a, b])))
    with pytest.raises(ModelRefused, match="does not take one image"):
        network_from_keras(keras.Sequential([keras.Input((784,)), layers.Dense(10)]))
    with pytest.raises(ModelRefused, match="was never built"):
        network_from_keras(keras.Sequential([layers.Conv2D(2, 3)]))
    with pytest.raises(ModelRefused, match="has no graph of layers"):
        network_from_keras(keras.Model())


def test_a_softmax_over_channels_first_columns_is_global_context() -> None:
    image = keras.Input((2, None, None))
    head = layers.Conv2D(3, 3, data_format="channels_first", activation="softmax")
    assert geometry_of(keras.Model(image, head(image))).global_context


def test_costs_of_real_layers() -> None:
    image = keras.Input((28, 28, 1))
    x = layers.Conv2D(32, 3)(image)
    dense = keras.Model(image, layers.Dense(10)(layers.Dense(128)(layers.Flatten()(x))))
    assert cost_of(network_from_keras(dense), Size(28, 28)).multiply_adds == 676 * 288 + 21632 * 128 + 1280
    y = layers.SeparableConv2D(8, 3, depth_multiplier=2)(x)
    y = layers.Conv2D(8, 3, groups=4)(layers.DepthwiseConv2D(3)(y))
    rows = cost_of(network_from_keras(keras.Model(image, y)), Size(28, 28)).layers
    assert [row.multiply_adds for row in rows[2:]] == [576 * (9 * 64 + 64 * 8), 484 * 72, 400 * 9 * 2 * 8]

"""Exported nodes carry the names of the Keras layers that they came from, whatever was traced before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import onnx
import pytest
from keras import layers

from fcnship.errors import UsageError
from fcnship.graph.network import network_from_keras
from fcnship.graph.onnx_export import export
from fcnship.graph.onnx_layers import Layer, layers_of, merged_layers
from fcnship.precision.places import known_layers


def network() -> Any:
    inner = keras.Sequential(
        [
            keras.Input((None, None, 4)),
            layers.Conv2D(4, 3, padding="same", name="a b"),
            layers.ReLU(name="r"),
        ],
        name="inner",
    )
    shared = layers.Conv2D(4, 1, name="shared")
    image = keras.Input((None, None, 1), name="image")
    x = layers.Conv2D(4, 3, name="conv2d")(image)
    x = layers.Conv2D(4, 3, name="conv2d_1")(x)  # the name that TensorFlow would give a second conv2d
    x = inner(inner(x))
    x = layers.Rescaling(2.0, name="twice")(layers.Add(name="joined")([x, shared(shared(x))]))
    x = layers.GlobalMaxPooling2D(name="all")(layers.DepthwiseConv2D(3, name="depthwise")(x))
    return keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x), name="net")


def exported(model: Any, path: Path) -> onnx.ModelProto:
    export(model, path, "nchw", {})
    return onnx.load(path)


def test_every_node_has_its_layer(tmp_path: Path) -> None:
    model = network()
    found = layers_of(exported(model, tmp_path / "a.onnx"))
    assert len(found) == len(onnx.load(tmp_path / "a.onnx").graph.node)
    assert set(found.values()) == {
        *(Layer(path, 1) for path in ("conv2d", "conv2d_1", "joined", "twice", "depthwise", "all", "scores")),
        *(Layer(path, call) for path in ("inner/a b", "inner/r", "shared") for call in (1, 2)),
    }
    assert set(found.values()) <= {Layer(node.name, node.call) for node in network_from_keras(model).nodes}


def test_a_convolution_that_went_into_its_batch_normalization_is_known(tmp_path: Path) -> None:
    image = keras.Input((None, None, 1), name="image")
    x = layers.Conv2D(4, 3, use_bias=False, name="plain")(image)
    x = layers.BatchNormalization(name="plain_bn")(x)
    x = layers.Conv2D(4, 3, name="biased")(x)
    x = layers.BatchNormalization(name="biased_bn")(x)
    model = keras.Model(image, layers.GlobalMaxPooling2D(name="all")(x), name="net")
    for variable in model.variables:
        variable.assign(variable + 0.01)
    made = exported(model, tmp_path / "a.onnx")
    assert {layer.path for layer in layers_of(made).values()} == {"plain_bn", "biased", "all"}
    assert merged_layers(made) == {"plain": "plain_bn"}
    assert known_layers(["plain", "biased"], made) == ("plain_bn", "biased")
    with pytest.raises(UsageError, match="the network has no such layer"):
        known_layers(["plane"], made)


def test_names_do_not_depend_on_what_was_traced_before(tmp_path: Path) -> None:
    model = network()
    before = exported(model, tmp_path / "a.onnx")
    model(keras.ops.zeros((1, 32, 32, 1)))
    assert exported(model, tmp_path / "b.onnx") == before

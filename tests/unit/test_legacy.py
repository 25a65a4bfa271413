"""Old configurations rewritten: each thing that Keras 3 refuses, alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fcnship.graph.legacy import kernels_stand_first, modern_config

DENSE = {"class_name": "Dense", "config": {"name": "d", "units": 3}}


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}}


def layer(kind: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": "layer", **config}}


def mended(*layers: dict[str, Any]) -> tuple[list[Any], tuple[str, ...]]:
    config, notes = modern_config(sequential(*layers))
    return config["config"]["layers"], notes


def test_nothing_to_mend_comes_back_equal():
    config = sequential(layer("InputLayer", batch_shape=[None, 8, 8, 1]), layer("Conv2D", filters=3), DENSE)
    assert modern_config(config) == (config, ())


def test_the_argument_is_left_as_it_is():
    config = {"class_name": "Sequential", "config": [layer("Conv2D", batch_input_shape=[None, 8, 8, 1])]}
    before = copy.deepcopy(config)
    modern_config(config)
    assert config == before


def test_a_bare_list():
    config, notes = modern_config({"class_name": "Sequential", "config": [DENSE]})
    assert config["config"] == {"name": "sequential", "layers": [DENSE]}
    assert notes == ("Sequential was a bare list of layers (Keras 2.2.2 or older)",)


def test_batch_input_shape_on_the_first_layer():
    layers, notes = mended(
        layer("Conv2D", batch_input_shape=[None, 8, 8, 1], dtype="float16", filters=2), DENSE
    )
    start = {"batch_shape": [None, 8, 8, 1], "dtype": "float16", "name": "layer_input"}
    assert layers == [
        {"class_name": "InputLayer", "config": start},
        layer("Conv2D", dtype="float16", filters=2),
        DENSE,
    ]
    assert notes == ("the first layer carried batch_input_shape (Keras 2)",)


def test_batch_input_shape_behind_an_input_layer():
    layers, notes = mended(
        layer("InputLayer", batch_input_shape=[None, 8, 8, 1], ragged=False),
        layer("Conv2D", batch_input_shape=[None, 8, 8, 1]),
    )
    assert layers == [layer("InputLayer", batch_shape=[None, 8, 8, 1]), layer("Conv2D")]
    assert notes == ()


def test_an_initializer_with_a_dtype():
    start = {"class_name": "VarianceScaling", "config": {"dtype": "float32", "distribution": "normal"}}
    layers, notes = mended(layer("Dense", kernel_initializer=start))
    assert layers[0]["config"]["kernel_initializer"]["config"] == {"distribution": "truncated_normal"}
    assert notes == ("initializers had a dtype (Keras 2.2.4-tf)",)


def test_groups_on_a_depthwise_convolution():
    layers, notes = mended(layer("DepthwiseConv2D", groups=1, kernel_size=[3, 3]), layer("Conv2D", groups=2))
    assert layers == [layer("DepthwiseConv2D", kernel_size=[3, 3]), layer("Conv2D", groups=2)]
    assert notes == ("DepthwiseConv2D had groups (TensorFlow 2.4 and later 2.x)",)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("BatchNormalization", {"axis": [3], "fused": True, "renorm": False}, {"axis": 3}),
        ("LeakyReLU", {"alpha": 0.3}, {"negative_slope": 0.3}),
        ("Dense", {"dtype": {"class_name": "Policy", "config": {"name": "float32"}}}, {"dtype": "float32"}),
    ],
)
def test_settings_under_old_names(kind, old, new):
    layers, _ = mended(layer(kind, **old))
    assert layers == [layer(kind, **new)]


def test_nested_models_and_wrapped_layers():
    inner = {"class_name": "Model", "config": {"name": "in", "layers": [layer("DepthwiseConv2D", groups=1)]}}
    layers, notes = mended(inner, layer("TimeDistributed", layer=layer("DepthwiseConv2D", groups=1)))
    assert layers[0]["class_name"] == "Functional"
    assert layers[0]["config"]["layers"] == [layer("DepthwiseConv2D")]
    assert layers[1]["config"]["layer"] == layer("DepthwiseConv2D")
    assert len(notes) == 1


def test_calls_of_nested_models_are_counted_from_zero():
    inner = {
        **sequential(DENSE),
        "name": "net",
        "inbound_nodes": [[["start", 0, 0, {}]], [["net", 1, 0, {}]]],
    }
    last = {**layer("Add"), "inbound_nodes": [[["net", 1, 0, {}], ["net", 2, 0, {}]]]}
    functional = {"name": "outer", "layers": [inner, last], "output_layers": [["net", 2, 0]]}
    config, notes = modern_config({"class_name": "Functional", "config": functional})
    first, second = config["config"]["layers"]
    assert first["inbound_nodes"] == [[["start", 0, 0, {}]], [["net", 0, 0, {}]]]
    assert second["inbound_nodes"] == [[["net", 0, 0, {}], ["net", 1, 0, {}]]]
    assert config["config"]["output_layers"] == [["net", 1, 0]]
    assert notes == ("calls of nested models were counted from one (Keras 2)",)


KERAS1 = layer(
    "Convolution2D", nb_filter=4, nb_row=3, nb_col=5, border_mode="same", subsample=[2, 2], dim_ordering="th",
    init="glorot_uniform", bias=True, activation="relu", W_regularizer=None,
    batch_input_shape=[None, 1, 9, 9],
)  # fmt: skip


def test_keras_1():
    pool = layer("MaxPooling2D", pool_size=[2, 2], border_mode="valid", dim_ordering="th")
    layers, notes = mended(
        KERAS1,
        pool,
        layer("Dropout", p=0.5),
        layer("Dense", output_dim=3, init="uniform", bias=False, input_dim=None),
    )
    assert layers[1:] == [
        layer("Conv2D", filters=4, kernel_size=[3, 5], padding="same", strides=[2, 2], use_bias=True,
              data_format="channels_first", activation="relu"),
        layer("MaxPooling2D", pool_size=[2, 2], padding="valid", data_format="channels_first"),
        layer("Dropout", rate=0.5),
        layer("Dense", units=3, use_bias=False),
    ]  # fmt: skip
    assert layers[0]["config"]["batch_shape"] == [None, 1, 9, 9]
    assert "layers were in the words of Keras 1" in notes


def test_keras_1_merges():
    layers, _ = mended(layer("Merge", mode="concat", concat_axis=1), layer("Merge", mode="sum"))
    assert layers == [layer("Concatenate", axis=1), layer("Add")]


def test_kernels_that_stand_first():
    assert kernels_stand_first(sequential(KERAS1, DENSE)) == {"layer"}
    assert kernels_stand_first(sequential(layer("Convolution2D", dim_ordering="tf"), DENSE)) == frozenset()

"""Models that compute in another dtype than float32: the ONNX file is float32, of the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from convert_models import with_weights
from keras import layers
from onnx import TensorProto

from fcnship.errors import ModelRefused
from fcnship.graph.dtypes import dtypes_of, in_float32
from fcnship.graph.onnx_export import export
from fcnship.precision.element_types import element_types
from fcnship.precision.truth import check_file
from fcnship.runners import run
from fcnship.runners.onnxruntime import OnnxRunner

# Keras 3 hands variables to NumPy 2 in the old way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
# What each rounds off, as a share of the largest output, with room for a few layers.
POLICIES = {
    "mixed_float16": 2e-3,
    "mixed_bfloat16": 2e-2,
    "float16": 2e-3,
    "bfloat16": 2e-2,
    "float64": 1e-6,
}
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}


class Stubborn(layers.Layer):
    """A custom layer that computes in float16 whatever its configuration says."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{**given, "dtype": "float16"})

    def call(self, x: Any) -> Any:
        return x


def network(policy: str, *extra: Any) -> Any:
    """A small classifier whose layers all have one policy; outputs are float32 where it is a mixed one."""
    start = keras.Input((None, None, 2))
    x = layers.Conv2D(8, 3, activation="relu", dtype=policy)(start)
    x = layers.BatchNormalization(dtype=policy)(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", dtype=policy)(x)
    for layer in extra:
        x = layer(x)
    x = layers.GlobalAveragePooling2D(dtype=policy)(layers.Activation("gelu", dtype=policy)(x))
    last = "float32" if policy.startswith("mixed") else policy
    return with_weights(keras.Model(start, layers.Dense(4, activation="softmax", dtype=last)(x)))


@pytest.mark.parametrize("policy", POLICIES)
def test_the_file_is_float32_and_the_same_function(policy: str, tmp_path: Path) -> None:
    model = network(policy)
    assert dtypes_of(model) > {"float32"} or dtypes_of(model) == {policy}
    export(model, tmp_path / "model.onnx", "nchw", {})
    made = onnx.load(tmp_path / "model.onnx")
    assert set(element_types(made).values()) & FLOATS == {TensorProto.FLOAT}
    assert len(check_file(made, "fp32", (), "model.onnx")) == 3
    assert not any(node.op_type == "Cast" for node in made.graph.node)
    images = np.random.default_rng(0).random((2, 15, 17, 2), np.float32)
    found = run(OnnxRunner("onnx-fp32", tmp_path / "model.onnx", "nchw"), images)
    expected = np.asarray(model(images, training=False), np.float32)
    assert np.abs(found - expected).max() < POLICIES[policy]
    exact = np.asarray(in_float32(model)(images, training=False))
    assert np.abs(found - exact).max() < 1e-6


def test_a_model_in_float32_is_not_copied() -> None:
    model = network("float32")
    assert in_float32(model) is model


def test_what_cannot_be_made_again_is_refused_by_name() -> None:
    with pytest.raises(ModelRefused, match=r"computes in float16 and cannot be made again in float32"):
        in_float32(network("mixed_float16", Stubborn()))

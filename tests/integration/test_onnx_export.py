"""The export to ONNX, network by network: equal to Keras at several sizes, and no clutter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from onnx import numpy_helper
from onnx_models import OTHERS, PLAIN, conv, network, stack, with_weights

from fcnship.errors import ModelRefused
from fcnship.graph.onnx_export import export
from fcnship.options import Layout

SHAPES = [(1, 32, 32), (3, 33, 47), (2, 65, 40)]
CLUTTER = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Shape", "Identity", "Cast", "Gather", "MatMul"}
TOLERANCE = 2e-6


def exported(model: Any, path: Path, layout: Layout = "nchw") -> Any:
    """The exported file, loaded with ONNX alone."""
    export(model, path, layout, {"key": "value"})
    onnx.checker.check_model(str(path), full_check=True)
    return onnx.load(path)


def largest_difference(model: Any, path: Path, layout: Layout = "nchw") -> float:
    """Over three shapes, relative to the largest output; the outputs must differ between images."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst, first = 0.0, layout == "nchw"
    for shape in SHAPES:
        images = np.random.default_rng(shape).uniform(0, 4, (*shape, model.inputs[0].shape[-1]))
        images = images.astype(np.float32)
        expected = np.asarray(model(images, training=False))
        feed = np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if first else images
        outputs = session.run(["probabilities"], {"image": feed})[0]
        outputs = outputs.transpose(0, 2, 3, 1) if outputs.ndim == 4 and first else outputs
        assert outputs.shape == expected.shape
        assert np.ptp(expected) > 1e-3
        worst = max(worst, float(np.abs(outputs - expected).max() / max(1, np.abs(expected).max())))
    return worst


def shapes(model: Any) -> list[list[str | int]]:
    values = (*model.graph.input, *model.graph.output)
    return [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values]


def operators(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("build", PLAIN.values(), ids=PLAIN)
def test_equal_and_without_clutter(build: Callable[[], Any], tmp_path: Path) -> None:
    model, path = with_weights(build()), tmp_path / "net.onnx"
    made = exported(model, path)
    assert not operators(made).keys() & CLUTTER
    assert {entry.domain: entry.version for entry in made.opset_import} == {"": 18}
    outputs = list(model.outputs[0].shape[1:])
    spatial = [outputs[-1], "map_height", "map_width"] if len(outputs) == 3 else outputs
    assert shapes(made) == [["batch", model.inputs[0].shape[-1], "height", "width"], ["batch", *spatial]]
    assert largest_difference(model, path) < TOLERANCE
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize("build", OTHERS.values(), ids=OTHERS)
def test_equal_where_the_network_itself_reshapes(build: Callable[[], Any], tmp_path: Path) -> None:
    model = with_weights(build())
    exported(model, tmp_path / "net.onnx")
    assert largest_difference(model, tmp_path / "net.onnx") < TOLERANCE


@pytest.mark.parametrize("name", ["colour", "grey", "batchnorm", "normalization", "map of scores", "grouped"])
def test_nhwc_keeps_keras_s_order(name: str, tmp_path: Path) -> None:
    model, path = with_weights(PLAIN[name]()), tmp_path / "net.onnx"
    made = exported(model, path, "nhwc")
    outputs = list(model.outputs[0].shape[1:])
    spatial = ["map_height", "map_width", outputs[-1]] if len(outputs) == 3 else outputs
    assert shapes(made) == [["batch", "height", "width", model.inputs[0].shape[-1]], ["batch", *spatial]]
    # Into the convolutions' order, and out of it again where the output is a map.
    assert operators(made)["Transpose"] == (2 if len(outputs) == 3 else 1)
    assert largest_difference(model, path, "nhwc") < TOLERANCE


def test_large_weights_come_back_as_they_were(tmp_path: Path) -> None:
    model = with_weights(PLAIN["large kernel"]())
    made = exported(model, tmp_path / "net.onnx")
    large = [np.asarray(v) for v in model.variables if v.shape == (3, 3, 128, 128)]
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    assert [value.name for value in made.graph.input] == ["image"]
    assert not any("weight_" in name for node in made.graph.node for name in node.input)
    assert large
    for kernel in large:
        turned = kernel.transpose(3, 2, 0, 1)
        assert any(t.shape == turned.shape and np.array_equal(t, turned) for t in stored.values())


def test_metadata_is_written(tmp_path: Path) -> None:
    made = exported(PLAIN["colour"](), tmp_path / "net.onnx")
    written = {entry.key: entry.value for entry in made.metadata_props}
    assert set(written) == {"key", "fcnship.layers"}
    assert written["key"] == "value"
    assert made.producer_name == "fcnship"
    assert made.graph.name == "net"


@pytest.mark.parametrize("build", [PLAIN["large kernel"], OTHERS["transposed"]], ids=["plain", "clutter"])
def test_the_same_model_gives_the_same_bytes(build: Callable[[], Any], tmp_path: Path) -> None:
    model = build()
    for name in ("a", "b"):
        export(model, tmp_path / name, "nchw", {})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_model_traces_as_before_afterwards(tmp_path: Path) -> None:
    """The export changes Keras's layers while it traces, and puts them back."""
    methods = (layers.Conv2D.convolution_op, layers.Conv2D.call, layers.Dense.call)
    export(PLAIN["modern block"](), tmp_path / "net.onnx", "nchw", {})
    with pytest.raises(ModelRefused):
        export(_bilinear(), tmp_path / "net.onnx", "nchw", {})
    assert (layers.Conv2D.convolution_op, layers.Conv2D.call, layers.Dense.call) == methods
    assert "convolution_op" not in vars(layers.Conv2D)


def test_mobilenet(tmp_path: Path) -> None:
    base = keras.applications.MobileNetV2(
        input_shape=(None, None, 3), alpha=0.35, include_top=False, weights=None, pooling="avg"
    )
    model = with_weights(
        keras.Model(base.input, layers.Dense(10, activation="softmax")(base.output), name="mobilenet")
    )
    made = exported(model, tmp_path / "net.onnx")
    assert operators(made) == {"Conv": 52, "Clip": 35, "Add": 10, "ReduceMean": 1, "Gemm": 1, "Softmax": 1}
    assert largest_difference(model, tmp_path / "net.onnx") < TOLERANCE


def _bilinear() -> Any:
    return network(stack(conv(), layers.UpSampling2D(2, interpolation="bilinear")))


def test_a_layer_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused) as refused:
        export(_bilinear(), tmp_path / "net.onnx", "nchw", {})
    assert str(refused.value) == (
        "net cannot be traced for any size: OperatorNotAllowedInGraphError: "
        "Exception encountered when calling UpSampling2D.call().\n"
        "  cause: a layer asks for the size itself in Python (UpSampling2D but for 'nearest' among others)\n"
        "  next:  replace that layer, by Conv2DTranspose or UpSampling2D with interpolation='nearest'"
    )
    assert not list(tmp_path.iterdir())


class _Digamma(layers.Layer):
    def call(self, x: Any) -> Any:
        import tensorflow as tf

        return tf.math.digamma(x + 1.0)


def test_an_operation_that_onnx_lacks_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused) as refused:
        export(network(stack(conv(), _Digamma())), tmp_path / "net.onnx", "nchw", {})
    assert str(refused.value) == (
        "net cannot be written as ONNX: operations without an ONNX counterpart: Digamma\n"
        "  cause: tf2onnx does not convert an operation of it\n"
        "  next:  replace that layer, or report it with the model's layers: fcnship explain MODEL"
    )
    assert not list(tmp_path.iterdir())

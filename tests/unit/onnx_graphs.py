"""Small ONNX graphs, written node by node: float32 weights in, and a model whose shapes are dynamic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

IMAGE = ["batch", 1, "height", "width"]


def model_of(
    nodes: Sequence[Any],
    weights: Mapping[str, Any],
    *,
    layers: Sequence[str] = (),
    output: Sequence[Any] = ("batch", "c", "h", "w"),
    channels: int = 1,
) -> Any:
    """A model from ``image`` to ``probabilities``; nodes of ``layers`` are named as the export names them."""
    shape = [IMAGE[0], channels, *IMAGE[2:]]
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, list(output))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model.producer_name = "fcnship"
    scopes = {layer: [layer, 1] for layer in layers}
    model.metadata_props.add(key="fcnship.layers", value=json.dumps(scopes))
    onnx.checker.check_model(model, full_check=True)
    return model


def conv(name: str, source: str, made: str, weights: str, *more: str) -> Any:
    """A convolution that keeps the size."""
    return helper.make_node("Conv", [source, weights, *more], [made], name, auto_pad="SAME_UPPER")


def node(kind: str, name: str, sources: Sequence[str], made: str, **attributes: Any) -> Any:
    return helper.make_node(kind, list(sources), [made], name, **attributes)


def single(value: float, filters: int = 1, channels: int = 1) -> Any:
    """A 1x1 kernel of one value, float32."""
    return np.full((filters, channels, 1, 1), value, np.float32)


def run(model: Any, image: Any) -> Any:
    """What ONNX Runtime makes of it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
    return session.run(None, {"image": image})[0]


def flat(value: float, side: int = 4, dtype: Any = np.float32) -> Any:
    """An image of one value."""
    return np.full((1, 1, side, side), value, dtype)


def by_name(model: Any) -> dict[str, Any]:
    return {entry.name: entry for entry in model.graph.node}


def types_of(model: Any) -> dict[str, int]:
    """The data type of every tensor, as ONNX's own strict inference finds it."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in model.graph.initializer}

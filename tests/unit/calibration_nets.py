"""A small network for images of any size, as ONNX, and random images for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
TENSORS = ["image", "first/Relu:0", "dense/flat:0"]  # what INT8 needs the ranges of


def small_net(seed: int = 0, scale: float = 1.0, bias: float = 0.0, channels: int = 1) -> onnx.ModelProto:
    """Conv, Relu, Conv to stride 2, global average, Gemm: named as the export names its nodes."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": rng.normal(0, scale, (4, channels, 3, 3)),
        "b1": np.full(4, bias),
        "w2": rng.normal(0, scale, (6, 4, 3, 3)),
        "b2": rng.normal(0, 1, 6),
        "w3": rng.normal(0, scale, (6, 3)),
        "b3": np.zeros(3),
    }
    node = helper.make_node
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["image", "w1", "b1"], ["first/Conv:0"], "first/Conv", **conv),
        node("Relu", ["first/Conv:0"], ["first/Relu:0"], "first/Relu"),
        node("Conv", ["first/Relu:0", "w2", "b2"], ["second/Conv:0"], "second/Conv", strides=[2, 2], **conv),
        node("GlobalAveragePool", ["second/Conv:0"], ["pool:0"], "pool/Mean"),
        node("Flatten", ["pool:0"], ["dense/flat:0"], "dense/Flatten"),
        node("Gemm", ["dense/flat:0", "w3", "b3"], ["scores"], "dense/Gemm"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", channels, "height", "width"])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "small", [image], [scores], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def random_images(sizes: list[tuple[int, int]], seed: int = 0, channels: int = 1) -> list[Array]:
    """One image (1, height, width, channels) of each size; each of its own brightness."""
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(0, 1, (1, *size, channels)) * rng.uniform(0.2, 2)).astype(np.float32) for size in sizes
    ]


def values_of(model: onnx.ModelProto, image: Array) -> dict[str, Array]:
    """Each of ``TENSORS`` on one image."""
    import onnxruntime

    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    del wide.graph.output[:]
    names = TENSORS[1:]
    wide.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(wide.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    return {"image": feed, **dict(zip(names, session.run(names, {"image": feed}), strict=True))}

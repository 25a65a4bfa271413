"""A small network as ONNX, of the operators that INT8 meets, and ranges for its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fcnship.graph.onnx_layers import Layer, as_metadata
from fcnship.precision.int8 import calibrated_tensors

Array = np.ndarray[Any, Any]


def network(seed: int = 0, *, width: int = 8) -> onnx.ModelProto:
    """image -> divided by its maximum -> conv, conv (read twice: by the next and an average), depthwise, the
    shared conv called twice, dense, softmax. Biases everywhere.
    """
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    stored: list[onnx.TensorProto] = []

    def value(name: str, array: Any) -> str:
        if name not in [tensor.name for tensor in stored]:
            stored.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(name: str, *shape: int) -> str:
        fan = np.prod(shape[1:])
        return value(name, (rng.normal(size=shape) * np.sqrt(2 / fan)).astype(np.float32))

    def node(kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"{name}:0"], name, **attributes))
        return f"{name}:0"

    def conv(name: str, image: str, shape: tuple[int, ...], weights: str = "", **attributes: Any) -> str:
        kernel, bias = weights or f"{name}/kernel", f"{weights or name}/bias"
        made = node(
            "Conv",
            f"{name}/BiasAdd",
            image,
            weight(kernel, *shape),
            value(bias, rng.normal(size=shape[0]).astype(np.float32) / 10),
            pads=[1, 1, 1, 1],
            **attributes,
        )
        return node("Relu", f"{name}/Relu", made)

    most = node("ReduceMax", "net/Max", "image", value("axes", np.array([1, 2, 3])), keepdims=1)
    x = node("Div", "net/truediv", "image", most)
    x = conv("conv2d", x, (width, 1, 3, 3), strides=[2, 2])
    x = early = conv("conv2d_1", x, (width, width, 3, 3))
    x = conv("depthwise", x, (width, 1, 3, 3), group=width)
    x = conv("shared", x, (width, width, 3, 3), "shared/kernel")
    x = conv("shared/call_2", x, (width, width, 3, 3), "shared/kernel")
    axes = value("spatial", np.array([2, 3]))
    means = [
        node("ReduceMean", f"{name}/Mean", tensor, axes, keepdims=0)
        for name, tensor in (("early", early), ("last", x))
    ]
    x = node("Concat", "concatenate/concat", *means, axis=1)
    x = node(
        "Gemm", "dense/MatMul", x, weight("dense/kernel", 2 * width, 5), value("b", np.zeros(5, np.float32))
    )
    nodes.append(helper.make_node("Softmax", [x], ["probabilities"], "probabilities/Softmax", axis=1))
    return _model(nodes, stored)


def _model(nodes: list[onnx.NodeProto], stored: list[onnx.TensorProto]) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, "height", "width"])
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 5])
    graph = helper.make_graph(nodes, "net", [image], [output], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    scopes = {name.rpartition("/")[0]: Layer(name.split("/")[0], 1) for name in [n.name for n in nodes]}
    scopes["shared/call_2"] = Layer("shared", 2)
    del scopes["net"]
    for key, value in as_metadata(scopes).items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    return model


def images(side: int, count: int = 4, seed: int = 1) -> Array:
    """(count, 1, side, side) with some structure, from 0 to 1."""
    rng = np.random.default_rng((side, seed))
    coarse = rng.uniform(0, 1, (count, 1, 4, 4)).astype(np.float32)
    return np.asarray(coarse.repeat(-(-side // 4), 2).repeat(-(-side // 4), 3)[:, :, :side, :side])


def answers(model: onnx.ModelProto, batch: Array) -> Array:
    """The outputs of ONNX Runtime."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": batch})[0])


def ranges_of(
    model: onnx.ModelProto, sides: tuple[int, ...] = (16, 24, 40)
) -> dict[str, tuple[float, float]]:
    """The smallest and largest value of each tensor that INT8 wants, over images of several sizes."""
    wanted = calibrated_tensors(model)
    told = onnx.ModelProto()
    told.CopyFrom(model)
    told.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in wanted)
    session: Any = onnxruntime.InferenceSession(told.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, tuple[float, float]] = {}
    for side in sides:
        for name, values in zip(wanted, session.run(wanted, {"image": images(side)}), strict=True):
            low, high = found.get(name, (0.0, 0.0))
            found[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return found


def balanced(model: onnx.ModelProto, batch: Array) -> onnx.ModelProto:
    """The same network with a last bias that makes every class as likely as any other on a batch."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    store(made, "b", -np.log(answers(model, batch)).mean(axis=0))
    return made


def node_named(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    """The one node of that name."""
    (found,) = (node for node in model.graph.node if node.name == name)
    return found


def constants(model: onnx.ModelProto) -> Mapping[str, Array]:
    """The stored tensors by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def store(model: onnx.ModelProto, name: str, array: Any) -> None:
    """Put another value in the place of a stored tensor."""
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), name))

"""Real exported ONNX files with one fault each, made by editing the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Edit = Callable[[Any], None]


def faulty(path: Path, edit: Edit, out: Path) -> Path:
    """A copy of an ONNX file after an edit of its graph."""
    model = onnx.load(path)
    edit(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, out)
    return out


def kernel(graph: Any, place: int = 0) -> Any:
    """The weights of one of the graph's convolutions."""
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    return next(tensor for tensor in graph.initializer if tensor.name == nodes[place].input[1])


def with_weights(change: Callable[[Any], Any], place: int = 0) -> Edit:
    """Change a convolution's weights (filters, channels, rows, columns)."""

    def edit(graph: Any) -> None:
        tensor = kernel(graph, place)
        changed = np.ascontiguousarray(change(numpy_helper.to_array(tensor).copy()), np.float32)
        tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))

    return edit


def wrong_weight(weights: Any) -> Any:
    weights[0, 0, 0, 0] += 0.05
    return weights


def swapped_channels(weights: Any) -> Any:
    return weights[:, ::-1]


def transposed(weights: Any) -> Any:
    return weights.transpose(0, 1, 3, 2)


def off_by_one_pad(graph: Any) -> None:
    """All of the first padded convolution's pad at the other end."""
    node = next(node for node in graph.node if node.op_type == "Conv")
    names = [attribute.name for attribute in node.attribute]
    for name in ("auto_pad", "pads"):
        if name in names:
            del node.attribute[names.index(name)]
            names.remove(name)
    node.attribute.append(helper.make_attribute("pads", [2, 2, 0, 0]))


def dropped_bias(graph: Any) -> None:
    """The last layer's bias is zero."""
    node = [node for node in graph.node if node.op_type in ("Gemm", "Conv", "Add")][-1]
    name = node.input[-1]
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    zeros = np.zeros_like(numpy_helper.to_array(tensor))
    tensor.CopyFrom(numpy_helper.from_array(zeros, name))


def where_remainder_is(axis: int, stride: int, remainder: int, amount: float) -> Edit:
    """Add to the output only where a side of the image has this remainder by the stride."""
    return _after(
        [
            helper.make_node("Shape", ["@input"], ["shape_"]),
            _constant("axis_", np.array(axis, np.int64)),
            helper.make_node("Gather", ["shape_", "axis_"], ["side_"]),
            _constant("stride_", np.array(stride, np.int64)),
            helper.make_node("Mod", ["side_", "stride_"], ["rest_"]),
            _constant("remainder_", np.array(remainder, np.int64)),
            helper.make_node("Equal", ["rest_", "remainder_"], ["hit_"]),
            _constant("amount_", np.array([amount], np.float32)),
            _constant("nothing_", np.array([0], np.float32)),
            helper.make_node("Where", ["hit_", "amount_", "nothing_"], ["fault_"]),
            helper.make_node("Add", ["@output", "fault_"], ["@result"]),
        ]
    )


def in_batch_row(row: int, amount: float) -> Edit:
    """Add to the outputs of one image of the batch only, if the batch has as many."""
    return _after(
        [
            helper.make_node("Shape", ["@input"], ["shape_"], start=0, end=1),
            _constant("zero_", np.array(0, np.int64)),
            _constant("one_", np.array(1, np.int64)),
            helper.make_node("Squeeze", ["shape_"], ["count_"]),
            helper.make_node("Range", ["zero_", "count_", "one_"], ["rows_"]),
            _constant("row_", np.array([row], np.int64)),
            helper.make_node("Equal", ["rows_", "row_"], ["hit_"]),
            helper.make_node("Cast", ["hit_"], ["hit_number_"], to=TensorProto.FLOAT),
            _constant("last_", np.array([1], np.int64)),
            helper.make_node("Unsqueeze", ["hit_number_", "last_"], ["column_"]),
            _constant("amount_", np.array([amount], np.float32)),
            helper.make_node("Mul", ["column_", "amount_"], ["fault_"]),
            helper.make_node("Add", ["@output", "fault_"], ["@result"]),
        ]
    )


def nan_from(height: int) -> Edit:
    """NaN comes out of images of exactly this height."""
    return where_remainder_is(2, 10_000, height, float("nan"))


def constant(graph: Any) -> None:
    """The same output, whatever the image: one tenth each."""
    _after(
        [
            _constant("nothing_", np.array(0.0, np.float32)),
            helper.make_node("Mul", ["@output", "nothing_"], ["zeros_"]),
            _constant("tenth_", np.array(0.1, np.float32)),
            helper.make_node("Add", ["zeros_", "tenth_"], ["@result"]),
        ]
    )(graph)


def _constant(name: str, value: Any) -> Any:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))


def _after(nodes: list[Any]) -> Edit:
    """Put nodes between the last node and the output; @input, @output and @result stand for the ends."""

    def edit(graph: Any) -> None:
        result = graph.output[0].name
        for node in graph.node:
            node.output[:] = ["before_" if name == result else name for name in node.output]
        named = {"@input": graph.input[0].name, "@output": "before_", "@result": result}
        for node in nodes:
            node.input[:] = [named.get(name, name) for name in node.input]
            node.output[:] = [named.get(name, name) for name in node.output]
        graph.node.extend(nodes)

    return edit

"""Whether each QuantizeLinear and DequantizeLinear has a form that TensorRT takes, and for what it says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph, Node
from fcnship.lint.shapes import type_name
from fcnship.lint.targets import Target

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_SYMMETRIC = (
    "quantize symmetrically to signed int8: ActivationSymmetric, WeightSymmetric and QuantType.QInt8 in ONNX "
    "Runtime's quantizer; fcnship build --precision int8 does"
)
_SCALES = "calibrate again, and store the scale as an initializer"
_AXIS = "one scale for each output channel of a weight, one in all for an activation"


def check_qdq(graph: Graph, target: Target) -> Iterator[Finding]:
    """Scales, zero points, their types. NVIDIA, "Working with Quantized Types"; tried with TensorRT-RTX."""
    for node in graph.outer:
        if node.operator in (QUANTIZE, DEQUANTIZE):
            yield from _scale(graph, node)
            yield from _zero_point(graph, node)
            yield from _kind(graph, node)
            yield from _channels(graph, node)


def quantized_type(graph: Graph, node: Node) -> str:
    """The type that the node quantizes to, or from; '' if it is not known."""
    if node.operator == DEQUANTIZE:
        return graph.type_of(node.input(0)) or graph.type_of(node.input(2))
    if node.input(2):
        return graph.type_of(node.input(2))
    return type_name(node.number("output_dtype", 0)) or "UINT8"


def _scale(graph: Graph, node: Node) -> Iterator[Finding]:
    if node.input(1) not in graph.fixed:
        what = "its scale is computed at each run: TensorRT takes a stored one (TensorRT-RTX 1.7.1 may crash)"
        yield node.finding("qdq-scale", "error", what, _SCALES)
        return
    scale = graph.value(node.input(1))
    if scale is None:
        return
    if not np.all(scale.astype(np.float64) > 0):
        yield node.finding("qdq-scale", "error", "a scale is not above 0", _SCALES)
    if graph.opset < 19 and node.standard and graph.type_of(node.input(1)) != "FLOAT":
        kind = graph.type_of(node.input(1)).lower()
        what = f"its scale is {kind}; opset {graph.opset} has float32 scales, only opset 19 and above others"
        yield node.finding("qdq-scale", "error", what, "raise the opset to 19, or make the scale float32")


def _zero_point(graph: Graph, node: Node) -> Iterator[Finding]:
    zero = graph.value(node.input(2)) if node.input(2) else None
    scale = graph.value(node.input(1))
    if node.input(2) and node.input(2) not in graph.fixed:
        yield node.finding("qdq-zero-point", "error", "its zero point is computed at each run", _SYMMETRIC)
    if zero is None:
        return
    if np.any(zero.astype(np.float64) != 0):
        what = f"a zero point is {zero.astype(np.float64).flat[int(np.argmax(zero != 0))]:g}, not 0"
        yield node.finding("qdq-zero-point", "error", what, _SYMMETRIC)
    if scale is not None and zero.size != scale.size:
        what = f"it has {zero.size} zero points and {scale.size} scales"
        yield node.finding("qdq-zero-point", "error", what, "give both the same shape")


def _kind(graph: Graph, node: Node) -> Iterator[Finding]:
    kind = quantized_type(graph, node)
    if kind == "UINT8":
        why = "" if node.input(2) else ", because it has no zero point whose type says otherwise"
        what = (
            f"it is unsigned{why}: TensorRT computes with int8 instead, so that values differ from the file's"
        )
        yield node.finding("qdq-type", "error", what, _SYMMETRIC)
    elif kind == "INT32":
        what = "it widens int32, which TensorRT has not: a quantized bias"
        yield node.finding("qdq-bias", "error", what, "leave biases in float32: QuantizeBias False")
    elif kind in ("INT4", "FLOAT4E2M1") and node.input(0) not in graph.fixed:
        yield node.finding("qdq-type", "error", f"{kind.lower()} is for weights alone", _SYMMETRIC)
    elif kind not in ("INT8", "FLOAT8E4M3FN", "INT4", "FLOAT4E2M1", ""):
        what = f"it quantizes to {kind.lower()}; TensorRT has int8, fp8 and, for weights, 4 bits"
        yield node.finding("qdq-type", "error", what, _SYMMETRIC)


def _channels(graph: Graph, node: Node) -> Iterator[Finding]:
    scale = graph.shape_of(node.input(1))
    if not scale or scale == (1,):
        return
    count, *blocks = scale
    if node.number("block_size", 0) or blocks:
        if quantized_type(graph, node) == "INT8":
            what = "its scales are for blocks: TensorRT has blocks for 4 bits alone"
            yield node.finding("qdq-axis", "error", what, _AXIS)
        return
    if node.input(0) in graph.fixed:
        yield from _of_weight(graph, node, count)
    elif (made := graph.producers.get(node.input(0))) is None or made.input(0) not in graph.fixed:
        what = f"an activation has {count} scales, one a channel: TensorRT has one in all for activations"
        yield node.finding("qdq-axis", "error", what, _AXIS)


def _of_weight(graph: Graph, node: Node, count: int | str | None) -> Iterator[Finding]:
    shape, axis = graph.shape_of(node.input(0)) or (), node.number("axis", 1)
    along = shape[axis] if -len(shape) <= axis < len(shape) else "no such axis"
    if along != count:
        what = f"it has {count} scales along axis {axis}, where the weight has {along}"
        yield node.finding("qdq-axis", "error", what, _AXIS)

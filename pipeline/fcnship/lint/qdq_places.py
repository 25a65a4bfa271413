"""Whether Q/DQ pairs stand where TensorRT can compute with them: before both inputs of each weighted node."""

from __future__ import annotations

from collections.abc import Iterator

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph, Node
from fcnship.lint.qdq import DEQUANTIZE, QUANTIZE
from fcnship.lint.targets import Target

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_PAIR = "put a QuantizeLinear and a DequantizeLinear before it"


def check_places(graph: Graph, target: Target) -> Iterator[Finding]:
    """NVIDIA, "Explicit Quantization": quantize all inputs of weighted operations, and no bias."""
    if not any(node.operator in (QUANTIZE, DEQUANTIZE) for node in graph.outer):
        return
    for node in graph.outer:
        if node.operator in _WEIGHTED and node.standard and node.input(1) in graph.fixed:
            yield from _weighted(graph, node)
        elif node.operator == QUANTIZE:
            yield from _narrowing(graph, node)
        elif node.operator == DEQUANTIZE:
            yield from _widening(graph, node)


def channel_axis(node: Node) -> int:
    """The axis of a weight that counts output channels."""
    if node.operator == "Conv":
        return 0
    return 0 if node.operator == "Gemm" and node.number("transB", 0) else 1


def _weighted(graph: Graph, node: Node) -> Iterator[Finding]:
    image, weight, bias = (graph.producers.get(node.input(place)) for place in range(3))
    is_image, is_weight = (made is not None and made.operator == DEQUANTIZE for made in (image, weight))
    if not is_image and not is_weight:
        what = "neither its input nor its weights are quantized: it runs in floating point"
        way_out = "quantize it; nothing to do if it was kept in float32 on purpose"
        yield node.finding("qdq-missing", "warning", what, way_out)
    elif not (is_image and is_weight):
        lacks = "weights are" if is_image else "input is"
        what = f"its {lacks} not quantized: it runs in floating point, with rounded values"
        yield node.finding(
            "qdq-missing", "warning", what, _PAIR if is_weight else "store its weights as int8"
        )
    if is_weight and weight is not None:
        yield from _of_weight(graph, node, weight)
    if bias is not None and bias.operator == DEQUANTIZE and graph.type_of(bias.input(0)) != "INT32":
        way_out = "leave biases in float32: QuantizeBias False"
        yield node.finding("qdq-bias", "warning", "its bias is quantized", way_out)


def _of_weight(graph: Graph, node: Node, widen: Node) -> Iterator[Finding]:
    narrow = graph.producers.get(widen.input(0))
    if narrow is not None and narrow.operator == QUANTIZE:
        what = "its weights are stored in floating point and quantized by the graph"
        way_out = "store int8 weights with a DequantizeLinear alone: AddQDQPairToWeight False"
        yield node.finding("qdq-weights", "warning", what, way_out)
    scale = graph.shape_of(widen.input(1))
    axis, rank = widen.number("axis", 1), len(graph.shape_of(widen.input(0)) or ())
    many = bool(scale) and len(scale or ()) == 1 and (scale or (1,))[0] != 1
    if many and axis + (rank if axis < 0 else 0) != channel_axis(node):
        what = f"its weights have scales along axis {axis}; output channels are axis {channel_axis(node)}"
        yield node.finding("qdq-axis", "warning", what, "give the weight one scale for each output channel")


def _narrowing(graph: Graph, node: Node) -> Iterator[Finding]:
    made = graph.producers.get(node.input(0))
    if made is not None and made.operator == DEQUANTIZE:
        what = f"it quantizes again what {made.name} has just widened"
        yield node.finding("qdq-twice", "warning", what, "leave out one of the pairs")
    readers = [reader for reader, _ in graph.consumers.get(node.output, ())]
    others = [reader.name for reader in readers if reader.operator != DEQUANTIZE]
    if others or not readers:
        what = f"no DequantizeLinear follows it, but {', '.join(others) or 'an output of the network'}"
        yield node.finding("qdq-pair", "warning", what, "put a DequantizeLinear behind it")
    elif len(readers) > 1:
        yield from _shared(node, len(readers))


def _widening(graph: Graph, node: Node) -> Iterator[Finding]:
    if node.input(0) in graph.fixed:
        return
    made = graph.producers.get(node.input(0))
    if made is None:
        what = f"no QuantizeLinear is before it: it reads the input {node.input(0)!r}"
        yield node.finding("qdq-pair", "warning", what, "put a QuantizeLinear before it")
    readers = graph.consumers.get(node.output, ())
    if len(readers) > 1:
        yield from _shared(node, len(readers))


def _shared(node: Node, count: int) -> Iterator[Finding]:
    what = f"{count} nodes read it: TensorRT fuses a pair with one"
    yield node.finding("qdq-shared", "warning", what, "give each reader a pair: DedicatedQDQPair True")

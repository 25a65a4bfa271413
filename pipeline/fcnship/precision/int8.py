"""INT8 as Q/DQ pairs in the ONNX graph, as TensorRT wants them; the arithmetic is ONNX Runtime's."""

# pyright: reportAttributeAccessIssue=false
# (protobuf's classes and ONNX Runtime's modules are made at run time)
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fcnship.errors import InputRefused
from fcnship.precision.places import is_kept, places_of

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Ranges = Mapping[str, tuple[float, float]]

# What has weights gains from 8 bits. Everything else (the first division, maxima, averages, Softmax) costs
# little, and its results need more digits than 8 bits have: it stays in float32.
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
STEPS = 127  # to each side of 0; -128 is not used, so that the grid is symmetric
_IMAGE, _WEIGHT = 0, 1  # places among a weighted node's inputs
_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "DedicatedQDQPair": True,
    "OpTypesToExcludeOutputQuantization": list(WEIGHTED),
}


def quantized(model: ModelProto, ranges: Ranges, *, keep: Collection[str] = ()) -> ModelProto:
    """The model with 8-bit inputs and weights in every layer that has weights, but for those in ``keep``.

    ``ranges``: (low, high) of the tensors that ``calibrated_tensors`` names. Activations have one symmetric
    signed scale each, weights one for each output channel and are stored as int8; biases stay float32. Every
    consumer has a Q/DQ pair of its own, named after it, so that ``layers_of`` finds its layer.

    Raises:
        InputRefused: a tensor has no range, or one that is no range.
    """
    layers = layer_of(model)
    chosen = [node for node in weighted_nodes(model) if not is_kept(layers[node.name], keep)]
    if not chosen:
        raise InputRefused(
            "no layer is left to quantize",
            cause="every layer with weights is kept in float32, or none has any",
            next="keep fewer layers, or build without the precision int8",
        )
    _check_ranges(ranges, {node.input[_IMAGE] for node in chosen})
    return _placed(model, _by_quantizer(model, ranges, chosen), {node.name for node in chosen})


def weighted_nodes(model: ModelProto) -> list[NodeProto]:
    """The nodes that can be quantized: a float32 weight that is stored, and an input that is not."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type in WEIGHTED and _has_weight(node, stored)]


def weighted_layers(model: ModelProto) -> dict[str, list[str]]:
    """The names of the nodes that can be quantized, by their Keras layer, in the graph's order."""
    found: dict[str, list[str]] = {}
    layers = layer_of(model)
    for node in weighted_nodes(model):
        found.setdefault(layers[node.name], []).append(node.name)
    return found


def calibrated_tensors(model: ModelProto) -> list[str]:
    """The tensors whose ranges are needed."""
    return list(dict.fromkeys(node.input[_IMAGE] for node in weighted_nodes(model)))


def layer_of(model: ModelProto) -> dict[str, str]:
    """The Keras layer of each node, by the node's name; a node of no layer is its own."""
    names = [node.name for node in model.graph.node]
    return dict(zip(names, places_of(model), strict=True))


def channel_axis(node: NodeProto) -> int:
    """The axis of a weight that counts output channels."""
    if node.op_type == "Conv":
        return 0
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if node.op_type == "Gemm" and transposed else 1


def _has_weight(node: NodeProto, stored: Mapping[str, Any]) -> bool:
    from onnx import TensorProto

    weight = stored.get(node.input[_WEIGHT])
    if weight is None or weight.data_type != TensorProto.FLOAT or node.input[_IMAGE] in stored:
        return False
    return node.op_type != "MatMul" or len(weight.dims) == 2


def _check_ranges(ranges: Ranges, wanted: Iterable[str]) -> None:
    for tensor in sorted(wanted):
        if tensor not in ranges:
            raise InputRefused(
                f"the calibration has no range for the tensor {tensor!r}",
                cause="its ranges are of another graph",
                next="calibrate this graph: fcnship build --precision int8 --force",
            )
        low, high = ranges[tensor]
        if not (np.isfinite([low, high]).all() and low <= high):
            raise InputRefused(
                f"the tensor {tensor!r} has the range {low:g} to {high:g}",
                cause="an image of the calibration made it infinite, or no number",
                next="look for broken images in the data set",
            )


def _by_quantizer(model: ModelProto, ranges: Ranges, chosen: list[NodeProto]) -> ModelProto:
    """The graph as ONNX Runtime's quantizer makes it: its numbers are right, its wiring needs care.

    It routes every consumer of a tensor over the pair of one of them (onnxruntime 1.31), names nodes after
    tensors and appends them at the end.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import TensorData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    quantizer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range={
            node.input[_IMAGE]: TensorData(
                lowest=np.float32(ranges[node.input[_IMAGE]][0]),
                highest=np.float32(ranges[node.input[_IMAGE]][1]),
            )
            for node in chosen
        },
        nodes_to_quantize=[node.name for node in chosen],
        nodes_to_exclude=[],
        op_types_to_quantize=list(WEIGHTED),
        extra_options=_OPTIONS,
    )
    made: ModelProto = quantizer.quantize_model()
    return made


def _placed(model: ModelProto, made: ModelProto, chosen: Collection[str]) -> ModelProto:
    """The original graph with the quantizer's pairs put before the nodes that they are for."""
    import onnx

    placed = onnx.ModelProto()
    placed.CopyFrom(model)
    del placed.graph.node[:]
    del placed.graph.value_info[:]
    pairs = _Pairs(made, placed)
    for original in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        if node.name in chosen:
            node.input[_IMAGE] = pairs.for_image(original)
            node.input[_WEIGHT] = pairs.for_weight(original)
        placed.graph.node.append(node)
    _drop_unused(placed)
    return placed


class _Pairs:
    """Takes scales and 8-bit weights out of the quantizer's graph, and writes Q/DQ nodes with them."""

    def __init__(self, made: ModelProto, placed: ModelProto) -> None:
        self._graph = placed.graph
        self._values = {tensor.name: tensor for tensor in made.graph.initializer}
        self._producers = {output: node for node in made.graph.node for output in node.output}
        self._nodes = {node.name: node for node in made.graph.node}
        self._stored: set[str] = set()

    def for_image(self, node: NodeProto) -> str:
        """The tensor to read instead of the node's input."""
        from onnx import helper

        tensor, name = node.input[_IMAGE], node.name
        constants = self._constants(node, _IMAGE, tensor)
        narrow, wide = f"{name}/Q:0", f"{name}/DQ:0"
        quantize = helper.make_node("QuantizeLinear", [tensor, *constants], [narrow], f"{name}/Q")
        widen = helper.make_node("DequantizeLinear", [narrow, *constants], [wide], f"{name}/DQ")
        self._graph.node.extend([quantize, widen])
        return wide

    def for_weight(self, node: NodeProto) -> str:
        """The tensor to read instead of the node's weight, which is stored as int8."""
        from onnx import helper

        weight, name = node.input[_WEIGHT], f"{node.name}/weight/DQ"
        theirs = self._dequantizer(node, _WEIGHT)
        narrow = self._store(theirs.input[0], f"{weight}/int8")
        constants = self._constants(node, _WEIGHT, weight)
        self._graph.node.append(
            helper.make_node(
                "DequantizeLinear", [narrow, *constants], [f"{name}:0"], name, axis=channel_axis(node)
            )
        )
        return f"{name}:0"

    def _constants(self, node: NodeProto, place: int, tensor: str) -> list[str]:
        """Names of the scale, stored once for each tensor, and of the zero point, once for all of its length.

        All zero points are 0. They are written all the same: TensorRT's older parsers want them.
        """
        _, scale, zero = self._dequantizer(node, place).input
        channels = "_".join(map(str, ("zero", *self._values[zero].dims)))
        return [self._store(scale, f"{tensor}/scale"), self._store(zero, f"int8/{channels}")]

    def _dequantizer(self, node: NodeProto, place: int) -> NodeProto:
        """What feeds the node's input in the quantizer's graph.

        The quantizer leaves out what it does not understand and says so in its log alone.
        """
        theirs = self._producers.get(self._nodes[node.name].input[place])
        if theirs is None or theirs.op_type != "DequantizeLinear":
            raise InputRefused(
                f"ONNX Runtime's quantizer left out {node.name}",
                cause=f"it does not know the type of {node.input[place]!r}",
                next=f"keep the layer in float32: --keep-fp32 {node.name.rpartition('/')[0]}",
            )
        return theirs

    def _store(self, theirs: str, name: str) -> str:
        if name not in self._stored:
            tensor = self._graph.initializer.add()
            tensor.CopyFrom(self._values[theirs])
            tensor.name = name
            self._stored.add(name)
        return name


def _drop_unused(model: ModelProto) -> None:
    """Remove the float32 weights that nothing reads any more."""
    read = {name for node in model.graph.node for name in node.input}
    read |= {output.name for output in model.graph.output}
    for index in reversed(range(len(model.graph.initializer))):
        if model.graph.initializer[index].name not in read:
            del model.graph.initializer[index]

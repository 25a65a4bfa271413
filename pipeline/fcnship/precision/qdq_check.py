"""Whether an INT8 graph is what it claims to be, found without the quantizer that made it."""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from fcnship.precision.int8 import STEPS, Ranges, channel_axis, layer_of, weighted_nodes
from fcnship.precision.places import is_kept

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

Array = np.ndarray[Any, Any]
_OF_A_SCALE = 1e-5  # relative: scales are float32
_LEAST = float(np.finfo(np.float32).tiny)  # a range below it has the scale 1


def faults(
    model: ModelProto, original: ModelProto, ranges: Ranges | None, *, keep: Collection[str] = ()
) -> list[str]:
    """What is wrong with an INT8 graph that was made from ``original``; empty if nothing is.

    Each layer with weights must be quantized, and each in ``keep`` must not; scales must be those of the
    ranges and weights, zero points 0, and everything else as it was. Without ``ranges`` the scales of
    activations are not compared with anything.
    """
    return _Comparison(model, original, ranges).faults(keep)


class _Comparison:
    def __init__(self, model: ModelProto, original: ModelProto, ranges: Ranges | None) -> None:
        self._nodes = {node.name: node for node in model.graph.node}
        self._producers = {output: node for node in model.graph.node for output in node.output}
        self._values = {tensor.name: tensor for tensor in model.graph.initializer}
        self._originals = {tensor.name: tensor for tensor in original.graph.initializer}
        self._original, self._ranges = original, ranges

    def faults(self, keep: Collection[str]) -> list[str]:
        layers = layer_of(self._original)
        quantized = {n.name for n in weighted_nodes(self._original) if not is_kept(layers[n.name], keep)}
        found = []
        for theirs in self._original.graph.node:
            if theirs.name not in self._nodes:
                found.append(f"{theirs.name}: the node is missing")
                continue
            wrong = self._changes(self._nodes[theirs.name], theirs, theirs.name in quantized)
            found += [f"{theirs.name}: {text}" for text in wrong]
        return found

    def _changes(self, node: NodeProto, theirs: NodeProto, quantized: bool) -> list[str]:
        wrong = []
        if node.op_type != theirs.op_type or list(node.attribute) != list(theirs.attribute):
            wrong.append("its operator or its attributes are not those of float32")
        if len(node.input) != len(theirs.input) or list(node.output) != list(theirs.output):
            return [*wrong, "it has other inputs or outputs than in float32"]
        if quantized:
            wrong += [*self._image_faults(node, theirs), *self._weight_faults(node, theirs)]
        for place in range(2 if quantized else 0, len(theirs.input)):
            name = theirs.input[place]
            if node.input[place] != name or not self._same_constant(name):
                wrong.append(f"its input {place} is not that of float32")
        return wrong

    def _same_constant(self, name: str) -> bool:
        if name not in self._originals:
            return name not in self._values
        return name in self._values and self._values[name] == self._originals[name]

    def _image_faults(self, node: NodeProto, theirs: NodeProto) -> list[str]:
        widen = self._producers.get(node.input[0])
        if widen is None or widen.op_type != "DequantizeLinear":
            return ["its input is not quantized"]
        narrow = self._producers.get(widen.input[0])
        if narrow is None or narrow.op_type != "QuantizeLinear" or narrow.input[0] != theirs.input[0]:
            return ["its input is not quantized by a pair of its own"]
        found = []
        scales = [self._scale(each) for each in (narrow, widen)]
        if not np.array_equal(scales[0], scales[1]):
            found.append(f"it is quantized with the scale {scales[0]} and widened with {scales[1]}")
        if self._ranges is not None:
            low, high = self._ranges[theirs.input[0]]
            wanted = scale_of(max(abs(low), abs(high)))
            if not np.allclose(scales, wanted, rtol=_OF_A_SCALE, atol=0):
                found.append(f"its input has the scale {scales[0]}, its range gives {wanted:.6g}")
        return found + [text for each in (narrow, widen) for text in self._zero_faults(each)]

    def _weight_faults(self, node: NodeProto, theirs: NodeProto) -> list[str]:
        from onnx import TensorProto, numpy_helper

        widen = self._producers.get(node.input[1])
        stored = self._values.get(widen.input[0]) if widen is not None else None
        if widen is None or widen.op_type != "DequantizeLinear" or stored is None:
            return ["its weight is not stored quantized"]
        if stored.data_type != TensorProto.INT8:
            return ["its weight is not int8"]
        weight = numpy_helper.to_array(self._originals[theirs.input[1]]).astype(np.float64)
        axis = channel_axis(theirs)
        if _axis_of(widen) != axis or self._scale(widen).shape != (weight.shape[axis],):
            return ["its weight has no scale for each output channel"]
        found = self._zero_faults(widen)
        bounds = np.abs(weight).max(axis=tuple(a for a in range(weight.ndim) if a != axis))
        wanted = np.array([scale_of(bound) for bound in bounds])
        if not np.allclose(self._scale(widen), wanted, rtol=_OF_A_SCALE, atol=0):
            found.append("its weight's scales are not those of its weight")
        steps = self._scale(widen).reshape([-1 if a == axis else 1 for a in range(weight.ndim)])
        error = np.abs(numpy_helper.to_array(stored) * steps - weight) / steps
        if not error.max(initial=0.0) <= 0.5 + STEPS * _OF_A_SCALE:
            found.append(f"a value of its weight is {error.max():.3g} steps off")
        return found

    def _zero_faults(self, node: NodeProto) -> list[str]:
        from onnx import TensorProto, numpy_helper

        zero = self._values.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None or zero.data_type != TensorProto.INT8:
            return [f"{node.op_type} has no int8 zero point"]
        return [f"the zero point of {node.op_type} is not 0"] if numpy_helper.to_array(zero).any() else []

    def _scale(self, node: NodeProto) -> Array:
        from onnx import numpy_helper

        tensor: TensorProto | None = self._values.get(node.input[1])
        if tensor is None:
            return np.array(np.nan)
        return np.asarray(numpy_helper.to_array(tensor), np.float64)


def scale_of(bound: float) -> float:
    """The step of a symmetric grid that reaches up to ``bound``."""
    return float(bound) / STEPS if 2 * bound / (2 * STEPS) >= _LEAST else 1.0


def _axis_of(node: NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 1)

"""How far INT8 may move the outputs: the float32 network with inputs of layers moved by up to half a step."""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from fcnship.options import Layout
from fcnship.precision.int8 import STEPS, Ranges, channel_axis, layer_of, weighted_nodes
from fcnship.precision.places import is_kept
from fcnship.precision.qdq_check import scale_of
from fcnship.runners import from_layout, to_layout
from fcnship.sizes import Size

Array = np.ndarray[Any, Any]
DRAWS = 4
TYPICAL_IMAGES = 32
_MULTIPLY_ADDS = 4 * 10**9
_DRAW = "fcnship/draw"
# Radians for each step: numbers a thousandth of a step apart get unrelated shifts.
_SCRAMBLE = 1000.0


class Int8Noise:
    """Runs a float32 ONNX model that is moved as INT8 moves it, by ranges that calibration found.

    Nothing of an INT8 file goes into it, so that a wrong scale does not excuse itself. One image may happen
    to move little: the mean over ``typical`` images (Keras's order) counts at least.
    """

    def __init__(
        self,
        model: Any,
        ranges: Ranges,
        keep: Collection[str],
        layout: Layout,
        multiply_adds: Callable[[Size], int],
        typical: Array,
    ) -> None:
        self._layout: Layout = layout
        self._multiply_adds = multiply_adds
        self._input = model.graph.input[0].name
        self._moved = _session(moved(model, ranges, keep=keep))
        self._typical = self._mean(_session(model), typical)

    def at(self, size: Size, images: Array, outputs: Array) -> float:
        """The largest difference to the original's ``outputs`` that a draw made, on images in Keras's order.

        Of an expensive batch only some images are looked at.
        """
        count = max(1, min(len(images), _MULTIPLY_ADDS // max(self._multiply_adds(size), 1)))
        return max(self._typical, float(self._errors(images[:count], outputs[:count]).max(initial=0.0)))

    def _mean(self, exact: Any, images: Array) -> float:
        """The mean over images of the largest difference; run one at a time, to need little memory."""
        if not len(images):
            return 0.0
        found = []
        for image in images:
            feed = {self._input: to_layout(image[None], self._layout)}
            outputs = from_layout(exact.run(None, feed)[0], self._layout)
            found.append(self._errors(image[None], outputs).max())
        return float(np.mean(found))

    def _errors(self, images: Array, outputs: Array) -> Array:
        feed = to_layout(images, self._layout)
        found = []
        for draw in range(DRAWS):
            phase = np.array(1.7 * draw, np.float32)
            answer = self._moved.run(None, {self._input: feed, _DRAW: phase})[0]
            found.append(np.abs(from_layout(answer, self._layout).astype(np.float64) - outputs))
        return np.stack(found)


def moved(model: Any, ranges: Ranges, *, keep: Collection[str] = ()) -> Any:
    """The model with rounded weights, and inputs clipped to their ranges and shifted; new input: the draw.

    A shift is a function of the number and of the draw, as rounding is one of the number: equal cells of a
    map move alike and do not average out. Zero stays zero, as on a symmetric grid.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    del graph.node[:]
    graph.input.append(helper.make_tensor_value_info(_DRAW, TensorProto.FLOAT, []))
    layers = layer_of(model)
    quantized = {node.name for node in weighted_nodes(model) if not is_kept(layers[node.name], keep)}
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for original in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        if node.name in quantized:
            low, high = ranges[node.input[0]]
            node.input[0] = _add_shift(graph, node.name, node.input[0], max(abs(low), abs(high)))
            weight = _rounded(stored[node.input[1]], channel_axis(node))
            graph.initializer.append(numpy_helper.from_array(weight, f"{node.name}/noise/weight"))
            node.input[1] = f"{node.name}/noise/weight"
        graph.node.append(node)
    _drop_unread(graph)
    return made


def _add_shift(graph: Any, name: str, tensor: str, bound: float) -> str:
    """Clip to the bound; add half a step * sin(value in steps * scramble + draw) * sign of the value."""
    from onnx import helper, numpy_helper

    step = scale_of(bound)
    at = f"{name}/noise"
    for word, value in (
        ("low", -bound),
        ("high", bound),
        ("scramble", _SCRAMBLE / step),
        ("half", step / 2),
    ):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"{at}/{word}"))
    for kind, sources, result in (
        ("Clip", [tensor, f"{at}/low", f"{at}/high"], "clipped"),
        ("Mul", [f"{at}/clipped", f"{at}/scramble"], "turned"),
        ("Add", [f"{at}/turned", _DRAW], "angle"),
        ("Sin", [f"{at}/angle"], "sine"),
        ("Sign", [f"{at}/clipped"], "sign"),
        ("Mul", [f"{at}/sine", f"{at}/sign"], "signed"),
        ("Mul", [f"{at}/signed", f"{at}/half"], "shift"),
        ("Add", [f"{at}/clipped", f"{at}/shift"], "moved"),
    ):
        graph.node.append(helper.make_node(kind, sources, [f"{at}/{result}"], f"{at}/{result}"))
    return f"{at}/moved"


def _rounded(weight: Array, axis: int) -> Array:
    others = tuple(place for place in range(weight.ndim) if place != axis)
    bounds = np.abs(weight).max(axis=others, keepdims=True)
    steps = np.vectorize(scale_of)(bounds)
    return np.asarray(np.clip(np.rint(weight / steps), -STEPS, STEPS) * steps, np.float32)


def _drop_unread(graph: Any) -> None:
    read = {name for node in graph.node for name in node.input}
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in read:
            del graph.initializer[index]


def _session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

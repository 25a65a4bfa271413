"""How far FP16 may move the outputs: the float32 network with every number shifted within FP16's own step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fcnship.options import Layout
from fcnship.precision.rounding import EXACT
from fcnship.runners import from_layout, to_layout
from fcnship.sizes import Size

Array = np.ndarray[Any, Any]
# Half a unit in the last place of float16, as a share of the number.
HALF_STEP = 2.0**-11
DRAWS = 3
# Large enough that neighbouring numbers get unrelated shifts.
_SCRAMBLE = 1.0e6
_MULTIPLY_ADDS = 4 * 10**9
_FLOAT = 1  # TensorProto.FLOAT
_DRAW = "fcnship/draw"


class StepNoise:
    """Runs a float32 ONNX model whose weights and results are each moved by up to half a step of float16.

    Nothing of an FP16 file goes into it: it is a prediction that the file is held against. A shift is a
    function of the number and of the draw, as rounding is one of the number: equal cells of a map move alike,
    and the same images always give the same prediction.
    """

    def __init__(self, model: Any, layout: Layout, multiply_adds: Callable[[Size], int]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._layout: Layout = layout
        self._multiply_adds = multiply_adds
        self._input = model.graph.input[0].name
        self._session = onnxruntime.InferenceSession(
            shifted(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._largest = 0.0

    def at(self, size: Size, images: Array, outputs: Array) -> float:
        """The largest difference to the original's ``outputs`` that a draw made, on images in Keras's order.

        Of an expensive batch only some images are looked at; the largest prediction so far counts then too.
        """
        count = max(1, min(len(images), _MULTIPLY_ADDS // max(self._multiply_adds(size), 1)))
        feed = to_layout(images[:count], self._layout)
        largest = 0.0
        for draw in range(DRAWS):
            phase = np.array(1.7 * draw, np.float32)
            found: Any = self._session.run(None, {self._input: feed, _DRAW: phase})[0]
            moved = from_layout(found, self._layout).astype(np.float64) - outputs[:count]
            error = float(np.abs(moved).max(initial=0.0))
            if not np.isfinite(error):  # numbers near the end of float32 leave it when they are shifted
                return np.inf
            largest = max(largest, error)
        self._largest = max(self._largest, largest)
        return largest if count == len(images) else self._largest


def shifted(model: Any) -> Any:
    """The model with shifted weights and a second input, the draw, on which the shifts of results depend.

    Raises:
        ModelRefused: the graph has loops or branches.
    """
    import onnx
    from onnx import helper, numpy_helper

    from fcnship.precision.element_types import check_flat, element_types

    check_flat(model)
    floats = {name for name, kind in element_types(model).items() if kind == _FLOAT}
    new = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = new.graph
    graph.name = model.graph.name
    graph.input.extend(model.graph.input)
    graph.input.append(helper.make_tensor_value_info(_DRAW, _FLOAT, []))
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        graph.initializer.append(
            numpy_helper.from_array(_moved(values) if tensor.name in floats else values, tensor.name)
        )
    for name, value in (("fcnship/scramble", _SCRAMBLE), ("fcnship/step", HALF_STEP)):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    for old in model.graph.node:
        graph.node.append(old)
        node = graph.node[-1]
        for place, name in enumerate(old.output):
            if name in floats and old.op_type not in EXACT:
                node.output[place] = f"{name}/before"
                graph.node.extend(_shift(f"{name}/before", name))
    return new


def _moved(values: Array) -> Array:
    """Each number within half a step of float16; those that would leave float32 on the way stay."""
    with np.errstate(over="ignore", invalid="ignore"):
        moved = values * (1 + HALF_STEP * np.sin(values * _SCRAMBLE))
    return np.asarray(np.where(np.isfinite(moved), moved, values), values.dtype)


def _shift(before: str, name: str) -> list[Any]:
    """name = before + before * half a step * sin(before * scramble + draw)."""
    from onnx import helper

    turned, angle, sine, share, moved = (f"{name}/{i}/shift" for i in range(5))
    return [
        helper.make_node(kind, sources, [made])
        for kind, sources, made in (
            ("Mul", [before, "fcnship/scramble"], turned),
            ("Add", [turned, _DRAW], angle),
            ("Sin", [angle], sine),
            ("Mul", [sine, "fcnship/step"], share),
            ("Mul", [share, before], moved),
            ("Add", [before, moved], name),
        )
    ]

"""Reads a network's activations: its tensors become outputs of the ONNX model, which ONNX Runtime runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcnship.errors import ModelRefused
from fcnship.options import Layout
from fcnship.precision.int8 import calibrated_tensors
from fcnship.runners import to_layout

if TYPE_CHECKING:
    from onnx import ModelProto

Array = np.ndarray[Any, Any]
_MOST_BYTES = 1 << 29  # of activations that are held at once
_SMALL = 1 << 10  # elements of an initializer that shape inference may want to read


class Activations:
    """Runs one image at a time and hands out its activations, one tensor after the other.

    A network whose activations would not fit into half a gigabyte together is run several times an image,
    each time for a part of them. Without optimisation, which would merge the tensors that are asked for.
    """

    def __init__(
        self,
        model: ModelProto | Path,
        *,
        layout: Layout = "nchw",
        tensors: Iterable[str] | None = None,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        import onnx

        self._model = onnx.load(model) if isinstance(model, Path) else model
        self._layout: Layout = layout
        self._most_bytes = most_bytes
        self._input = _only_input(self._model)
        self.tensors = list(calibrated_tensors(self._model) if tensors is None else tensors)
        self._pixels = 0
        self._sessions: list[tuple[list[str], Any]] = []

    @property
    def parts(self) -> int:
        """In how many parts the largest image so far was read."""
        return len(self._sessions)

    def of(self, image: Array) -> Iterator[tuple[str, Array]]:
        """Each tensor's name and values for an image (1, height, width, channels)."""
        feed = {self._input: to_layout(image.astype(np.float32, copy=False), self._layout)}
        if image.shape[1] * image.shape[2] > self._pixels:
            self._plan(feed[self._input].shape)
            self._pixels = image.shape[1] * image.shape[2]
        if self._input in self.tensors:
            yield self._input, feed[self._input]
        for names, session in self._sessions:
            yield from zip(names, session.run(names, feed), strict=True)

    def _plan(self, shape: tuple[int, ...]) -> None:
        """Split the tensors into parts for images of this shape."""
        sizes = _bytes_of(self._model, self._input, shape)
        unknown = max(sizes.values(), default=0)
        parts: list[list[str]] = [[]]
        held = 0
        for name in self.tensors:
            if name == self._input:
                continue
            size = sizes.get(name, unknown)
            if parts[-1] and held + size > self._most_bytes:
                parts.append([])
                held = 0
            parts[-1].append(name)
            held += size
        if parts != [names for names, _ in self._sessions]:
            self._sessions = [(names, self._session(names)) for names in parts if names]

    def _session(self, names: list[str]) -> Any:
        import onnx
        import onnxruntime

        wanted = onnx.ModelProto()
        wanted.CopyFrom(self._model)
        del wanted.graph.output[:]
        wanted.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return onnxruntime.InferenceSession(
                wanted.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelRefused(
                f"ONNX Runtime does not run the network to calibrate it: {error}",
                cause="it uses an operator that this version does not have, or a tensor that is not there",
                next="build it again with --force",
            ) from error


def _only_input(model: ModelProto) -> str:
    constants = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in constants]
    if len(names) != 1:
        raise ModelRefused(
            f"the network has {len(names)} inputs: {', '.join(names)}",
            cause="calibration feeds one image at a time",
            next="export it with one input",
        )
    return str(names[0])


def _without_weights(model: ModelProto) -> ModelProto:
    """The model with large initializers as inputs: shapes and types come out the same, and quickly."""
    import onnx

    light = onnx.ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        elif all(value.name != tensor.name for value in model.graph.input):
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    return light


def _bytes_of(model: ModelProto, name: str, shape: tuple[int, ...]) -> dict[str, int]:
    """Bytes of each tensor whose shape follows from the image's."""
    import onnx

    light = _without_weights(model)
    for value in light.graph.input:
        if value.name == name:
            value.CopyFrom(
                onnx.helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, list(shape))
            )
    # Names of dynamic sides in the output would contradict the image's own sides.
    for value in light.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    known = {}
    for value in (*inferred.value_info, *inferred.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            known[value.name] = 4 * math.prod(dim.dim_value for dim in dims)
    return known

"""Types and shapes of a graph's tensors: with its sizes left open, and at two sizes to see what varies."""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto, ValueInfoProto

Dimensions = tuple[int | str | None, ...]
# Multiples of 32 that no network has as a constant; large, so that no map becomes empty. Only shapes are
# computed. The first is for the batch.
PROBES = ((3, 1056, 1120), (5, 1440, 1248))
_SMALL = 4096  # elements: constants up to it take part, they may be shapes
_ERROR = re.compile(r"\(op_type:(?P<operator>\w+)(?:, node name: (?P<node>.*?))?\): *(?P<what>[^\n]*)")
_TAGS = re.compile(r"\[\w+\]|\(\w+:\d+\)|\(op_type:\w+(, node name: [^)]*)?\):")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What shape inference stumbled over."""

    node: str
    operator: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """Element types by their ONNX names, and shapes: an int is fixed, a str is named, None is open."""

    types: dict[str, str]
    shapes: dict[str, Dimensions]
    problem: Problem | None


def inferred(model: ModelProto) -> Inferred:
    """What ONNX's own shape inference says of a light copy, and the first problem that it has."""
    from onnx import shape_inference

    problem = None
    try:
        known = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        problem = _problem(str(error))
        try:
            known = shape_inference.infer_shapes(model, data_prop=True)
        except (shape_inference.InferenceError, RuntimeError, ValueError):
            known = model
    values = [*known.graph.input, *known.graph.value_info, *known.graph.output]
    types = {value.name: type_name(value.type.tensor_type.elem_type) for value in values}
    types |= {tensor.name: type_name(tensor.data_type) for tensor in known.graph.initializer}
    shapes = {v.name: dimensions(v) for v in values if v.type.tensor_type.HasField("shape")}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in known.graph.initializer}
    return Inferred(types={k: v for k, v in types.items() if v}, shapes=shapes, problem=problem)


def dimensions(value: ValueInfoProto) -> Dimensions:
    """The declared shape of a graph's input or output."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in value.type.tensor_type.shape.dim
    )


def light_copy(model: ModelProto, folder: Path) -> ModelProto:
    """The graph without its large constants (they become inputs) and without what it says of inner shapes."""
    import onnx

    light = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name or "graph"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    declared = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if (whole := _small(tensor, folder)) is not None:
            light.graph.initializer.append(whole)
        elif tensor.name not in declared:
            light.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    for value in model.graph.output:
        light.graph.output.add(name=value.name)
    return light


def at_size(light: ModelProto, name: str, spatial: tuple[int, int], probe: tuple[int, int, int]) -> Any:
    """A copy whose input ``name`` has the probe's batch and sides where it leaves them open."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(light)
    value = next(value for value in copy.graph.input if value.name == name)
    for axis, side in zip((0, *spatial), probe, strict=True):
        dim = value.type.tensor_type.shape.dim[axis]
        if not dim.HasField("dim_value"):
            dim.dim_value = side
    return copy


def _small(tensor: TensorProto, folder: Path) -> TensorProto | None:
    """The tensor with its data in it, if that is little and can be read."""
    import onnx

    if math.prod(tensor.dims) > _SMALL:
        return None
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return tensor
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    try:
        onnx.external_data_helper.load_external_data_for_tensor(copy, str(folder))
    except (OSError, ValueError, onnx.checker.ValidationError):
        return None
    copy.data_location = onnx.TensorProto.DEFAULT
    del copy.external_data[:]
    return copy


def type_name(number: int) -> str:
    """ONNX's name of an element type, '' for none; a number that it has not is a type that nobody knows."""
    from onnx import TensorProto

    if number not in TensorProto.DataType.values():
        return f"TYPE_{number}"
    return str(TensorProto.DataType.Name(number)) if number else ""


def _problem(text: str) -> Problem | None:
    found = _ERROR.search(text)
    if not found:
        return None
    what = " ".join(_TAGS.sub("", found["what"]).split())
    return Problem(node=found["node"] or "", operator=found["operator"], what=what)

"""What number each tensor of an ONNX graph is made of, by inference over the graph and not by its weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from fcnship.errors import ModelRefused

# Shapes that a graph computes with are small; larger initializers are weights, whose values say no type.
_LARGE = 4096


def element_types(model: Any) -> dict[str, int]:
    """For each tensor of the graph, its ``TensorProto`` data type; a tensor that inference misses is absent.

    Large weights take part by their types alone, so that no copy of them is made.
    """
    import onnx

    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = model.graph
    bare.graph.name = graph.name
    bare.graph.node.extend(graph.node)
    bare.graph.input.extend(graph.input)
    bare.graph.output.extend(graph.output)
    bare.graph.value_info.extend(graph.value_info)
    for tensor in graph.initializer:
        if math.prod(tensor.dims) > _LARGE:
            bare.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        else:
            bare.graph.initializer.append(tensor)
    inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return {name: kind for name, kind in found.items() if kind} | {
        t.name: t.data_type for t in graph.initializer
    }


def is_flat(model: Any) -> bool:
    """Whether a graph has no loops and no branches."""
    return _inner(model) is None


def check_flat(model: Any) -> None:
    """Refuse a graph with loops or branches: their inner graphs read tensors from outside by name.

    Raises:
        ModelRefused: it has one.
    """
    node = _inner(model)
    if node is not None:
        raise ModelRefused(
            f"the node {node.name or node.op_type} is a loop or a branch ({node.op_type})",
            cause="fcnship changes the precision of graphs without inner graphs only",
            next="build with --precision fp32, or replace the layer that loops",
        )


def _inner(model: Any) -> Any:
    """The first node that holds a graph."""
    held = (n for n in model.graph.node if any(a.HasField("g") or a.graphs for a in n.attribute))
    return next(held, None)


def opset_of(model: Any) -> int:
    """The version of ONNX's own operator set."""
    return max(
        (int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1
    )


def free_name(wanted: str, taken: set[str]) -> str:
    """The name, or the first of its numbered forms that is not taken; it is taken from now on."""
    found, number = wanted, 0
    while found in taken:
        number += 1
        found = f"{wanted}_{number}"
    taken.add(found)
    return found


def names_of(model: Any) -> set[str]:
    """The names of all tensors and nodes."""
    graph = model.graph
    tensors: Iterable[str] = (name for node in graph.node for name in (node.name, *node.input, *node.output))
    values = (value.name for value in (*graph.input, *graph.output, *graph.initializer))
    return {*tensors, *values}

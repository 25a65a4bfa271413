"""Types of numbers: those that TensorRT has not, operators that do not take one, and mixtures on one node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph, Node
from fcnship.lint.operators import TYPES, knows
from fcnship.lint.shapes import type_name
from fcnship.lint.targets import Target

# onnx-tensorrt docs/operators.md: the data types of 10.x, and what it notes of DOUBLE, UINT8 and INT8.
_KNOWN = frozenset().union(*TYPES.values(), {"INT8", "UINT8"})
# Only between quantization and its counterpart.
_QUANTIZED = ("INT8", "FLOAT8E4M3FN", "INT4", "FLOAT4E2M1")
_QDQ = ("QuantizeLinear", "DequantizeLinear")
# The input that has the data, where it is not the first.
_DATA = {"Where": 1, "Range": 0}
_CAST = "cast to float32 or float16 before it"
_NAMES = {"FLOAT": "float32", "DOUBLE": "float64"}
_IN_ONNX = {"FLOAT": "float", "DOUBLE": "double"}


def check_types(graph: Graph, target: Target) -> Iterator[Finding]:
    """Types that TensorRT has not or narrows, each where it comes up first; then each operator's own."""
    for value in graph.inputs:
        kind = graph.type_of(value.name)
        readers = [node for node, _ in graph.consumers.get(value.name, ())]
        if kind and (told := _as_input(kind, readers)):
            severity, what, way_out = told
            yield Finding(
                rule="type", severity=severity, what=f"the input {value.name!r} {what}", next=way_out
            )
    for node in graph.outer:
        yield from _comes_up(graph, node)
        if node.standard and knows(target, node.operator):
            yield from _taken(graph, node, target)


def check_mixtures(graph: Graph, target: Target) -> Iterator[Finding]:
    """Inputs that ONNX wants to be of one type, and are not. A strongly typed network casts nothing."""
    for node in graph.outer:
        if not node.standard:
            continue
        for places in _same_type(node, graph.opset):
            kinds = {place: graph.type_of(node.input(place)) for place in places if node.input(place)}
            found = {place: kind for place, kind in kinds.items() if kind}
            if len(set(found.values())) > 1:
                told = ", ".join(f"input {place} is {_name(kind)}" for place, kind in found.items())
                yield node.finding(
                    "mixed-types",
                    "error",
                    f"{told}: they must be of one type",
                    "cast one of them: TensorRT casts nothing by itself in a strongly typed network",
                )


def check_declared(graph: Graph, target: Target) -> Iterator[Finding]:
    """Outputs that are of another type than the file says."""
    for value in graph.model.graph.output:
        said = type_name(value.type.tensor_type.elem_type)
        kind = graph.type_of(value.name)
        if kind and said not in ("", kind):
            producer = graph.producers.get(value.name)
            what = f"the output {value.name!r} is {_name(kind)}, the file says {_name(said)}"
            way_out = "cast the output, or correct its type in the file"
            if producer:
                yield producer.finding("type", "error", what, way_out)
            else:
                yield Finding(rule="type", severity="error", what=what, next=way_out)


def _as_input(kind: str, readers: list[Node]) -> tuple[Any, str, str] | None:
    if kind == "DOUBLE":
        return "warning", "is float64: TensorRT narrows it to float32", "make it float32"
    if kind == "UINT8":
        if all(node.operator == "Cast" for node in readers):
            return None
        return "error", "is uint8 and is read without a Cast", "cast it to float32 first"
    if kind in _QUANTIZED and not all(node.operator == "DequantizeLinear" for node in readers):
        severity = "warning" if kind == "INT8" else "error"
        return severity, f"is {_name(kind)} and is read without a DequantizeLinear", "make it float32"
    if kind not in _KNOWN:
        return "error", f"is {_name(kind)}, which TensorRT has not", "make it float32"
    return None


def _comes_up(graph: Graph, node: Node) -> Iterator[Finding]:
    """A type that the node makes or reads from the file, and that no node before it has made."""
    if node.operator in _QDQ:
        return
    before = {graph.type_of(name) for name in node.inputs if name and not graph.is_stored(name)}
    stored = {graph.type_of(name) for name in node.inputs if name and graph.is_stored(name)}
    made = {graph.type_of(name) for name in node.outputs if name}
    for kind in sorted((made | stored) - before - {""}):
        if kind == "DOUBLE":
            yield node.finding(
                "type", "warning", "float64 comes up here: TensorRT narrows it to float32", "make it float32"
            )
        elif kind == "UINT8" and not _is_last(graph, node):
            yield node.finding(
                "type", "error", "uint8 comes up here: TensorRT has it as input and output alone", _CAST
            )
        elif kind in _QUANTIZED and kind != "INT8" and node.operator != "Constant":
            yield node.finding(
                "type",
                "error",
                f"{_name(kind)} comes up here without a QuantizeLinear",
                "quantize it instead",
            )
        elif kind not in _KNOWN:
            yield node.finding("type", "error", f"{_name(kind)} comes up here: TensorRT has it not", _CAST)


def _is_last(graph: Graph, node: Node) -> bool:
    given = {value.name for value in graph.model.graph.output}
    return node.operator == "Cast" and all(n in given and n not in graph.consumers for n in node.outputs)


def _taken(graph: Graph, node: Node, target: Target) -> Iterator[Finding]:
    place = _DATA.get(node.operator, 0)
    kind = graph.type_of(node.input(place))
    if not kind or kind not in _KNOWN or kind == "UINT8":
        return
    if kind in TYPES[node.operator]:
        if not _is_in_onnx(node, graph.opset, place, kind):
            what = f"{node.operator} on {_name(kind)} is no valid ONNX in opset {graph.opset}"
            yield node.finding("type", "error", what, f"raise the opset, or {_CAST}")
    elif kind == "INT8":
        if node.operator not in _MOVES:
            what = f"{node.operator} on int8: TensorRT documents int8 between a Q/DQ pair alone"
            yield node.finding("type", "warning", what, "put the DequantizeLinear before it")
    elif node.operator not in _QDQ:
        takes = ", ".join(sorted(_name(each) for each in TYPES[node.operator] - {"DOUBLE"}))
        what = f"{node.operator} on {_name(kind)}: {target.title} takes {takes}"
        way_out = f"cast to {'float32' if 'FLOAT' in TYPES[node.operator] else takes} before it"
        yield node.finding("type", "error", what, way_out)


def _is_in_onnx(node: Node, opset: int, place: int, kind: str) -> bool:
    """Whether ONNX itself lets the operator have an input of this type."""
    from onnx import defs

    if not defs.has(node.operator, opset, ""):
        return True
    schema = defs.get_schema(node.operator, opset, "")
    if place >= len(schema.inputs):
        return True
    allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}
    named = schema.inputs[place].type_str
    return f"tensor({_IN_ONNX.get(kind, kind.lower())})" in allowed.get(named, [named])


# They move numbers without computing: int8 between Q and DQ passes through (tried with TensorRT-RTX 1.7.1).
_MOVES = ("Cast", "MaxPool", "Reshape", "Transpose", "Concat", "Flatten", "Squeeze", "Unsqueeze", "Identity")


def _same_type(node: Node, opset: int) -> Iterator[list[int]]:
    """Groups of inputs that ONNX gives one type variable."""
    from onnx import defs

    if not defs.has(node.operator, opset, ""):
        return
    schema = defs.get_schema(node.operator, opset, "")
    groups: dict[str, list[int]] = {}
    for place in range(len(node.inputs) if schema.inputs else 0):
        formal = schema.inputs[min(place, len(schema.inputs) - 1)]
        if place >= len(schema.inputs) and formal.option != defs.OpSchema.FormalParameterOption.Variadic:
            break
        if formal.is_homogeneous:
            groups.setdefault(formal.type_str, []).append(place)
    for kind, places in groups.items():
        if not kind.startswith("tensor(") and len(places) > 1:
            yield places


def _name(kind: str) -> str:
    return _NAMES.get(kind, kind.lower())

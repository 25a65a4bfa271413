"""FP16 as types in the graph: every tensor is float16 but those of the layers that are kept in FP32.

ONNX Runtime's own converter (``onnxruntime.transformers.float16``, 1.31) is not used, for what it did to our
graphs: between two neighbours that stay FP32 it puts a cast to FP16 and back, so that the very values that do
not fit become infinite; weights out of range are clamped without a word; and the casts of the graph's ends
come last in the file, which ONNX's checker refuses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from fcnship.errors import ModelRefused
from fcnship.precision.element_types import check_flat, element_types, free_name, names_of, opset_of
from fcnship.precision.places import is_kept, places_of

IO = Literal["fp32", "fp16"]
LARGEST = 65504.0
# The smallest normal number; below it a step is 6e-8 whatever the value, and half of that is zero.
SMALLEST_NORMAL = 2.0**-14
_FLOAT, _HALF = 1, 10  # TensorProto.FLOAT and FLOAT16
_WORDS = {_FLOAT: "float32", _HALF: "float16"}


def narrowed(model: Any, *, keep: Collection[str] = (), io: IO = "fp32") -> Any:
    """A copy of a float32 ONNX model in which all that can be is float16, with a Cast wherever types meet.

    ``keep`` names Keras layers (or nodes of no layer) that stay float32; a nested model's name keeps all of
    it. ``io``: the type of the graph's inputs and outputs. Names, dimensions, metadata and the order of nodes
    stay; casts are named after the node that they follow, ``conv2d/Relu/to_float32``.

    Raises:
        ModelRefused: a weight that is to be float16 does not fit, a tensor's type is unknown, or the graph
            has loops or branches.
    """
    check_flat(model)
    return _Narrowing(model, keep, io).model()


class _Narrowing:
    def __init__(self, model: Any, keep: Collection[str], io: IO) -> None:
        self._old, self._io = model, _HALF if io == "fp16" else _FLOAT
        kinds = element_types(model)
        _check_typed(model, kinds)
        self._floats = {name for name, kind in kinds.items() if kind == _FLOAT}
        self._weights = {tensor.name for tensor in model.graph.initializer} & self._floats
        self._ends = {value.name for value in model.graph.output} & self._floats - self._weights
        opset = opset_of(model)
        self._slots = [
            slots_of(node, opset, narrow=not is_kept(place, keep))
            for node, place in zip(model.graph.node, places_of(model), strict=True)
        ]
        self._taken = names_of(model)
        self._stored: dict[str, int] = {}  # the type in which a float tensor of the old graph is made
        self._source: dict[str, str] = {}  # the node after which its casts are named
        self._as: dict[tuple[str, int], str] = {}  # an old tensor in a type: its name in the new graph

    def model(self) -> Any:
        import onnx

        new = onnx.ModelProto()
        for field, value in self._old.ListFields():
            if field.name == "graph":
                new.graph.name, new.graph.doc_string = value.name, value.doc_string
            elif isinstance(value, str | int):
                setattr(new, field.name, value)
            else:
                getattr(new, field.name).extend(value)
        self._add_weights(new.graph)
        self._add_inputs(new.graph)
        for node, slots in zip(self._old.graph.node, self._slots, strict=True):
            self._add_node(new.graph, node, slots)
        for value in self._old.graph.output:
            new.graph.output.add().CopyFrom(value)
            if value.name in self._ends:
                new.graph.output[-1].type.tensor_type.elem_type = self._io
        return new

    def _add_weights(self, graph: Any) -> None:
        """Each weight in the types that its readers want; where there are two, float32 keeps the name."""
        wanted: dict[str, set[int]] = defaultdict(set)
        for node, slots in zip(self._old.graph.node, self._slots, strict=True):
            for name, kind in zip(node.input, slots.inputs, strict=True):
                wanted[name].add(kind)
        for tensor in self._old.graph.initializer:
            name, kinds = tensor.name, wanted[tensor.name]
            if name not in self._weights or kinds != {_HALF}:
                graph.initializer.add().CopyFrom(tensor)
                self._have(name, _FLOAT, name, name)
            if name in self._weights and _HALF in kinds:
                half = name if kinds == {_HALF} else free_name(f"{name}/float16", self._taken)
                graph.initializer.add().CopyFrom(_half(tensor, half))
                self._have(name, _HALF, half, name)

    def _add_inputs(self, graph: Any) -> None:
        for value in self._old.graph.input:
            graph.input.add().CopyFrom(value)
            if value.name in self._floats - self._weights:
                graph.input[-1].type.tensor_type.elem_type = self._io
                self._have(value.name, self._io, value.name, value.name)

    def _add_node(self, graph: Any, old: Any, slots: Slots) -> None:
        names = [
            self._in(graph, name, kind) if name in self._floats else name
            for name, kind in zip(old.input, slots.inputs, strict=True)
        ]
        node = graph.node.add()
        node.CopyFrom(old)
        node.input[:] = names
        if old.op_type == "Cast" and old.output[0] in self._floats:
            next(a for a in node.attribute if a.name == "to").i = slots.outputs[0]
        for place, (name, kind) in enumerate(zip(old.output, slots.outputs, strict=True)):
            if name not in self._floats:
                continue
            inner = name
            if name in self._ends and kind != self._io:
                inner = node.output[place] = free_name(f"{name}/{_WORDS[kind]}", self._taken)
            self._have(name, kind, inner, old.name or name)
            if inner != name:
                self._cast(graph, name, self._io, name)

    def _in(self, graph: Any, name: str, kind: int) -> str:
        """The tensor in a type, cast once for all its readers."""
        if (name, kind) not in self._as:
            self._cast(graph, name, kind, free_name(f"{name}/{_WORDS[kind]}", self._taken))
        return self._as[name, kind]

    def _cast(self, graph: Any, name: str, kind: int, new: str) -> None:
        from onnx import helper

        node = free_name(f"{self._source[name]}/to_{_WORDS[kind]}", self._taken)
        before = self._as[name, self._stored[name]]
        graph.node.append(helper.make_node("Cast", [before], [new], node, to=kind))
        self._as[name, kind] = new

    def _have(self, name: str, kind: int, new: str, source: str) -> None:
        self._stored.setdefault(name, kind)
        self._source.setdefault(name, source)
        self._as[name, kind] = new


class Slots(NamedTuple):
    """The type in which a node takes or gives what is float32 in the old graph, for each input and output."""

    inputs: list[int]
    outputs: list[int]


def slots_of(node: Any, opset: int, *, narrow: bool) -> Slots:
    """What ONNX lets a node take and give in float16: all, some (the scales of a Resize stay), or nothing."""
    from onnx import defs

    foreign = node.domain not in ("", "ai.onnx")
    if not narrow or foreign or not defs.has(node.op_type, opset, ""):
        return Slots([_FLOAT] * len(node.input), [_FLOAT] * len(node.output))
    schema = defs.get_schema(node.op_type, opset, "")
    halves = {c.type_param_str for c in schema.type_constraints if "tensor(float16)" in c.allowed_type_strs}
    inputs = [_formal(schema.inputs, place).type_str for place in range(len(node.input))]
    # What no input decides is decided by an attribute (the type of random numbers): that stays as it is.
    tied = halves & (set(inputs) | ({schema.outputs[0].type_str} if node.op_type == "Cast" else set()))
    outputs = [_formal(schema.outputs, place).type_str for place in range(len(node.output))]
    return Slots(
        [_HALF if kind in halves else _FLOAT for kind in inputs],
        [_HALF if kind in tied else _FLOAT for kind in outputs],
    )


def _formal(declared: Any, place: int) -> Any:
    """The declared input or output at a place; the last one may stand for many."""
    return declared[min(place, len(declared) - 1)]


def _check_typed(model: Any, kinds: Mapping[str, int]) -> None:
    for node in model.graph.node:
        for name in node.output:
            if name and name not in kinds:
                raise ModelRefused(
                    f"the type of {name} is unknown",
                    cause=f"ONNX does not know the operator {node.op_type} that makes it",
                    next="build with --precision fp32, or replace the layer",
                )


def _half(tensor: Any, name: str) -> Any:
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.array_equal(np.isfinite(values), np.isfinite(half)):
        raise ModelRefused(
            f"the weights {tensor.name} reach {np.abs(values).max():.3g}",
            cause=f"FP16 ends at {LARGEST:g}",
            next="keep the layer in FP32 with --keep-fp32",
        )
    return numpy_helper.from_array(half, name)

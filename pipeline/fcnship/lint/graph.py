"""An ONNX graph as the rules read it: nodes with their names and layers, constants, types and shapes."""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcnship.graph.onnx_layers import layers_of
from fcnship.lint.findings import Finding, Severity
from fcnship.lint.shapes import PROBES, Dimensions, Inferred, at_size, dimensions, inferred, light_copy

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

Array = np.ndarray[Any, Any]
_OWN = ("", "ai.onnx")  # the two names of ONNX's own domain


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """A node of the graph or, ``inner``, of a branch, a loop's body or a function."""

    name: str
    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    layer: str
    inner: bool

    @property
    def standard(self) -> bool:
        """Whether the operator is one of ONNX's own."""
        return self.domain == ""

    def input(self, place: int) -> str:
        """The name of an input; '' if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""

    @property
    def output(self) -> str:
        """The name of the first output."""
        return self.outputs[0] if self.outputs else ""

    def number(self, attribute: str, default: int) -> int:
        """A whole number among the attributes."""
        value = self.attributes.get(attribute)
        return value if isinstance(value, int) else default

    def numbers(self, attribute: str, default: list[int]) -> list[int]:
        """A list of whole numbers among the attributes."""
        value = self.attributes.get(attribute)
        return value if isinstance(value, list) and all(isinstance(each, int) for each in value) else default

    def text(self, attribute: str, default: str) -> str:
        """A word among the attributes."""
        value = self.attributes.get(attribute)
        return value.decode(errors="replace") if isinstance(value, bytes) else default

    def finding(self, rule: str, severity: Severity, what: str, next: str) -> Finding:
        """Something that is wrong with this node."""
        return Finding(
            rule=rule,
            severity=severity,
            node=self.name,
            operator=self.operator,
            layer=self.layer,
            what=what,
            next=next,
        )


class Graph:
    """What a file holds. External data is read where a rule needs a value, never as a whole."""

    def __init__(self, model: ModelProto, path: Path) -> None:
        self.path, self.model = path, model
        layers = layers_of(model)
        self.nodes = tuple(_nodes(model.graph.node, {name: str(layer) for name, layer in layers.items()}))
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = tuple(value for value in model.graph.input if value.name not in self._initializers)
        self.outer = tuple(node for node in self.nodes if not node.inner)
        self._constants = {n.outputs[0]: n for n in self.outer if n.operator == "Constant" and n.outputs}
        self.producers = {output: node for node in self.outer for output in node.outputs if output}
        self.fixed = self._fixed()

    @cached_property
    def everything(self) -> tuple[Node, ...]:
        """The nodes of the graph and of its local functions."""
        inner = (_nodes(function.node, {}, inner=True) for function in self.model.functions)
        return (*self.nodes, *(node for nodes in inner for node in nodes))

    @cached_property
    def functions(self) -> frozenset[tuple[str, str]]:
        """Domain and name of the file's local functions."""
        return frozenset((function.domain, function.name) for function in self.model.functions)

    @cached_property
    def opset(self) -> int:
        """The opset of ONNX's own operators; 0 if the file names none."""
        return max((entry.version for entry in self.model.opset_import if entry.domain in _OWN), default=0)

    @cached_property
    def consumers(self) -> dict[str, list[tuple[Node, int]]]:
        """Who reads a tensor, and as which input."""
        found: dict[str, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for place, name in enumerate(node.inputs):
                found.setdefault(name, []).append((node, place))
        return found

    @cached_property
    def given(self) -> frozenset[str]:
        """The tensors that are there before any node has run."""
        return frozenset(self._initializers) | {value.name for value in self.model.graph.input}

    @cached_property
    def loose(self) -> tuple[tuple[Node, str, str], ...]:
        """Inputs of nodes that nothing makes, or that a later node makes."""
        made, found = set(self.given), []
        for node in self.outer:
            for name in node.inputs:
                if name and name not in made:
                    found.append((node, name, "by a later node" if name in self.producers else "by nothing"))
            made.update(node.outputs)
        return tuple(found)

    @cached_property
    def _light(self) -> ModelProto:
        return light_copy(self.model, self.path.parent)

    @cached_property
    def known(self) -> Inferred:
        """Types and shapes with the sizes left open."""
        return inferred(self._light)

    @cached_property
    def probes(self) -> tuple[Inferred, Inferred] | None:
        """Types and shapes at two sizes of the image; None if no side of it is open, or it is no image."""
        if self.image is None or self.sides is None:
            return None
        first, second = (at_size(self._light, self.image.name, self.sides, probe) for probe in PROBES)
        return inferred(first), inferred(second)

    @cached_property
    def image(self) -> ValueInfoProto | None:
        """The one input of rank 4."""
        found = [value for value in self.inputs if len(dimensions(value)) == 4]
        return found[0] if len(found) == 1 else None

    @cached_property
    def sides(self) -> tuple[int, int] | None:
        """The axes of the image's height and width, if one of them is open and the channels are not."""
        if self.image is None:
            return None
        shape = dimensions(self.image)
        for axes, channels in (((2, 3), 1), ((1, 2), 3)):
            if isinstance(shape[channels], int) and not all(isinstance(shape[axis], int) for axis in axes):
                return axes
        return None

    def type_of(self, name: str) -> str:
        """A tensor's element type, like ``FLOAT16``; '' if it is not known."""
        return self.known.types.get(name, "")

    def shape_of(self, name: str) -> Dimensions | None:
        """A tensor's shape with the sizes left open."""
        return self.known.shapes.get(name)

    def is_stored(self, name: str) -> bool:
        """Whether a tensor stands in the file as it is."""
        return name in self._initializers or name in self._constants

    def value(self, name: str) -> Array | None:
        """A stored tensor's value; None if it is not stored, or its external data cannot be read."""
        from onnx import checker, numpy_helper

        if name in self._constants:
            return _constant(self._constants[name])
        if name not in self._initializers:
            return None
        try:
            return np.asarray(numpy_helper.to_array(self._initializers[name], str(self.path.parent)))
        except (OSError, ValueError, TypeError, KeyError, checker.ValidationError):
            return None

    def _fixed(self) -> frozenset[str]:
        """The tensors that depend on nothing but constants."""
        found = {*self._initializers, *self._constants}
        for node in self.outer:
            if node.inputs and all(name in found or not name for name in node.inputs):
                found.update(node.outputs)
        return frozenset(found)


def _nodes(protos: Any, layers: dict[str, str], inner: bool = False) -> Iterator[Node]:
    from onnx import AttributeProto

    for proto in protos:
        yield _node(proto, layers, inner)
        for attribute in proto.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _nodes(attribute.g.node, layers, inner=True)
            for graph in attribute.graphs:
                yield from _nodes(graph.node, layers, inner=True)


def _node(proto: NodeProto, layers: dict[str, str], inner: bool) -> Node:
    from onnx import helper

    made = next(iter(proto.output), "")
    return Node(
        name=proto.name or f"(unnamed node that makes {made!r})",
        operator=proto.op_type,
        domain="" if proto.domain in _OWN else proto.domain,
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes={a.name: helper.get_attribute_value(a) for a in proto.attribute if not a.ref_attr_name},
        layer=layers.get(proto.name, ""),
        inner=inner,
    )


def _constant(node: Node) -> Array | None:
    from onnx import TensorProto, numpy_helper

    for attribute, value in node.attributes.items():
        if attribute == "value" and isinstance(value, TensorProto):
            return np.asarray(numpy_helper.to_array(value))
        if attribute in ("value_int", "value_ints"):
            return np.asarray(value, np.int64)
        if attribute in ("value_float", "value_floats"):
            return np.asarray(value, np.float32)
    return None

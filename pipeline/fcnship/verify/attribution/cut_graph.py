"""An ONNX graph that can be cut at any of its tensors, and whose pieces run one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import ArtifactError

Array = np.ndarray[Any, Any]
# Larger weights are handed over with each run instead of standing in the piece: ONNX Runtime keeps no copy.
_LARGE = 100_000
_KEEPS_VALUES = ("Cast", "Identity", "QuantizeLinear", "DequantizeLinear")


class CutGraph:
    """A loaded ONNX file: who makes a tensor, who reads it, which nodes lie between two cuts."""

    def __init__(self, model: Any) -> None:
        self.model, graph = model, model.graph
        self.nodes = list(graph.node)
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.maker = {name: place for place, node in enumerate(self.nodes) for name in node.output if name}
        self.readers: dict[str, list[int]] = {}
        for place, node in enumerate(self.nodes):
            for name in reads(node):
                self.readers.setdefault(name, []).append(place)
        images = [value for value in graph.input if value.name not in self.weights]
        self.input, self.output = images[0].name, graph.output[0].name
        self.input_type = _numpy_type(images[0].type.tensor_type.elem_type)

    @classmethod
    def read(cls, path: Path) -> CutGraph:
        """Load a file.

        Raises:
            ArtifactError: it is damaged.
        """
        import onnx

        try:
            return cls(onnx.load(path))
        except Exception as error:
            raise ArtifactError(
                f"{path} cannot be read as ONNX: {str(error).splitlines()[0]}",
                cause="the file is cut off, or is no ONNX",
                next="build it again with --force",
            ) from error

    def as_computed(self) -> CutGraph:
        """The graph to run: an FP16 one with every rounding that ONNX Runtime leaves out on a CPU."""
        from fcnship.precision.element_types import element_types, is_flat
        from fcnship.precision.rounding import rounded

        half = 10  # TensorProto.FLOAT16
        if not is_flat(self.model) or half not in element_types(self.model).values():
            return self
        return CutGraph(rounded(self.model))

    def between(self, cuts: set[str], target: str) -> tuple[list[int], list[str]]:
        """The nodes that ``target`` needs up to the nearest cuts, in order, and those cuts."""
        found: set[int] = set()
        edges: dict[str, None] = {}
        waiting = [target]
        while waiting:
            place = self.maker.get(waiting.pop())
            if place is None or place in found:
                continue
            found.add(place)
            for name in reads(self.nodes[place]):
                if name in cuts:
                    edges[name] = None
                elif name in self.maker:
                    waiting.append(name)
        return sorted(found), list(edges)

    def source(self, name: str, within: set[int]) -> str:
        """Back from a tensor through casts and quantisation that one of the nodes ``within`` does."""
        while (place := self.maker.get(name)) in within and self.nodes[place].op_type in _KEEPS_VALUES:
            name = self.nodes[place].input[0]
        return name

    def piece(self, edges: Mapping[str, Array], target: str) -> Piece:
        """The part of the graph from its ``edges`` (of which types and ranks count) to ``target``."""
        return Piece(self, edges, target)

    def weight(self, name: str) -> Array:
        """A stored weight."""
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self.weights[name]))

    def constant(self, name: str) -> Array | None:
        """A weight, also one that the graph stores narrowed or turned; None for what hangs on the image."""
        from onnx import numpy_helper

        if name in self.weights:
            return self.weight(name)
        node = self.nodes[self.maker[name]] if name in self.maker else None
        if node is None:
            return None
        if node.op_type == "Constant":
            return np.asarray(numpy_helper.to_array(node.attribute[0].t))
        values = [self.constant(given) for given in node.input if given]
        known = [value for value in values if value is not None]
        return _computed(node, known) if known and len(known) == len(values) else None


class Piece:
    """One part of a graph as a session of ONNX Runtime: each node computes as it stands in the file."""

    def __init__(self, graph: CutGraph, edges: Mapping[str, Array], target: str) -> None:
        import onnxruntime

        nodes, _ = graph.between(set(edges), target)
        chosen = [graph.nodes[place] for place in nodes]
        used = {name for node in chosen for name in reads(node) if name in graph.weights}
        large = [name for name in sorted(used) if _count(graph.weights[name]) >= _LARGE]
        self._large = {name: graph.weight(name) for name in large}
        small = [graph.weights[name] for name in sorted(used - set(self._large))]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # Merged nodes would hide what one of them adds, and reordered weights are a copy of them.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
        text = _model(graph.model, chosen, small, {**edges, **self._large}, target).SerializeToString()
        self._session = onnxruntime.InferenceSession(text, options, providers=["CPUExecutionProvider"])
        self._edges = list(edges)

    def __call__(self, tensors: Mapping[str, Array]) -> Array:
        """The target, from tensors by name."""
        given = {name: np.ascontiguousarray(tensors[name]) for name in self._edges}
        return np.asarray(self._session.run(None, {**given, **self._large})[0])


def reads(node: Any) -> Iterator[str]:
    """The tensors that a node reads, those that its branches and loops take from outside included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
            yield from _read_by(inner)


def _read_by(graph: Any) -> Iterator[str]:
    """What an inner graph takes from outside; its outputs may be outer tensors as they are."""
    made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        yield from (name for name in reads(node) if name not in made)
        made |= set(node.output)
    yield from (value.name for value in graph.output if value.name not in made)


def attributes_of(node: Any) -> dict[str, Any]:
    """A node's attributes as Python values."""
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _model(
    whole: Any, nodes: Iterable[Any], small: Iterable[Any], inputs: Mapping[str, Array], target: str
) -> Any:
    from onnx import ModelProto, ValueInfoProto, helper

    model = ModelProto(ir_version=whole.ir_version)
    model.opset_import.extend(whole.opset_import)
    model.functions.extend(whole.functions)
    graph = model.graph
    graph.name = "piece"
    graph.node.extend(nodes)
    graph.initializer.extend(small)
    for name, array in inputs.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    graph.output.append(ValueInfoProto(name=target))
    return model


def _numpy_type(kind: int) -> Any:
    from onnx import helper

    return helper.tensor_dtype_to_np_dtype(kind)


def _count(tensor: Any) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64))


def _computed(node: Any, values: Sequence[Array]) -> Array | None:
    """What a node makes of constants, for the kinds that exporters put between a weight and its reader."""
    first = values[0]
    match node.op_type:
        case "Cast":
            return np.asarray(first, _numpy_type(attributes_of(node)["to"]))
        case "Identity":
            return first
        case "Transpose":
            return np.transpose(first, attributes_of(node).get("perm"))
        case "Reshape":
            return np.reshape(first, tuple(int(side) for side in values[1]))
        case "DequantizeLinear":
            return _dequantized(first, *values[1:3], axis=attributes_of(node).get("axis", 1))
        case _:
            return None


def _dequantized(values: Array, scale: Array, zero: Array | None = None, *, axis: int) -> Array:
    along = [1] * values.ndim
    if scale.ndim:
        along[axis] = -1
    shift = np.zeros_like(values) if zero is None else zero.reshape(along) if scale.ndim else zero
    whole = values.astype(np.float32) - np.asarray(shift, np.float32)
    return np.asarray(whole * scale.astype(np.float32).reshape(along) if scale.ndim else whole * scale)

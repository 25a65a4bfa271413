"""What goes into the network: names, open and shared dimensions; and whether the graph hangs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph
from fcnship.lint.shapes import dimensions
from fcnship.lint.targets import Target

if TYPE_CHECKING:
    from onnx import ValueInfoProto

_WELL = "(batch, channels, height, width) with a number for the channels and a name for each of the others"


def check_inputs(graph: Graph, target: Target) -> Iterator[Finding]:
    """One named input with a known rank, whose open dimensions have names of their own."""
    if len(graph.inputs) != 1:
        names = ", ".join(repr(value.name) for value in graph.inputs) or "none"
        yield _finding(
            "input",
            "warning",
            f"the network's inputs are {names}: a profile of fcnship has one image",
            "export a network of one input",
        )
    for value in graph.inputs:
        if not value.name:
            yield _finding("input", "error", "an input has no name", "name it image")
        if not value.type.tensor_type.HasField("shape"):
            yield _finding(
                "rank",
                "error",
                f"the input {value.name!r} does not say how many dimensions it has: no profile fits it",
                f"declare {_WELL}",
            )
        else:
            yield from _dimensions(value)


def check_wiring(graph: Graph, target: Target) -> Iterator[Finding]:
    """Tensors that nothing makes, and names that two nodes have."""
    for node, name, why in graph.loose:
        yield node.finding("wiring", "error", f"its input {name!r} is made {why}", "export the network again")
    made = graph.given | set(graph.producers)
    for value in graph.model.graph.output:
        if value.name not in made:
            what = f"the output {value.name!r} is made by nothing"
            yield _finding("wiring", "error", what, "export the network again")
    for name, count in Counter(node.name for node in graph.outer).items():
        if count > 1:
            yield Finding(
                rule="wiring",
                severity="warning",
                node=name,
                what=f"{count} nodes have this name: TensorRT's reports cannot tell them apart",
                next="give each node a name of its own",
            )


def _dimensions(value: ValueInfoProto) -> Iterator[Finding]:
    shape = dimensions(value)
    open_axes = [axis for axis, side in enumerate(shape) if not isinstance(side, int)]
    if any(shape[axis] is None for axis in open_axes):
        axes = ", ".join(str(axis) for axis in open_axes if shape[axis] is None)
        yield _finding(
            "unnamed-dimension",
            "warning",
            f"dimensions without a name in the input {value.name!r}: {axes}",
            f"declare {_WELL}",
        )
    for name, count in Counter(side for side in shape if isinstance(side, str)).items():
        if count > 1:
            yield _finding(
                "shared-dimension",
                "error",
                f"{count} dimensions of the input {value.name!r} are named {name!r}: TensorRT then takes "
                "equal ones alone",
                f"declare {_WELL}",
            )
    if len(shape) == 4 and {1, 2, 3} <= set(open_axes):
        what = f"the input {value.name!r} leaves its channels open"
        yield _finding("channels", "warning", what, f"declare {_WELL}")
    if len(shape) == 4 and not {1, 2, 3} & set(open_axes):
        told = "x".join(map(str, shape[1:]))
        what = f"the input {value.name!r} has the fixed size {told}: an engine of it serves no other"
        yield _finding("static-size", "warning", what, f"declare {_WELL}, if the network runs at any size")


def _finding(rule: str, severity: str, what: str, next: str) -> Finding:
    return Finding(rule=rule, severity="error" if severity == "error" else "warning", what=what, next=next)

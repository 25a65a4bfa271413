"""Constants that fix height, width or batch although the input leaves them open: open dimensions that lie."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Array, Graph, Node
from fcnship.lint.shapes import Dimensions, Inferred, Problem
from fcnship.lint.targets import Target

_COMPUTE = "compute the size from the input's own: export a fully convolutional network (fcnship convert)"
Sides = list[Dimensions | None]  # of one tensor at both sizes
_AGAIN = "export the network again"
_SIZED = ("Resize", "Upsample", "ConvTranspose")


def check_fixed_sizes(graph: Graph, target: Target) -> Iterator[Finding]:
    """Runs the graph's shapes through at two large sizes, and looks for what does not vary with them."""
    if graph.loose:
        return  # nothing can be said of its shapes
    if graph.known.problem:
        problem = graph.known.problem
        yield _of_problem(graph, problem, "shapes", f"its shapes do not fit together: {problem.what}", _AGAIN)
        return
    if graph.probes is None:
        return
    found = [finding for node in graph.outer for finding in _of_node(graph, node, graph.probes)]
    yield from found
    if any(finding.severity == "error" for finding in found):
        return  # what follows from them is not told again
    problems = [probe.problem for probe in graph.probes if probe.problem]
    if problems:
        what = f"it fits one image size alone, whatever the input says: {problems[0].what}"
        yield _of_problem(graph, problems[0], "fixed-size", what, _COMPUTE)
    else:
        yield from _outputs(graph, graph.probes)


def _of_problem(graph: Graph, problem: Problem, rule: str, what: str, next: str) -> Finding:
    for node in graph.nodes:
        if node.name == problem.node:
            return node.finding(rule, "error", what, next)
    return Finding(
        rule=rule, severity="error", node=problem.node, operator=problem.operator, what=what, next=next
    )


def _of_node(graph: Graph, node: Node, probes: tuple[Inferred, Inferred]) -> Iterator[Finding]:
    if not node.standard or not node.inputs:
        return
    before, after = ([probe.shapes.get(name) for probe in probes] for name in (node.inputs[0], node.output))
    if node.operator == "ConvTranspose" and (sides := node.numbers("output_shape", [])):
        told = "x".join(map(str, sides))
        yield node.finding("fixed-size", "error", f"its output_shape fixes the map at {told}", _COMPUTE)
    elif node.operator == "Reshape" and (told := _reshape_fixes(graph.value(node.input(1)), node, before)):
        yield node.finding("fixed-size", "error", told, _COMPUTE)
    elif node.operator in _SIZED and (told := _stuck(before, after)):
        what = f"{told}: a constant fixes it, the input leaves it open"
        yield node.finding("fixed-size", "error", what, _COMPUTE)
    elif node.operator == "Slice" and (told := _stuck(before, after)):
        what = f"{told}, however large the image is: it cuts the rest off"
        yield node.finding("fixed-size", "warning", what, "slice to the end, or pool")


def _reshape_fixes(shape: Array | None, node: Node, before: Sides) -> str:
    """What a constant shape fixes; '' if it leaves open what the input leaves open."""
    if shape is None or not _whole(before):
        return ""
    first, second = (list(sides or ()) for sides in before)
    target = [int(side) for side in shape]
    copied = {axis for axis, side in enumerate(target) if side == 0 and not node.number("allowzero", 0)}
    varying = {axis for axis, side in enumerate(first) if side != second[axis]}
    written = ", ".join(map(str, target))
    if not varying - copied:
        return ""
    if -1 not in target:
        return f"the shape ({written}) is a constant, the input's varies with the image"
    if 0 in varying - copied and target[0] > 0:
        return f"the shape ({written}) fixes the batch at {target[0]}"
    rest = math.prod(side for side in target if side > 0)
    static = math.prod(int(side or 0) for axis, side in enumerate(first) if axis not in varying | copied)
    if static % rest:
        return f"the shape ({written}) holds a size of the image: {rest} does not divide {static}"
    return ""


def _outputs(graph: Graph, probes: tuple[Inferred, Inferred]) -> Iterator[Finding]:
    """Maps, in whatever order their axes are, of which no side varies and more than the channels is not 1."""
    for value in graph.model.graph.output:
        first, second = shapes = [probe.shapes.get(value.name) for probe in probes]
        if first is None or second is None or not _whole(shapes) or len(first) != 4:
            continue
        if first[1:] == second[1:] and sum(side != 1 for side in first[1:]) > 1:
            told = "x".join(map(str, first[1:]))
            what = f"the output {value.name!r} does not vary with the image: it is always {told}"
            yield Finding(rule="fixed-size", severity="error", what=what, next=_COMPUTE)


def _stuck(before: Sides, after: Sides) -> str:
    """The axes that vary in the input and not in the output, but for those that shrink to 1; '' if none."""
    (before_1, before_2), (after_1, after_2) = before, after
    if before_1 is None or before_2 is None or after_1 is None or after_2 is None:
        return ""
    if not (_whole(before) and _whole(after)) or len(before_1) != len(after_1):
        return ""
    stuck = [
        axis
        for axis in range(len(before_1))
        if before_1[axis] != before_2[axis]
        and after_1[axis] == after_2[axis]
        and (after_1[axis] != 1 or axis == 0)
    ]
    return _told(after_1, stuck)


def _told(shape: Dimensions, axes: list[int]) -> str:
    return ", ".join(f"axis {axis} is always {shape[axis]}" for axis in axes)


def _whole(shapes: Sides) -> bool:
    """Whether every side is known at both sizes."""
    return all(shape is not None and all(isinstance(side, int) for side in shape) for shape in shapes)

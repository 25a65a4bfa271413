"""Forms of an operator that TensorRT's parser does not take, some of them before a release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph, Node
from fcnship.lint.targets import Release, Target

_NEVER: Release = (99, 0)
_REDUCE = "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """``applies`` tells the form; ``until`` is the release that takes it."""

    operators: str
    applies: Callable[[Graph, Node], bool]
    what: str
    next: str
    until: Release = _NEVER


def check_restrictions(graph: Graph, target: Target) -> Iterator[Finding]:
    """Every form of the table below."""
    for node in graph.everything:
        for each in _BY_OPERATOR.get(node.operator, ()) if node.standard else ():
            if target.release < each.until and each.applies(graph, node):
                since = "" if each.until == _NEVER else f" before {each.until[0]}.{each.until[1]}"
                what = f"{node.operator} {each.what}: TensorRT{since} does not take it"
                yield node.finding("operator-form", "error", what, each.next)


def _has(attribute: str, value: int) -> Callable[[Graph, Node], bool]:
    return lambda graph, node: node.number(attribute, -1) == value


def _outputs_after(count: int) -> Callable[[Graph, Node], bool]:
    return lambda graph, node: any(node.outputs[count:])


def _computed(place: int) -> Callable[[Graph, Node], bool]:
    def applies(graph: Graph, node: Node) -> bool:
        return not node.inner and bool(node.input(place)) and node.input(place) not in graph.fixed

    return applies


def _is_true(place: int) -> Callable[[Graph, Node], bool]:
    def applies(graph: Graph, node: Node) -> bool:
        value = graph.value(node.input(place))
        return value is not None and bool(value.any())

    return applies


def _text(attribute: str, default: str, allowed: str) -> Callable[[Graph, Node], bool]:
    return lambda graph, node: node.text(attribute, default) not in allowed.split()


def _kinds(graph: Graph, node: Node) -> set[str]:
    return {graph.type_of(name) for name in node.inputs} - {""}


def _integer(graph: Graph, node: Node) -> bool:
    return graph.type_of(node.input(0)) in ("INT32", "INT64")


def _odd_letters(graph: Graph, node: Node) -> bool:
    equation = node.text("equation", "").replace("->", "").replace("...", "")
    return any(not ("a" <= letter <= "z" or letter in ", ") for letter in equation)


def _is_rank(*ranks: int) -> Callable[[Graph, Node], bool]:
    return lambda graph, node: len(graph.shape_of(node.input(0)) or ()) in ranks


def _is_open(graph: Graph, node: Node) -> bool:
    return any(not isinstance(side, int) for side in graph.shape_of(node.input(0)) or ())


_REDUCED = "make the axes a constant of the file"
# onnx-tensorrt: docs/operators.md of 10.15 (Restrictions), docs/Changelog.md (releases), onnxOpCheckers.cpp;
# those that need no GPU were tried with TensorRT-RTX 1.7.1.
_TABLE = (
    Restriction(
        operators="MaxPool AveragePool LpPool",
        applies=lambda graph, node: any(side != 1 for side in node.numbers("dilations", [])),
        what="with dilations",
        next="use a dilated convolution, or a pooling without dilation",
    ),
    Restriction(
        operators="MaxPool",
        applies=_outputs_after(1),
        what="with indices",
        next="leave out the second output",
    ),
    Restriction(
        operators="LayerNormalization BatchNormalization",
        applies=_outputs_after(1),
        what="with more than one output",
        next="export the network for inference",
    ),
    Restriction(
        operators="BatchNormalization",
        applies=_has("training_mode", 1),
        what="in training mode",
        next="export the network for inference",
    ),
    Restriction(
        operators="BatchNormalization",
        applies=lambda graph, node: len(_kinds(graph, node)) > 1,
        what="with statistics of another type than its input",
        next="make its scale, bias, mean and variance of the input's type, or fold it into the convolution",
        until=(10, 7),
    ),
    Restriction(
        operators="Dropout",
        applies=_is_true(2),
        what="in training mode",
        next="export the network for inference",
    ),
    Restriction(
        operators="Resize",
        applies=_has("antialias", 1),
        what="with antialiasing",
        next="resize without it: antialias=False in Keras",
    ),
    Restriction(
        operators="Resize",
        applies=_text("keep_aspect_ratio_policy", "stretch", "stretch"),
        what="that keeps the aspect ratio",
        next="give both sides their own scale",
    ),
    Restriction(
        operators="Resize",
        applies=_text(
            "coordinate_transformation_mode",
            "half_pixel",
            "half_pixel pytorch_half_pixel tf_half_pixel_for_nn asymmetric align_corners",
        ),
        what="in this coordinate transformation mode",
        next="use half_pixel, asymmetric or align_corners",
    ),
    Restriction(
        operators="LpPool LpNormalization",
        applies=lambda graph, node: node.number("p", 2) not in (1, 2),
        what="of another norm than L1 and L2",
        next="use p = 1 or p = 2",
    ),
    Restriction(
        operators="TopK", applies=_has("sorted", 0), what="that does not sort", next="set sorted to 1"
    ),
    Restriction(
        operators=f"{_REDUCE} ReduceSumSquare Squeeze Unsqueeze",
        applies=_computed(1),
        what="with axes that are computed",
        next=_REDUCED,
    ),
    Restriction(
        operators="CumSum OneHot",
        applies=_computed(1),
        what="with an axis or depth that is computed",
        next="make it a constant of the file",
    ),
    Restriction(
        operators="EyeLike",
        applies=_is_open,
        what="of an open size",
        next="compute the matrix from constants",
    ),
    Restriction(
        operators="ScatterND",
        applies=lambda graph, node: node.text("reduction", "none") != "none",
        what="with a reduction",
        next="scatter without it, and add the parts",
    ),
    Restriction(
        operators="Constant",
        applies=lambda graph, node: bool(
            {"sparse_value", "value_string", "value_strings"} & set(node.attributes)
        ),
        what="of a sparse value or of text",
        next="store it as a dense tensor of numbers",
    ),
    Restriction(
        operators="Einsum",
        applies=_odd_letters,
        what="with other letters than a to z",
        next="write the equation in small letters",
    ),
    Restriction(
        operators="Einsum",
        applies=lambda graph, node: "..." in node.text("equation", ""),
        what="with an ellipsis",
        next="write the axes out",
        until=(10, 12),
    ),
    Restriction(
        operators="Pow",
        applies=_integer,
        what="of an integer",
        next="cast it to float32 first",
        until=(10, 12),
    ),
    Restriction(
        operators="Pad",
        applies=lambda graph, node: bool(node.input(3)),
        what="with its axes as an input",
        next="give the pads of all axes",
        until=(10, 4),
    ),
    Restriction(
        operators="GroupNormalization",
        applies=lambda graph, node: graph.opset >= 21,
        what="of opset 21",
        next="export it with opset 18, which writes it with simpler operators",
        until=(10, 9),
    ),
    Restriction(
        operators="GridSample",
        applies=_is_rank(5),
        what="of volumes",
        next="sample planes",
        until=(11, 2),
    ),
)
_BY_OPERATOR: dict[str, list[Restriction]] = {}
for _entry in _TABLE:
    for _operator in _entry.operators.split():
        _BY_OPERATOR.setdefault(_operator, []).append(_entry)

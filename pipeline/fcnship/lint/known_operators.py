"""Operators that a target's parser does not know, or takes for others."""

from __future__ import annotations

from collections.abc import Iterator

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph, Node
from fcnship.lint.operators import INSTEAD, PLUGINS, SINCE, TYPES, UNDOCUMENTED_BEFORE, knows
from fcnship.lint.targets import Target

# TensorRT's parser looks at an operator's name alone (tried with TensorRT-RTX 1.7.1). These two domains have
# operators of ONNX's names: com.microsoft's mean the same, com.microsoft.nchwc's have another memory layout.
_MICROSOFT = "com.microsoft"
_SAME_MEANING = ("QuantizeLinear", "DequantizeLinear", "Gelu")
_BASIC = "save the graph without ONNX Runtime's fusions: graph_optimization_level = ORT_ENABLE_BASIC"


def check_operators(graph: Graph, target: Target) -> Iterator[Finding]:
    """Operators without an importer."""
    for node in graph.everything:
        if (node.domain, node.operator) in graph.functions:
            continue
        if node.standard:
            yield from _standard(node, target)
        elif not node.operator.startswith("TRT_"):
            yield from _foreign(node, target)


def check_control_flow(graph: Graph, target: Target) -> Iterator[Finding]:
    """Branches and loops: they are taken, and what is in them is neither fused nor checked here for sizes."""
    for node in graph.everything:
        if node.standard and node.operator in ("If", "Loop", "Scan"):
            yield node.finding(
                "control-flow",
                "warning",
                f"{node.operator} keeps TensorRT from fusing what is in it; its sizes are not checked here",
                "write the network without it, or fold constant conditions: polygraphy surgeon sanitize "
                "--fold-constants",
            )


def _standard(node: Node, target: Target) -> Iterator[Finding]:
    from onnx import defs

    operator = node.operator
    if knows(target, operator):
        if target.release < UNDOCUMENTED_BEFORE.get(operator, (0, 0)):
            yield node.finding(
                "operator",
                "warning",
                f"nothing says whether {target.title} knows {operator}",
                "write it with operators that are known, such as Softplus, Tanh and Mul",
            )
        return
    if operator in TYPES and operator in PLUGINS and not target.plugins:
        why = f"{target.title} has no plugins, and {operator} is one"
    elif operator in SINCE:
        release = ".".join(map(str, SINCE[operator]))
        why = f"{target.title} does not know {operator}, TensorRT {release} does"
    elif defs.has(operator):
        why = f"TensorRT's parser does not know {operator}"
    else:
        why = f"{operator} is no operator of ONNX"
    yield node.finding(
        "operator", "error", why, INSTEAD.get(operator, "replace the layer, or write a plugin of that name")
    )


def _foreign(node: Node, target: Target) -> Iterator[Finding]:
    own = f"{node.domain}'s {node.operator}"
    if node.domain.startswith(f"{_MICROSOFT}."):
        yield node.finding("operator", "error", f"{own} has ONNX Runtime's own memory layout", _BASIC)
    elif node.domain == _MICROSOFT and not (node.operator in _SAME_MEANING and knows(target, node.operator)):
        yield node.finding(
            "operator", "error", f"{own} is ONNX Runtime's own: TensorRT does not know it", _BASIC
        )
    elif knows(target, node.operator):
        yield node.finding(
            "operator",
            "warning",
            f"{own} is taken for ONNX's own {node.operator}: TensorRT's parser looks at the name alone",
            "use ONNX's own operator",
        )
    else:
        yield node.finding(
            "operator",
            "error",
            f"{own} needs a plugin of that name",
            "replace the layer, or load the plugin and build with TensorRT's own tools",
        )

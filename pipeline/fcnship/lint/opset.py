"""Opset and IR version: what a file is written in, against what a target's parser was made for."""

from __future__ import annotations

from collections.abc import Iterator

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph
from fcnship.lint.targets import Target

_AGAIN = "export it again: fcnship export writes opset 18"


def check_opset(graph: Graph, target: Target) -> Iterator[Finding]:
    """An opset below the target's oldest, or above its newest, and operators that changed in between."""
    oldest, newest = target.opsets
    takes = f"{target.title} takes opsets {oldest} to {newest}"
    if graph.opset == 0:
        yield Finding(
            rule="opset",
            severity="error",
            what="the file does not say which opset of ONNX's operators it is written in",
            next=_AGAIN,
        )
    elif graph.opset < oldest:
        yield Finding(
            rule="opset",
            severity="error",
            what=f"opset {graph.opset} is too old: {takes}",
            next=f"onnx.version_converter.convert_version(model, 18), or {_AGAIN}",
        )
    elif graph.opset > newest:
        changed = _changed_since(graph, newest)
        which = f"; {', '.join(changed)} changed since opset {newest}" if changed else ""
        yield Finding(
            rule="opset",
            severity="error" if changed else "warning",
            what=f"opset {graph.opset} is too new: {takes}{which}",
            next=_AGAIN,
        )


def check_ir(graph: Graph, target: Target) -> Iterator[Finding]:
    """An IR version that is newer than the ONNX which the target's parser was built with."""
    version = graph.model.ir_version
    if version > target.ir:
        yield Finding(
            rule="ir-version",
            severity="warning",
            what=f"IR version {version} is newer than {target.ir}, that of {target.title}'s parser",
            next=f"set model.ir_version = {target.ir} and save it again",
        )


def _changed_since(graph: Graph, opset: int) -> list[str]:
    """The operators whose definition in the file's opset is younger than ``opset``."""
    from onnx import defs

    found = set()
    for operator in {node.operator for node in graph.everything if node.standard}:
        if (
            defs.has(operator, graph.opset, "")
            and defs.get_schema(operator, graph.opset, "").since_version > opset
        ):
            found.add(operator)
    return sorted(found)

"""Convolutions whose weights are not stored in the file."""

from __future__ import annotations

from collections.abc import Iterator

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph
from fcnship.lint.targets import Target


def check_weights(graph: Graph, target: Target) -> Iterator[Finding]:
    """Weights that are computed from an input: without a known shape nothing is built."""
    for node in graph.outer:
        if node.operator not in ("Conv", "ConvTranspose") or not node.standard:
            continue
        weight = node.input(1)
        if not weight or weight in graph.fixed:
            continue
        shape = graph.shape_of(weight)
        known = shape is not None and all(isinstance(side, int) for side in shape)
        unknown = "" if known else ", and their shape is not known before"
        yield node.finding(
            "weights",
            "warning" if known else "error",
            f"its weights {weight!r} are not stored in the file, they are computed at each run{unknown}",
            "store the weights as an initializer: polygraphy surgeon sanitize --fold-constants",
        )

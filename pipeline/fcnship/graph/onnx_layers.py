"""Which Keras layer each ONNX node belongs to: the export names nodes so, and the file lists the layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

KEY, MERGED = "fcnship.layers", "fcnship.merged"


class Layer(NamedTuple):
    """A Keras layer's path through nested models (``outer/inner``) and which call of it, from 1."""

    path: str
    call: int

    def __str__(self) -> str:
        return self.path if self.call == 1 else f"{self.path} (call {self.call})"


def layers_of(model: Any) -> dict[str, Layer]:
    """For each node of an ONNX model, by its name, the layer it computes a part of.

    Nodes of no layer are absent, and so are all nodes of a file that another program wrote. A node that is
    added later belongs to a layer if its name goes on from that of one of its nodes: ``conv2d/BiasAdd/cast``.
    """
    scopes = _scopes(model)
    found = {node.name: _layer(node.name, scopes) for node in model.graph.node}
    return {name: layer for name, layer in found.items() if layer}


def nodes_by_layer(model: Any) -> dict[str, list[str]]:
    """The names of each layer's nodes, all its calls together, by the layer's path, in the graph's order."""
    found: dict[str, list[str]] = {}
    for name, layer in layers_of(model).items():
        found.setdefault(layer.path, []).append(name)
    return found


def merged_layers(model: Any) -> dict[str, str]:
    """The paths of layers without nodes of their own, each with that of the layer which computes it too."""
    entries = {entry.key: entry.value for entry in model.metadata_props}
    found: dict[str, str] = json.loads(entries.get(MERGED, "{}"))
    return found


def as_metadata(scopes: Mapping[str, Layer], merged: Mapping[str, str] | None = None) -> dict[str, str]:
    """The file's metadata entries: ``fcnship.layers`` and, if any, ``fcnship.merged``.

    ``merged`` has nodes that are there no more, by name, each with the node that does their work.
    """
    written = {KEY: json.dumps({scope: list(layer) for scope, layer in scopes.items()}, ensure_ascii=False)}
    paths = {}
    for before, node in (merged or {}).items():
        gone, there = _layer(before, scopes), _layer(node, scopes)
        if gone and there and gone.path != there.path:
            paths[gone.path] = there.path
    return written | ({MERGED: json.dumps(paths, ensure_ascii=False)} if paths else {})


def _scopes(model: Any) -> dict[str, Layer]:
    for entry in model.metadata_props:
        if entry.key == KEY:
            return {scope: Layer(path, call) for scope, (path, call) in json.loads(entry.value).items()}
    return {}


def _layer(name: str, scopes: Mapping[str, Layer]) -> Layer | None:
    """That of the longest scope which the name lies in."""
    while name:
        if name in scopes:
            return scopes[name]
        name = name.rpartition("/")[0]
    return None

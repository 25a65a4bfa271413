"""Names in an ONNX graph that depend on the network alone, so that the same network gives the same file."""

from __future__ import annotations

import re
from typing import Any

_COUNTER = re.compile(r"__\d+")


def rename(graph: Any) -> dict[str, str]:
    """Name nodes, their outputs and initializers anew, in the order of the nodes.

    tf2onnx appends a counter that runs on through the process, and of equal constants it keeps the name of
    one that the seed of Python's hashes chooses. Names that come from Keras's layers stay. A graph with loops
    or branches is left as it is: theirs refer to names outside.

    Gives, by its old name, the node that each convolution went into which TensorFlow merged with the product
    behind it (of a BatchNormalization): the weight that it merged still has the convolution's name.
    """
    if any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute):
        return {}
    names = {"": "", **{entry.name: entry.name for entry in (*graph.input, *graph.output)}}
    taken = set(names)
    merged: dict[str, str] = {}
    for node in graph.node:
        before, is_merged, _ = (node.input[1] if len(node.input) > 1 else "").partition("/merged_input")
        node.name = _free(_COUNTER.sub("", node.name), taken)
        merged |= {before: node.name} if is_merged else {}
        for place, name in enumerate(node.input):
            if name not in names:
                names[name] = _free(f"{node.name}/input_{place}", taken)
            node.input[place] = names[name]
        for place, name in enumerate(node.output):
            if name not in names:
                names[name] = _free(f"{node.name}:{place}", taken)
            node.output[place] = names[name]
    _order(graph.initializer, list(names))
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    return merged


def _order(tensors: Any, used: list[str]) -> None:
    """Leave out what is not used, and sort the rest in place: taking large tensors out and in copies them."""
    place = {name: index for index, name in enumerate(used)}
    for index in reversed(range(len(tensors))):
        if tensors[index].name not in place:
            del tensors[index]
    tensors.sort(key=lambda tensor: place[tensor.name])


def _free(name: str, taken: set[str]) -> str:
    number, found = 0, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found

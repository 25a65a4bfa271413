"""The report's JSON Schema, and a small check against it that needs no other library.

The check knows the keywords that schema.json uses and no others; a test holds it against ``jsonschema``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

from fcnship.errors import ArtifactError

Node = dict[str, Any]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: _is_number(value),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}


def report_schema() -> Node:
    """The JSON Schema (2020-12) of ``fcnship.report/1``, a fresh copy."""
    text = resources.files("fcnship.reports").joinpath("schema.json").read_text(encoding="utf-8")
    schema: Node = json.loads(text)
    return schema


def resolved(node: Node, root: Node) -> Node:
    """The node that ``$ref`` points at, or the node itself."""
    if "$ref" not in node:
        return node
    target: Node = root["$defs"][node["$ref"].rpartition("/")[2]]
    return target


def check_report(report: object) -> None:
    """Hold a report against its schema.

    Raises:
        ArtifactError: the first wrong key, by its path, with what was expected there.
    """
    schema = report_schema()
    fault = next(_faults(report, schema, schema, ""), None)
    if fault:
        raise ArtifactError(
            f"this is not a valid fcnship.report/1: {fault}",
            cause="the report was edited, or written by another version of fcnship",
            next="write it again: fcnship report",
        )


def _faults(value: Any, node: Node, root: Node, path: str) -> Iterator[str]:
    node = resolved(node, root)
    own = _own_fault(value, node)
    if own:
        yield f"{path or 'the report'} {own}"
        return
    if isinstance(value, dict):
        yield from _faults_in_object(value, node, root, path)
    if isinstance(value, list) and "items" in node:
        for index, item in enumerate(value):
            yield from _faults(item, node["items"], root, f"{path}[{index}]")
    if "anyOf" in node and not any(_fits(value, option, root) for option in node["anyOf"]):
        yield f"{path or 'verdict'} {_expectation(value, node, path)}"


def _faults_in_object(value: dict[str, Any], node: Node, root: Node, path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for key in node.get("required", ()):
        if key not in value:
            yield f"{prefix}{key} is missing"
    named = node.get("properties", {})
    for key, item in value.items():
        below = named.get(key, node.get("additionalProperties"))
        if below is not None:
            yield from _faults(item, below, root, f"{prefix}{key}")


def _own_fault(value: Any, node: Node) -> str | None:
    """What is wrong with the value itself, leaving aside what it contains."""
    types = [node["type"]] if isinstance(node.get("type"), str) else node.get("type", [])
    if types and not any(_TYPES[name](value) for name in types):
        return f"is {_shown(value)}, not of type {' or '.join(types)}"
    if "const" in node and value != node["const"]:
        return f"is {_shown(value)}, not {node['const']!r}"
    if "enum" in node and value not in node["enum"]:
        return f"is {_shown(value)}, not one of {', '.join(map(repr, node['enum']))}"
    if isinstance(value, str):
        return _fault_of_text(value, node)
    if isinstance(value, list):
        return _fault_of_length(value, node)
    return _fault_of_number(value, node) if _is_number(value) else None


def _fault_of_text(value: str, node: Node) -> str | None:
    if len(value) < node.get("minLength", 0):
        return "is empty"
    if "pattern" in node and not re.search(node["pattern"], value):
        return f"is {_shown(value)}, which does not match {node['pattern']}"
    return None


def _fault_of_length(value: list[Any], node: Node) -> str | None:
    low, high = node.get("minItems", 0), node.get("maxItems", len(value))
    return None if low <= len(value) <= high else f"has {len(value)} items, not {low} to {high}"


def _fault_of_number(value: float, node: Node) -> str | None:
    if "minimum" in node and value < node["minimum"]:
        return f"is {value}, below {node['minimum']}"
    if "maximum" in node and value > node["maximum"]:
        return f"is {value}, above {node['maximum']}"
    return None


def _fits(value: Any, option: Node, root: Node) -> bool:
    return next(_faults(value, option, root, ""), None) is None


def _expectation(value: Any, node: Node, path: str) -> str:
    if not path:
        return "and reasons contradict each other: pass has no reason, fail has one at least"
    return f"is {_shown(value)}. Expected: {node['description']}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

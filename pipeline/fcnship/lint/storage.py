"""The file itself: its size, and the files that its weights lie in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph
from fcnship.lint.targets import Target

# Protobuf, in which ONNX is written, holds no message above 2 GiB - 1 byte.
LARGEST = 2**31 - 1


def too_large(size: int) -> Finding | None:
    """A file that no ONNX reader opens."""
    if size <= LARGEST:
        return None
    return Finding(
        rule="file-size",
        severity="error",
        what=f"the file has {size:,} bytes; Protobuf, in which ONNX is written, ends at {LARGEST:,}",
        next="save it with external data: onnx.save(model, path, save_as_external_data=True)",
    )


def check_external_data(graph: Graph, target: Target) -> Iterator[Finding]:
    """External data that is missing, too short or outside the file's folder: one finding a file."""
    needed: dict[str, tuple[int, list[str]]] = {}
    for tensor in graph.model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if location := entries.get("location", ""):
            end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
            largest, names = needed.get(location, (0, []))
            needed[location] = max(largest, end), [*names, tensor.name]
    for location, (end, names) in needed.items():
        if why := _wrong(graph.path.parent, location, end):
            readers = [node for node, _ in graph.consumers.get(names[0], ())]
            what = f"external data {location!r} of {_tensors(names)} {why}"
            way_out = f"copy {location} beside {graph.path.name}, whole and under that name"
            if readers:
                yield readers[0].finding("external-data", "error", what, way_out)
            else:
                yield Finding(rule="external-data", severity="error", what=what, next=way_out)


def _wrong(folder: Path, location: str, end: int) -> str:
    file = folder / location
    if Path(location).is_absolute() or not file.resolve().is_relative_to(folder.resolve()):
        return "lies outside the file's folder, where no reader looks"
    if not file.is_file():
        return "is missing"
    if file.stat().st_size < end:
        return f"has {file.stat().st_size:,} bytes, and {end:,} are needed"
    return ""


def _tensors(names: list[str]) -> str:
    return repr(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")

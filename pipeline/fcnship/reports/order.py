"""The order of variants and rows, the same in every renderer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]
Report = Mapping[str, Any]

_FAMILIES = ("keras", "savedmodel", "onnx", "engine")
_PRECISIONS = ("fp32", "fp16", "int8")


def variant_key(variant: str) -> tuple[int, int, str]:
    """Sort key: keras, savedmodel, onnx-*, engine-*, then what is unknown; wide precision before narrow."""
    family, precision = variant.partition("-")[0], variant.rpartition("-")[2]
    return _rank(_FAMILIES, family), _rank(_PRECISIONS, precision), variant


def row_key(row: Row) -> tuple[Any, ...]:
    """Sort key of a measured row, or of a variant's own: variant, reference, height, width, batch."""
    sizes = tuple(row.get(key, 0) for key in ("height", "width", "batch"))
    return (*variant_key(row["variant"]), variant_key(row.get("reference", "")), *sizes)


def in_order(rows: Iterable[Row]) -> list[Row]:
    """The rows by variant, then by size."""
    return sorted(rows, key=row_key)


def variants_of(report: Report) -> list[str]:
    """Every variant that is named anywhere in the report, in order, each once."""
    tables = ("variants", "parity", "accuracy", "latency")
    return sorted({row["variant"] for table in tables for row in report[table]}, key=variant_key)


def _rank(known: tuple[str, ...], name: str) -> int:
    return known.index(name) if name in known else len(known)

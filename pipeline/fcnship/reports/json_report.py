"""report.json: stable text, so that two reports differ only where the facts do.

Keys stand in the schema's order, unknown ones after them by name; measured rows by variant, then size;
stages, profiles and reasons as they came. Floats have six significant digits (a cosine nine, for it is read
as its distance from 1). NaN and the infinities, which JSON cannot write, are the strings "nan", "inf" and
"-inf": unlike null they keep the fact, and ``float()`` reads them.
"""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

from fcnship.errors import ArtifactError, UsageError
from fcnship.reports.order import Report, in_order
from fcnship.reports.schema import Node, check_report, report_schema, resolved

_SORTED_TABLES = ("variants", "parity", "accuracy", "latency")
_OPTIONAL_TABLES = ("refusals", "budget")
_DIGITS = 6
_COSINE_DIGITS = 9


def canonical_report(report: Report) -> dict[str, Any]:
    """The report in the form in which it is written: ordered, rounded and checked.

    Raises:
        ArtifactError: it does not fit the schema.
    """
    schema = report_schema()
    tidy = _tidy(dict(report), schema, schema, _DIGITS)
    check_report(tidy)
    tables = [*_SORTED_TABLES, *(table for table in _OPTIONAL_TABLES if table in tidy)]
    ordered: dict[str, Any] = {**tidy, **{table: in_order(tidy[table]) for table in tables}}
    return ordered


def json_text(report: Report) -> str:
    """The text of report.json, newline at the end."""
    return json.dumps(canonical_report(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_report(path: Path) -> dict[str, Any]:
    """Read and check a report.json.

    Raises:
        ArtifactError: the file cannot be read, is not JSON, or does not fit the schema.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        check_report(report)
    except ArtifactError as error:
        raise _unreadable(path, f"{path}: {error.what}", error.cause) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, f"{path} cannot be read as a report", str(error)) from error
    return report


def _unreadable(path: Path, what: str, cause: str) -> ArtifactError:
    beside_a_record = (path.parent / "run.json").is_file()
    again = f"write it again: fcnship report {shlex.quote(str(path.parent))}"
    return ArtifactError(
        what, cause=cause, next=again if beside_a_record else "name a report.json or a run folder of fcnship"
    )


def report_at(path: Path) -> dict[str, Any]:
    """The report of a run folder, or a report.json.

    Raises:
        UsageError: there is none.
        ArtifactError: it cannot be read as a report.
    """
    file = path / "report.json" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            f"there is no report at {path}",
            cause="the path is misspelt, or the build has not come to its report",
            next="name a report.json or a run folder that has one, or build without --baseline",
        )
    return read_report(file)


def _tidy(value: Any, node: Node, root: Node, digits: int) -> Any:
    match value:
        case dict():
            return _tidy_object(value, resolved(node, root), root)
        case list() | tuple():
            items = resolved(node, root).get("items", {})
            return [_tidy(item, items, root, digits) for item in value]
        case float():
            return _rounded(value, digits)
        case str():
            return _encodable(value)
        case _:
            return value


def _tidy_object(value: dict[Any, Any], node: Node, root: Node) -> dict[str, Any]:
    named = node.get("properties", {})
    keys = [key for key in named if key in value] + sorted(value.keys() - named.keys())
    below = node.get("additionalProperties", {})
    tidy = {}
    for key in keys:
        digits = _COSINE_DIGITS if key == "cosine" else _DIGITS
        tidy[_encodable(key)] = _tidy(value[key], named.get(key, below), root, digits)
    return tidy


def _encodable(text: str) -> str:
    """The text with lone surrogates, which stand for odd bytes in file names, written out as ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _rounded(value: float, digits: int) -> float | str:
    if not math.isfinite(value):
        return str(float(value))
    return float(f"{value:.{digits}g}") + 0.0  # the sum turns -0.0 into 0.0

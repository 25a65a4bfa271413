"""Latency as a gate: what is slower than allowed, from the rows alone; a new limit measures nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from fcnship.errors import LatencyExceeded
from fcnship.verify.baseline import Report, ratio_changes, unlike

Row = Mapping[str, Any]
# What a ratio may grow against a baseline where --max-slowdown does not say.
ALLOWED = 1.05


def judged(rows: Sequence[Row], allowed: float | None) -> list[dict[str, Any]]:
    """Latency rows, each with what is allowed and whether it passed: is its whole interval above?"""
    if allowed is None:
        return [dict(row) for row in rows]
    return [
        dict(row) if row["verdict"] == "reference" else _judged(row, "ratio_low", allowed) for row in rows
    ]


def against_baseline(before: Report, now: Report, allowed: float | None) -> dict[str, Any]:
    """The report's ``baseline``: how the ratios changed, or why nothing was compared."""
    limit = ALLOWED if allowed is None else allowed
    reason = unlike(before, now)
    changes = [] if reason else ratio_changes(before, now)
    if not (changes or reason):
        reason = "the reports have no variant and size in common whose latency was measured"
    return {
        "name": before["name"],
        "created": before["created"],
        "status": "skipped" if reason else "compared",
        "reason": reason,
        "allowed": limit,
        "rows": [_judged(change.as_json(), "change_low", limit) for change in changes],
    }


def latency_reasons(rows: Sequence[Row], baseline: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Why the verdict is fail: one reason for each slow variant, with its worst place."""
    texts = [_slow_text(variant, found) for variant, found in _failed(rows).items()]
    if baseline:
        texts += [_grown_text(variant, found) for variant, found in _failed(baseline["rows"]).items()]
    return [{"code": LatencyExceeded.exit_code, "text": text} for text in texts]


def latency_warnings(rows: Sequence[Row], baseline: Mapping[str, Any] | None) -> list[str]:
    """What a gate could not decide: limits inside an interval, and a baseline of another machine."""
    open_: dict[str, Row] = {}
    for row in rows:
        if row.get("passed", False) and row["ratio_high"] > row["allowed"]:
            open_[row["variant"]] = max(
                open_.get(row["variant"], row), row, key=lambda r: float(r["ratio_high"])
            )
    told = [
        f"{variant} at {_where(row)} may be slower than the {row['allowed']:g} times that are allowed: it "
        f"takes {row['ratio_low']:.3f} to {row['ratio_high']:.3f} times as long as the original. Measure "
        "again on a quiet machine"
        for variant, row in open_.items()
    ]
    if baseline and baseline["status"] == "skipped":
        told.append(f"latency was not held against the baseline: {baseline['reason']}")
    return told


def _judged(row: Row, low: str, allowed: float) -> dict[str, Any]:
    return {**row, "allowed": allowed, "passed": row[low] is None or row[low] <= allowed}


def _failed(rows: Sequence[Row]) -> dict[str, list[Row]]:
    failed = defaultdict(list)
    for row in rows:
        if not row.get("passed", True):
            failed[row["variant"]].append(row)
    return failed


def _slow_text(variant: str, rows: Sequence[Row]) -> str:
    worst = max(rows, key=lambda row: float(row["ratio"]))
    return (
        f"{variant} is slower than allowed in {_count(rows)}, most at {_where(worst)}: it takes "
        f"{worst['ratio']:.3f} times as long as the original ({worst['ratio_low']:.3f} to "
        f"{worst['ratio_high']:.3f}), allowed is {worst['allowed']:g}"
    )


def _grown_text(variant: str, rows: Sequence[Row]) -> str:
    worst = max(rows, key=lambda row: float(row["change"]))
    return (
        f"{variant} is slower than the baseline in {_count(rows)}, most at {_where(worst)}: its ratio "
        f"to the original was {worst['before']:.3f} and is {worst['now']:.3f}, {worst['change']:.3f} times "
        f"as much ({worst['change_low']:.3f} to {worst['change_high']:.3f}), allowed is {worst['allowed']:g}"
    )


def _count(rows: Sequence[Row]) -> str:
    return "1 timing" if len(rows) == 1 else f"{len(rows)} timings"


def _where(row: Row) -> str:
    return f"{row['height']}x{row['width']}, batch {row['batch']}"

"""Ratios of two reports held against each other: only where both were timed alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Report = Mapping[str, Any]
_MACHINE = ("platform", "cpu", "cores", "gpu")
_TIMING = ("timed", "clock", "threads", "governor")
# The share of the processors that others may take more, or less. At 224x224 on two cores, multiscale in ONNX
# Runtime took 0.028 of Keras's time beside none, and 0.045 beside 0.31: far outside both intervals.
_LOAD = 0.1


@dataclass(frozen=True, kw_only=True)
class RatioChange:
    """A variant's ratio to its original now, over what it was; with the 99 % interval from both intervals."""

    variant: str
    height: int
    width: int
    batch: int
    before: float
    now: float
    change: float
    change_low: float
    change_high: float

    def as_json(self) -> dict[str, Any]:
        """The change as a row of the report."""
        return asdict(self)


def unlike(before: Report, now: Report) -> str:
    """Why the times of two reports cannot be compared; empty where they can.

    Machine, libraries and the way of timing must be the same, and other programs' load nearly so. Variants
    that only one of them ran do not count.
    """
    if not (before.get("timing") and now.get("timing")):
        return "one of the reports does not say how its times were taken"
    for key in _MACHINE:
        if before["environment"][key] != now["environment"][key]:
            return _told(key, before["environment"][key], now["environment"][key])
    for key in _TIMING:
        old, new = (_shared(key, first, other) for first, other in ((before, now), (now, before)))
        if old != new:
            return _told(key, old, new)
    versions = [report["timing"]["libraries"] for report in (before, now)]
    for name in sorted({*versions[0], *versions[1]}):
        if versions[0].get(name) != versions[1].get(name):
            return _told(name, versions[0].get(name), versions[1].get(name))
    return _other_loads(before["timing"].get("other_load"), now["timing"].get("other_load"))


def _other_loads(before: float | None, now: float | None) -> str:
    """Why shares of the processors that other programs took make times unlike; empty where they do not."""
    if before is None or now is None or abs(now - before) <= _LOAD:
        return ""
    return (
        f"they were timed beside other programs that took {before:.0%} of the processors then and {now:.0%} "
        "now"
    )


def ratio_changes(before: Report, now: Report) -> list[RatioChange]:
    """Every variant, size and batch whose ratio both reports have, in the order of ``now``."""
    old = {_place(row): row for row in before["latency"] if _has_ratio(row)}
    return [
        _change(old[_place(row)], row) for row in now["latency"] if _has_ratio(row) and _place(row) in old
    ]


def _change(before: Mapping[str, Any], now: Mapping[str, Any]) -> RatioChange:
    """Two measurements that know nothing of each other: the squares of their spreads add up."""
    change = now["ratio"] / before["ratio"]
    down = math.hypot(
        math.log(now["ratio"] / now["ratio_low"]), math.log(before["ratio_high"] / before["ratio"])
    )
    up = math.hypot(
        math.log(now["ratio_high"] / now["ratio"]), math.log(before["ratio"] / before["ratio_low"])
    )
    return RatioChange(
        **{key: now[key] for key in ("variant", "height", "width", "batch")},
        before=before["ratio"],
        now=now["ratio"],
        change=change,
        change_low=change * math.exp(-down),
        change_high=change * math.exp(up),
    )


def _shared(key: str, report: Report, other: Report) -> Any:
    value = report["timing"].get(key)
    if isinstance(value, dict):
        return {name: value[name] for name in value if name in (other["timing"].get(key) or {})}
    return value


def _has_ratio(row: Mapping[str, Any]) -> bool:
    return row["verdict"] != "reference" and all(row[key] for key in ("ratio", "ratio_low", "ratio_high"))


def _place(row: Mapping[str, Any]) -> tuple[str, int, int, int]:
    return row["variant"], row["height"], row["width"], row["batch"]


def _told(what: str, before: Any, now: Any) -> str:
    return f"they were timed differently: {what} was {before or 'not told'} and is {now or 'not told'}"

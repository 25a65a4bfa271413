"""The INT8 budget on test images: held-out images chose the layers, these judge the choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fcnship.errors import AccuracyBelowFloor
from fcnship.runners import ORIGINAL, precision_of
from fcnship.sizes import Size, short

Row = Mapping[str, Any]
_DEVIATIONS = 2.0


def budget_reasons(rows: Sequence[Row], budget: float | None) -> list[dict[str, Any]]:
    """Why the verdict is fail: one reason for each INT8 variant that loses more than ``budget`` points.

    At a size where chance may explain the rest it does not count: of ``k`` more images that are wrong, the
    square root of ``k`` is one standard deviation.
    """
    if budget is None:
        return []
    original = {_place(row): row for row in rows if row["variant"] == ORIGINAL}
    worst: dict[str, Row] = {}
    for row in rows:
        reference = original.get(_place(row))
        if precision_of(row["variant"]) != "int8" or reference is None:
            continue
        lost = (reference["accuracy"] - row["accuracy"]) * row["images"]
        certain = lost - _DEVIATIONS * math.sqrt(max(lost, 0.0))
        if certain <= budget / 100 * row["images"]:
            continue
        found = {**row, "points": 100 * lost / row["images"]}
        worst[row["variant"]] = max(worst.get(row["variant"], found), found, key=lambda r: float(r["points"]))
    return [
        {"code": AccuracyBelowFloor.exit_code, "text": _text(row, budget)} for _, row in sorted(worst.items())
    ]


def _text(row: Row, budget: float) -> str:
    size = short(Size(row["height"], row["width"]))
    return (
        f"{row['variant']} loses {row['points']:.2f} points of accuracy at {size} on {row['images']:,} test "
        f"images, and --int8-budget allows {budget:g}"
    )


def _place(row: Row) -> tuple[int, int, int]:
    return row["height"], row["width"], row["images"]

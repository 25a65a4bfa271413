"""Which of the measured sizes make a curve, and which lie beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fcnship.reports.figures import size_text
from fcnship.reports.order import Row


def split(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows that make the curve, and the others.

    Squares make it where there are two sizes of them; else all sizes do, placed by their pixels, the first of
    those that would stand at one place.
    """
    squares = [row for row in rows if row["height"] == row["width"]]
    if len({row["height"] for row in squares}) >= 2:
        return squares, [row for row in rows if row["height"] != row["width"]]
    first: dict[float, str] = {}
    for row in rows:
        first.setdefault(side_of(row), size_text(row))
    on_curve = [row for row in rows if first[side_of(row)] == size_text(row)]
    return on_curve, [row for row in rows if first[side_of(row)] != size_text(row)]


def side_of(row: Row) -> float:
    """Where a row stands on the curve: the square root of its pixels."""
    return math.sqrt(row["height"] * row["width"])

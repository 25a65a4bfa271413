"""Accuracy over the range in letters: a bar for each size of the curve, and a table of heights and widths.

Both show the lowest of the variants, for that is what a user may meet.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from fcnship.reports.accuracy_map import Place, for_curve, map_cells
from fcnship.reports.curve import side_of, split
from fcnship.reports.figures import ABSENT, number, percent_text, size_text
from fcnship.reports.html_axis import percent_axis
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.printable import one_line

_BAR = 30


def curve_lines(report: Report) -> list[str]:
    """``28x28  98.06 %  ##########``: a line for each size of the curve, under a line that says the scale."""
    rows = [row for row in split(for_curve(report, in_order(report["accuracy"])))[0] if _known(row)]
    lowest = _lowest(rows)
    if not lowest:
        return []
    bottom = percent_axis([number(row["accuracy"]) for row in rows]).ticks[0]
    wide = max(len(size_text(row)) for row in rows)
    scale = f"{bottom * 100:.0f} %".ljust(_BAR - 5) + "100 %"
    lines = [" " * (wide + 12) + scale]
    for row in sorted(lowest.values(), key=side_of):
        share = (number(row["accuracy"]) - bottom) / (1 - bottom)
        bar = "#" * round(_BAR * share)
        marks = [text for text in (_who(rows, row), _mark(report, row)) if text]
        line = (
            f"{size_text(row):>{wide}}  {percent_text(row['accuracy']):>8}  {bar:<{_BAR}}  {', '.join(marks)}"
        )
        lines.append(line.rstrip())
    return lines


def print_accuracy_range(report: Report, console: Console) -> None:
    """The bars and the tables, for a terminal of 80 columns."""
    curve = curve_lines(report)
    if len(curve) > 2:
        console.print()
        console.print(Text("Accuracy over image size, the lowest of the variants", style="bold"))
        console.print(Text("\n".join(curve)))
    for cells in map_cells(report):
        console.print()
        title = "Accuracy by height (down) and width (across), percent, lowest of the variants"
        console.print(Text(title, style="bold"))
        console.print(Text("\n".join(_map_lines(report, cells))))


def _map_lines(report: Report, cells: Iterable[Place]) -> list[str]:
    within = set(cells)
    lowest = _lowest(row for row in report["accuracy"] if _known(row) and _place(row) in within)
    widths = sorted({width for _, width in within})
    lines = ["     " + "".join(f"{width:>6} " for width in widths)]
    starred = False
    for height in sorted({height for height, _ in within}):
        line = f"{height:>5}"
        for width in widths:
            row = lowest.get((height, width))
            star = "*" if row and _unfit(report, row) else " "
            starred = starred or star == "*"
            line += f"{number(row['accuracy']) * 100:>6.1f}{star}" if row else f"{ABSENT:>6} "
        lines.append(line.rstrip())
    return [*lines, "* must not be used there"] if starred else lines


def _lowest(rows: Iterable[Row]) -> dict[Place, Row]:
    """The row of the variant that is least often right, at each size; the first of equal ones."""
    lowest: dict[Place, Row] = {}
    for row in rows:
        before = lowest.get(_place(row))
        if before is None or number(row["accuracy"]) < number(before["accuracy"]):
            lowest[_place(row)] = row
    return lowest


def _who(rows: Iterable[Row], lowest: Row) -> str:
    """Whose it is, where the variants differ at that size."""
    there = [row for row in rows if _place(row) == _place(lowest)]
    return one_line(lowest["variant"]) if len({row["accuracy"] for row in there}) > 1 else ""


def _mark(report: Report, row: Row) -> str:
    return "do not use" if _unfit(report, row) else "" if row.get("passed", True) else "below the floor"


def _unfit(report: Report, row: Row) -> bool:
    """Whether the report says of any variant that it must not be used at that size."""
    return any(
        list(_place(row)) == list(size) for told in report.get("must_not_use", ()) for size in told["sizes"]
    )


def _known(row: Row) -> bool:
    value = number(row["accuracy"])
    return 0 <= value <= 1


def _place(row: Row) -> Place:
    return row["height"], row["width"]

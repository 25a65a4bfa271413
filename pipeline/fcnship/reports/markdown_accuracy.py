"""report.md's accuracy: the lowest of each variant, maps over height and width, every size folded away."""

from __future__ import annotations

from fcnship.reports.accuracy_map import AccuracyMap, accuracy_maps, interval_text
from fcnship.reports.accuracy_text import curve_lines
from fcnship.reports.figures import ABSENT, number, percent_text, size_text
from fcnship.reports.markdown_form import escaped, folded, table
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.summary import accuracy_summaries


def must_not_use_blocks(report: Report) -> list[str]:
    """At which sizes not to use the network; before all else."""
    items = "\n".join(f"- **{escaped(row['text'])}.**" for row in report.get("must_not_use", ()))
    return ["### Where not to use it", items] if items else []


def accuracy_blocks(report: Report) -> list[str]:
    """The lowest of each variant, the maps, and every size."""
    if not report["accuracy"]:
        return []
    rows = [
        (
            escaped(s.variant),
            percent_text(s.lowest["accuracy"]),
            size_text(s.lowest),
            f"{s.lowest['images']:,}",
            str(s.sizes),
        )
        for s in accuracy_summaries(report)
    ]
    short = table(("variant", "lowest accuracy", "at", "images there", "sizes"), rows, right=(1, 3, 4))
    maps = [block for found in accuracy_maps(report) for block in _map(found)]
    return [
        "### Accuracy",
        short,
        *_curve(report),
        *maps,
        folded("Accuracy at every size", _every(in_order(report["accuracy"]))),
    ]


def _curve(report: Report) -> list[str]:
    """A plot that every viewer of Markdown shows as it is: bars of letters."""
    lines = curve_lines(report)
    if len(lines) < 3:
        return []
    return [
        "Over image size, the lowest of the variants:",
        "\n".join(["```text", *map(_harmless, lines), "```"]),
    ]


def _harmless(line: str) -> str:
    return line.replace("`", "'")  # a variant's name must not end the block


def _map(found: AccuracyMap) -> list[str]:
    """Heights down, widths across, percent; what must not be used is struck through."""
    cells = {(row["height"], row["width"]): row for row in found.rows}
    body = [
        (f"**{height}**", *(_cell(cells.get((height, width)), found) for width in found.widths))
        for height in found.heights
    ]
    heads = ("height \\ width", *map(str, found.widths))
    struck = " Struck through: must not be used there." if found.unfit else ""
    title = f"Percent over height and width: {escaped(found.caption)}.{struck}"
    return [title, table(heads, body, right=range(1, len(heads)))]


def _cell(row: Row | None, found: AccuracyMap) -> str:
    if row is None:
        return ABSENT
    text = f"{number(row['accuracy']) * 100:.1f}"
    return f"~~{text}~~" if (row["height"], row["width"]) in found.unfit else text


def _every(rows: list[Row]) -> str:
    held = any("passed" in row for row in rows)
    cells = [
        (
            escaped(row["variant"]),
            size_text(row),
            percent_text(row["accuracy"]),
            interval_text(row),
            f"{row['images']:,}",
            *(["pass" if row["passed"] else "**fail**"] if "passed" in row else [ABSENT] if held else []),
        )
        for row in rows
    ]
    heads = ("variant", "size", "accuracy", "95 % interval", "images", *(["result"] if held else []))
    return table(heads, cells, right=(2, 3, 4))

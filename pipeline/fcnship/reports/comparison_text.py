"""A comparison of two reports as a person reads it: on a terminal, and as Markdown for a job summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fcnship.reports.markdown_form import escaped, table
from fcnship.reports.printable import one_line, printable

if TYPE_CHECKING:
    from fcnship.comparison import Comparison, Difference

_HEADS = ("part", "what", "before", "now", "result")


def comparison_headline(found: Comparison) -> str:
    """The outcome in one line."""
    if not found.differences:
        return "SAME  The facts of both reports are the same."
    count = len(found.differences)
    told = "1 difference" if count == 1 else f"{count} differences"
    if not found.worse:
        return f"NOT WORSE  {told}, none beyond what is allowed."
    return f"WORSE  {told}, {len(found.worse)} beyond what is allowed."


def comparison_markdown(found: Comparison) -> str:
    """The comparison as GitHub-flavoured Markdown."""
    rows = [[escaped(cell) for cell in _cells(difference)] for difference in found.differences]
    blocks = [
        f"## {escaped(found.new)} against {escaped(found.old)}",
        f"**{escaped(comparison_headline(found))}**",
        table(_HEADS, rows) if rows else "",
        "\n".join(f"- not compared: {escaped(printable(text))}" for text in found.not_compared),
        escaped(_limits(found)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def print_comparison(found: Comparison, console: Console) -> None:
    """Print the comparison. Reads well at 80 columns and without colour."""
    console.print(Text(comparison_headline(found), style="bold"))
    console.print(Text(printable(f"old: {found.old}\nnew: {found.new}"), style="dim"))
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in _HEADS:
        shown.add_column(head, overflow="fold")
    for difference in found.differences:
        shown.add_row(*(Text(cell) for cell in _cells(difference)))
    if shown.row_count:
        console.print(shown)
    for text in found.not_compared:
        console.print(Text(printable(f"not compared: {text}")))
    console.print(Text(_limits(found), style="dim"))


def _cells(difference: Difference) -> list[str]:
    result = f"worse, exit {difference.code}" if difference.code else "differs"
    cells = (difference.part, difference.subject, difference.before, difference.now, result)
    return [one_line(printable(cell)) for cell in cells]


def _limits(found: Comparison) -> str:
    limits = found.limits
    return (
        f"Limits: an error may grow by {limits.max_error_growth:g} tolerances, an accuracy drop by "
        f"{limits.max_accuracy_drop:g}, a ratio of times grow {limits.max_slowdown:g} times."
    )

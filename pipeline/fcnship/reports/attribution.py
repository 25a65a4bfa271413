"""Which layer an error comes from, in Markdown and on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from fcnship.reports.attribution_summary import (
    EXPLANATION,
    HEADS,
    RIGHT,
    TITLE,
    TRIAL_HEADS,
    TRIAL_RIGHT,
    attributions,
    layer_cells,
    sentences,
    trial_cells,
)
from fcnship.reports.markdown_form import escaped, folded, table
from fcnship.reports.order import Report, Row

_SHORT = 8


def attribution_blocks(report: Report) -> list[str]:
    """Markdown; nothing where no layers were looked into."""
    found = attributions(report)
    if not found:
        return []
    return [f"### {TITLE}", *(block for each in found for block in _blocks(each)), EXPLANATION]


def _blocks(found: Row) -> list[str]:
    told = "\n".join(f"- {escaped(sentence)}" for sentence in sentences(found))
    if not found["rows"]:
        return [told]
    rows = [tuple(map(escaped, layer_cells(row))) for row in found["rows"]]
    blocks = [told, table(HEADS, rows[:_SHORT], right=RIGHT)]
    if rows[_SHORT:]:
        blocks.append(folded(f"All {len(rows)} layers", table(HEADS, rows, right=RIGHT)))
    if trials := [tuple(map(escaped, cells)) for cells in trial_cells(found)]:
        blocks.append(folded("What was tried, at each size", table(TRIAL_HEADS, trials, right=TRIAL_RIGHT)))
    return blocks


def print_attribution(report: Report, console: Console) -> None:
    """The worst layers of each variant that was looked into, for a terminal of 80 columns."""
    for found in attributions(report):
        console.print()
        for place, sentence in enumerate(sentences(found)):
            console.print(Text(sentence, style="" if place else "bold"))
        for row in found["rows"][:_SHORT]:
            layer, number, adds, steps, _, total, fault = layer_cells(row)
            line = f"{number:>4} {layer}: adds {adds} ({steps} steps), in total {total}"
            console.print(
                Padding(Text(line if fault == "-" else f"{line}; {fault}"), (0, 0, 0, 1), expand=False)
            )
        rest = len(found["rows"]) - _SHORT
        if rest > 0:
            console.print(Text(f"     and {rest} layers that add less", style="dim"))

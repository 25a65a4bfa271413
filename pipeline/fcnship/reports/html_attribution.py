"""Which layer an error comes from, on the report's page."""

from __future__ import annotations

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
from fcnship.reports.html_table import folded, section, table
from fcnship.reports.markup import Markup, element, joined
from fcnship.reports.order import Report, Row

_SHORT = 8


def attribution_section(report: Report) -> Markup | None:
    """A part for each variant that was looked into; None where none was."""
    found = attributions(report)
    if not found:
        return None
    return section(TITLE, "layers", *(_one(each) for each in found), element("p", EXPLANATION))


def _one(found: Row) -> Markup:
    told = element("ul", *(element("li", sentence) for sentence in sentences(found)))
    if not found["rows"]:
        return told
    label = f"The layers of {found['variant']} by the error that they add"
    rows = [layer_cells(row) for row in found["rows"]]
    every = folded(f"All {len(rows)} layers", table(HEADS, rows, label, RIGHT)) if rows[_SHORT:] else None
    tried = trial_cells(found)
    trials = folded("What was tried, at each size", table(TRIAL_HEADS, tried, "Trials", TRIAL_RIGHT))
    return joined([told, table(HEADS, rows[:_SHORT], label, RIGHT), every, trials if tried else None])

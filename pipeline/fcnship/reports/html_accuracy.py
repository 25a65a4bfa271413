"""The report page's accuracy: a curve over square sizes, a map over height and width, and exact figures."""

from __future__ import annotations

from collections.abc import Sequence

from fcnship.reports.accuracy_map import for_curve, interval_text
from fcnship.reports.figures import number, percent_text, size_text
from fcnship.reports.html_axis import percent_axis
from fcnship.reports.html_heat import heat_maps
from fcnship.reports.html_measures import plot_over_sizes
from fcnship.reports.html_plot import Limit
from fcnship.reports.html_table import folded, section, status, table
from fcnship.reports.markup import Markup, element
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.summary import accuracy_summaries, size_range

_HEADS = ("variant", "size", "accuracy", "95 % interval", "images")


def accuracy_section(report: Report) -> Markup:
    """Accuracy over the range."""
    rows = in_order(report["accuracy"])
    if not rows:
        return section("Accuracy", "accuracy", element("p", "Not measured.", class_="dim"))
    lowest = min(accuracy_summaries(report), key=lambda s: number(s.lowest["accuracy"]))
    where = f"{lowest.variant} at {size_text(lowest.lowest)}"
    lead = f"Lowest: {percent_text(lowest.lowest['accuracy'])}, {where}. Measured at {size_range(rows)}."
    floor = next((row["floor"] for row in rows if "floor" in row), None)
    limit = None if floor is None else Limit(value=floor, name=f"the floor, {floor * 100:g} %")
    label = f"Accuracy against image size. {lead}"
    heads = _HEADS if floor is None else (*_HEADS, "result")
    exact = table(heads, [_cells(row) for row in rows], "Accuracy at every size", (2, 3, 4))
    return section(
        "Accuracy",
        "accuracy",
        element("p", lead),
        plot_over_sizes(
            report, for_curve(report, rows), "accuracy", percent_axis, percent_text, label, limit
        ),
        heat_maps(report),
        folded("Exact figures", exact),
    )


def _cells(row: Row) -> Sequence[str]:
    figures = (
        row["variant"],
        size_text(row),
        percent_text(row["accuracy"]),
        interval_text(row),
        f"{row['images']:,}",
    )
    return figures if "passed" not in row else (*figures, status("pass" if row["passed"] else "fail"))

"""The report page's error budget: a picture of what each step added over the sizes, and its table."""

from __future__ import annotations

from fcnship.reports.budget_summary import BUDGET_HEADS, budget_cells, budget_summaries
from fcnship.reports.figures import error_text, where_text
from fcnship.reports.html_axis import error_axis
from fcnship.reports.html_measures import plot_over_sizes
from fcnship.reports.html_table import folded, section, table
from fcnship.reports.markup import Markup, element
from fcnship.reports.order import Report, in_order

_EXACT = (
    "variant",
    "from",
    "size",
    "step, largest",
    "step, mean",
    "total, largest",
    "total, mean",
    "contribution",
)


def budget_section(report: Report) -> Markup | None:
    """What each step added, against the step before and in total."""
    rows = in_order(report.get("budget", ()))
    if not rows:
        return None
    reference = rows[0]["reference"]
    lead = (
        f"What each step from {reference} on added to the error, against the step before it. "
        "The shares add up; a negative one took away what other steps had added."
    )
    exact = [
        (
            row["variant"],
            row["before"],
            where_text(row),
            *(
                error_text(row[key])
                for key in ("step_max", "step_mean", "total_max", "total_mean", "contribution")
            ),
        )
        for row in rows
    ]
    squares = [row for row in rows if row["batch"] == 1 and row["height"] == row["width"]]
    label = "The largest error that each step added, against image size, both axes logarithmic."
    return section(
        "Error budget",
        "budget",
        element("p", lead),
        plot_over_sizes(report, squares or rows, "step_max", error_axis, error_text, label),
        table(BUDGET_HEADS, map(budget_cells, budget_summaries(report)), "The error budget", (2, 4, 5, 6)),
        folded("Every size", table(_EXACT, exact, "The error budget at every size", (3, 4, 5, 6, 7))),
    )

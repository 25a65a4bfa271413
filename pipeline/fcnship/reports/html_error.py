"""The report page's error over size: each variant's largest difference as a share of its tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fcnship.reports.figures import error_text, floors_text, share, share_text, size_text, where_text
from fcnship.reports.html_axis import share_axis
from fcnship.reports.html_plot import Limit, Point, Series, failed_sample, line_plot, sample
from fcnship.reports.html_table import stacked_table
from fcnship.reports.markup import Markup, element, joined
from fcnship.reports.order import Report, Row, in_order, variants_of
from fcnship.reports.summary import parity_summaries

_HEADS = ("variant", "against", "failed", "worst share", "at", "error", "tolerance", "x noise")
_NOTE = "image size: the square root of its pixels"


def error_plot(report: Report) -> Markup:
    """A line for each variant through the square sizes, dots for the others, crosses where it failed.

    Of several batches at a size the worst is shown. The table under it has the worst of all sizes.
    """
    rows = in_order(report["parity"])
    series = _series(report, rows)
    axis = share_axis([point.value for line in series for point in line.points])
    label = "Largest difference from the reference over image size, as a share of the tolerance; log axes."
    drawing = line_plot(series, axis, label, _NOTE, Limit(value=1.0, name="the tolerance"))
    legend = [element("li", sample(line.place), line.name) for line in series]
    if any(point.failed for line in series for point in line.points):
        legend.append(element("li", failed_sample(), "failed"))
    figure = element("figure", element("ul", *legend, class_="legend"), drawing, class_="chart")
    worst = stacked_table(_HEADS, map(_cells, _worst(report)), "The worst of each variant", (2, 3, 5, 6, 7))
    return joined([figure, worst])


def _series(report: Report, rows: Sequence[Row]) -> list[Series]:
    places = {variant: place for place, variant in enumerate(variants_of(report))}
    told = len({row["reference"] for row in rows}) > 1
    pairs = dict.fromkeys((row["variant"], row["reference"]) for row in rows)
    lined = len({row["height"] for row in rows if row["height"] == row["width"]}) >= 2
    return [
        Series(
            place=places[variant],
            name=f"{variant} against {reference}" if told else variant,
            points=_points(
                [r for r in rows if (r["variant"], r["reference"]) == (variant, reference)], lined
            ),
        )
        for variant, reference in pairs
    ]


def _points(rows: Sequence[Row], lined: bool) -> list[Point]:
    """The worst of the batches at each size; the line goes through the squares, where there are some."""
    worst: dict[tuple[int, int], Row] = {}
    for row in rows:
        size = row["height"], row["width"]
        worst[size] = max(worst.get(size, row), row, key=_badness)
    points = [
        Point(
            side=math.sqrt(row["height"] * row["width"]),
            value=share(row),
            size=str(row["height"]) if row["height"] == row["width"] else size_text(row),
            text=f"{share_text(row)}, {error_text(row['max_abs'])}",
            beside=lined and row["height"] != row["width"],
            failed=not row["passed"],
        )
        for row in worst.values()
    ]
    return sorted(points, key=lambda point: (point.side, point.size))


def _badness(row: Row) -> tuple[bool, float]:
    return not row["passed"], share(row)


def _worst(report: Report) -> list[tuple[Row, str]]:
    return [(s.worst, f"{s.failed} of {s.checks}") for s in parity_summaries(report)]


def _cells(found: tuple[Row, str]) -> Sequence[str]:
    row, failed = found
    return (
        row["variant"],
        row["reference"],
        failed,
        share_text(row),
        where_text(row),
        error_text(row["max_abs"]),
        error_text(row["tolerance"]),
        floors_text(row),
    )

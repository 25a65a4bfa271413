"""The report page's parity, and what plots of a measure over the sizes have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fcnship.reports.curve import side_of, split
from fcnship.reports.figures import (
    cosine_text,
    count_text,
    error_text,
    floors_text,
    number,
    share_text,
    size_text,
    where_text,
)
from fcnship.reports.html_axis import Axis
from fcnship.reports.html_error import error_plot
from fcnship.reports.html_grid import (
    MOST_ROWS,
    columns_in,
    grid_legend,
    parity_grid,
    profile_plane,
    sizes_in,
    worst_places,
)
from fcnship.reports.html_plot import Limit, Point, Series, failed_sample, line_plot, sample
from fcnship.reports.html_table import folded, scrolling, section, status, table
from fcnship.reports.markup import Markup, element, joined
from fcnship.reports.order import Report, Row, in_order, variants_of
from fcnship.reports.summary import (
    not_run,
    profile_text,
    size_range,
)

_SQUARE_NOTE = "image size, pixels a side"
_HEADS = (
    "variant",
    "reference",
    "size",
    "largest",
    "mean",
    "tolerance",
    "share",
    "x noise",
    "cosine",
    "flips",
    "result",
)
_MOST_COLUMNS_BESIDE = 4
_OTHER_NOTE = "image size, placed by the square root of its pixels"


def parity_section(report: Report) -> Markup:
    """Every size against every variant, as a share of the tolerance."""
    rows = in_order(report["parity"])
    if not rows:
        return section("Parity", "parity", element("p", "Not measured.", class_="dim"))
    failed = sum(not row["passed"] for row in rows)
    lead = (
        f"Largest difference from {_reference(rows)}, as a share of the tolerance, at {size_range(rows)}. "
        f"{f'{failed} of {len(rows)} checks failed.' if failed else f'All {len(rows)} checks passed.'}"
    )
    long = sizes_in(rows) > MOST_ROWS
    grid = scrolling(parity_grid(worst_places(rows) if long else rows), "Parity by size and variant")
    layout = "beside" if columns_in(rows) <= _MOST_COLUMNS_BESIDE else "stacked"
    exact = table(_HEADS, map(_parity_cells, rows), "Every parity check", (3, 4, 5, 6, 7, 8, 9))
    return section(
        "Parity",
        "parity",
        element("p", lead),
        element("p", f"The tolerance is {report['tolerance']}.") if report.get("tolerance") else None,
        *_reproducers(report),
        error_plot(report),
        element("p", f"The {MOST_ROWS} sizes that came closest to the tolerance:") if long else None,
        element("div", element("div", grid, grid_legend(), *_not_run(report)), _plane(report), class_=layout),
        folded("Every size", scrolling(parity_grid(rows), "Parity at every size")) if long else None,
        folded("Exact figures", exact),
    )


def _reproducers(report: Report) -> list[Markup]:
    """Where each failure is kept at its smallest, and the command that shows it."""
    return [
        element(
            "p", f"{row['variant']} fails at {where_text(row)} already: ", element("code", row["command"])
        )
        for row in report.get("reproducers", ())
    ]


def _reference(rows: Sequence[Row]) -> str:
    names = {row["reference"] for row in rows}
    return names.pop() if len(names) == 1 else "the reference"


def _not_run(report: Report) -> list[Markup]:
    rows = not_run(report)
    return [
        element("p", f"{r['variant']} was not run: {r['reason'] or 'no reason'}", class_="dim") for r in rows
    ]


def _plane(report: Report) -> Markup:
    words = [element("li", profile_text(profile)) for profile in report["profiles"]]
    caption = element(
        "figcaption",
        "Sizes that agree (dots) or failed (crosses), the profiles (frames) and their optimum (plus).",
    )
    return element("figure", profile_plane(report), caption, element("ul", *words, class_="plain"))


def plot_over_sizes(
    report: Report,
    rows: Sequence[Row],
    key: str,
    axis_of: Callable[[Sequence[float]], Axis],
    words: Callable[[float], str],
    label: str,
    limit: Limit | None = None,
) -> Markup:
    """A line for each variant over the sizes, its legend, and a list of what lies beside the curve."""
    usable = [row for row in rows if math.isfinite(number(row[key])) and (key == "accuracy" or row[key] > 0)]
    on_curve, beside = split(usable)
    if not on_curve:
        return element("p", "No finite value to draw.", class_="dim")
    places = {variant: place for place, variant in enumerate(variants_of(report))}
    series = [
        Series(place=places[name], name=name, points=_points(on_curve, name, key, words))
        for name in sorted({row["variant"] for row in on_curve}, key=places.__getitem__)
    ]
    note = _SQUARE_NOTE if all(row["height"] == row["width"] for row in on_curve) else _OTHER_NOTE
    values = [float(row[key]) for row in on_curve] + ([limit.value] if limit else [])
    drawing = line_plot(series, axis_of(values), label, note, limit)
    legend = [element("li", sample(line.place), line.name) for line in series]
    if any(point.failed for line in series for point in line.points):
        legend.append(element("li", failed_sample(), "failed"))
    sizes = sorted({_size(row) for row in beside})
    others = [_aside(size, [row for row in beside if _size(row) == size], key, words) for size in sizes]
    return joined(
        [
            element("figure", element("ul", *legend, class_="legend"), drawing, class_="chart"),
            joined([element("h3", "Sizes beside the curve"), element("ul", *others, class_="aside")])
            if others
            else None,
        ]
    )


def _aside(size: tuple[int, int], rows: Sequence[Row], key: str, words: Callable[[float], str]) -> Markup:
    values = ", ".join(f"{row['variant']} {words(row[key])}" for row in rows)
    return element("li", element("strong", f"{size[0]}x{size[1]} "), values)


def _points(rows: Sequence[Row], variant: str, key: str, words: Callable[[float], str]) -> list[Point]:
    points = [
        Point(
            side=side_of(row),
            value=float(row[key]),
            size=_short(row),
            text=words(row[key]),
            failed=not row.get("passed", True),
        )
        for row in rows
        if row["variant"] == variant
    ]
    return sorted(points, key=lambda point: point.side)


def _size(row: Row) -> tuple[int, int]:
    return row["height"], row["width"]


def _short(row: Row) -> str:
    return str(row["height"]) if row["height"] == row["width"] else size_text(row)


def _parity_cells(row: Row) -> Sequence[str]:
    errors = error_text(row["max_abs"]), error_text(row["mean_abs"]), error_text(row["tolerance"])
    decisions = cosine_text(row["cosine"]), count_text(row["argmax_flips"])
    shares = share_text(row), floors_text(row)
    result = status("pass" if row["passed"] else "fail")
    return row["variant"], row["reference"], where_text(row), *errors, *shares, *decisions, result

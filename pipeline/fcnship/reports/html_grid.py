"""The parity grid (sizes by variants) and the plane of heights and widths that the profiles cover."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fcnship.reports.figures import error_text, share, share_text, size_text, where_text
from fcnship.reports.markup import Markup, element, joined
from fcnship.reports.order import Report, Row, in_order, variant_key

MOST_ROWS = 40
_STEPS = ((0.01, "under 1 %"), (0.1, "under 10 %"), (0.5, "under 50 %"), (1.0, "up to 100 %"))
_SIDE, _MARGIN = 340, 52

Place = tuple[int, int, int, int]


def parity_grid(rows: Sequence[Row]) -> Markup:
    """A table of shares of the tolerance: a row for each size and batch, a column for each variant."""
    columns = sorted({(r["variant"], r["reference"]) for r in rows}, key=lambda c: tuple(map(variant_key, c)))
    cells = {(_place(row), row["variant"], row["reference"]): row for row in in_order(rows)}
    places = {_place(row): row for row in rows}
    told = len({reference for _, reference in columns}) > 1
    heads = [
        element("th", element("span", variant), _against(reference) if told else None, scope="col")
        for variant, reference in columns
    ]
    body = [
        element(
            "tr",
            element("th", where_text(places[place]), scope="row"),
            *(_cell(cells.get((place, *column))) for column in columns),
        )
        for place in sorted(places)
    ]
    head = element("thead", element("tr", element("th", "size", scope="col"), *heads))
    return element("table", head, element("tbody", *body), class_="heat")


def columns_in(rows: Sequence[Row]) -> int:
    """How many columns the grid has: variants, each against a reference."""
    return len({(row["variant"], row["reference"]) for row in rows})


def grid_legend() -> Markup:
    """What the shades of the grid mean."""
    texts = [*(text for _, text in _STEPS), "failed"]
    items = [element("li", element("i", class_=f"h{step}"), text) for step, text in enumerate(texts)]
    return element("ul", *items, class_="legend heatkey")


def profile_plane(report: Report) -> Markup:
    """The profiles as rectangles on the plane of width and height, both logs, and the sizes checked."""
    corners = [corner for profile in report["profiles"] for corner in (profile["min"], profile["max"])]
    tested = {(row["height"], row["width"]): True for row in report["parity"]}
    for row in report["parity"]:
        tested[row["height"], row["width"]] &= row["passed"]
    sides = [side for corner in corners for side in corner] + [side for size in tested for side in size]
    plane = _Plane(min(sides), max(sides))
    drawn = [
        plane.axes(sorted({side for corner in corners for side in corner} or {min(sides), max(sides)})),
        *(plane.profile(place, profile) for place, profile in enumerate(report["profiles"])),
        *(plane.size(*size, passed) for size, passed in sorted(tested.items())),
    ]
    failed = sum(not passed for passed in tested.values())
    label = f"{len(tested)} checked sizes on the plane of widths and heights, {failed} failed"
    return element(
        "svg", *drawn, class_="plane", viewBox=f"0 0 {_SIDE} {_SIDE}", role="img", aria_label=label
    )


class _Plane:
    """Places of widths and heights on a square; the height grows upwards."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low / 1.08, high * 1.08

    def at(self, side: float) -> float:
        share = math.log(side / self.low) / math.log(self.high / self.low)
        return round(_MARGIN + share * (_SIDE - _MARGIN - 8), 1)

    def axes(self, sides: Sequence[int]) -> Markup:
        end, base = _SIDE - 8, _SIDE - _MARGIN
        parts = [element("path", d=f"M{_MARGIN} 8V{base}H{end}", class_="mark")]
        last = -math.inf
        for side in sides:
            place = self.at(side)
            if place - last < 26:
                continue
            last, mirrored = place, _SIDE - place
            parts.append(element("path", d=f"M{place} {base}v5M{_MARGIN} {mirrored:g}h-5", class_="mark"))
            parts.append(element("text", str(side), x=place, y=base + 18, class_="tick middle"))
            parts.append(element("text", str(side), x=_MARGIN - 9, y=mirrored + 4, class_="tick end"))
        parts.append(element("text", "width", x=(_MARGIN + end) / 2, y=_SIDE - 6, class_="tick middle"))
        parts.append(
            element("text", "height", transform=f"translate(11 {base / 2}) rotate(-90)", class_="tick middle")
        )
        return joined(parts)

    def profile(self, place: int, profile: Row) -> Markup:
        low, opt, high = profile["min"], profile["opt"], profile["max"]
        left, right = self.at(low[1]) - 5, self.at(high[1]) + 5
        top, bottom = _SIDE - self.at(high[0]) - 5, _SIDE - self.at(low[0]) + 5
        area = element(
            "rect",
            x=left,
            y=top,
            width=right - left,
            height=bottom - top,
            rx=5,
            class_=f"area c{place % 6 + 1}",
        )
        x, y = self.at(opt[1]), _SIDE - self.at(opt[0])
        return joined((area, element("path", d=f"M{x - 8:g} {y:g}h16M{x:g} {y - 8:g}v16", class_="optimum")))

    def size(self, height: int, width: int, passed: bool) -> Markup:
        x, y = self.at(width), _SIDE - self.at(height)
        text = element("title", f"{height}x{width}: {'agrees' if passed else 'failed'}")
        if passed:
            return element("circle", text, cx=x, cy=y, r=3, class_="agrees")
        return element("path", text, d=f"M{x - 4:g} {y - 4:g}l8 8m0 -8l-8 8", class_="fails")


def _cell(row: Row | None) -> Markup:
    if row is None:
        return element("td", "-", class_="none")
    step = next((step for step, (limit, _) in enumerate(_STEPS) if share(row) < limit), len(_STEPS) - 1)
    words = share_text(row) if row["passed"] else f"fail {share_text(row)}"
    exact = (
        f"{row['variant']} at {where_text(row)}: largest error {error_text(row['max_abs'])}, "
        f"tolerance {error_text(row['tolerance'])}"
    )
    return element("td", words, class_=f"h{step if row['passed'] else len(_STEPS)}", title=exact)


def _against(reference: str) -> Markup:
    return element("small", f"against {reference}")


def _place(row: Row) -> Place:
    return row["height"] * row["width"], row["height"], row["width"], row["batch"]


def worst_places(rows: Sequence[Row], most: int = MOST_ROWS) -> list[Row]:
    """The rows at the sizes with the worst share, for a grid that would be too long."""
    worst: dict[Place, tuple[bool, float]] = {}
    for row in rows:
        worst[_place(row)] = max(worst.get(_place(row), (False, 0.0)), (not row["passed"], share(row)))
    kept = set(sorted(worst, key=lambda place: worst[place], reverse=True)[:most])
    return [row for row in rows if _place(row) in kept]


def sizes_in(rows: Sequence[Row]) -> int:
    """How many rows the grid has: distinct sizes and batches."""
    return len({(size_text(row), row["batch"]) for row in rows})

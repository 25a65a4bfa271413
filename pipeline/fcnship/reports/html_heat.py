"""Accuracy over height and width as inline SVG: a figure in each cell, the rest on hover, tap and focus."""

from __future__ import annotations

from dataclasses import dataclass

from fcnship.reports.accuracy_map import AccuracyMap, accuracy_maps, interval_text
from fcnship.reports.figures import number, percent_text, size_text
from fcnship.reports.html_plot import failed_mark, note, note_height
from fcnship.reports.markup import Markup, element, joined
from fcnship.reports.order import Report, Row, in_order
from fcnship.verify.unfit_sizes import best_of

_SIDE, _MARGIN, _END = 340, 52, 6
_STEPS = (
    (0.01, "within 1 point of the best"),
    (0.02, "within 2"),
    (0.05, "within 5"),
    (0.2, "within 20"),
    (1.0, "more than 20 below"),
)
_SMALL_FROM = 8  # columns: their figures are set smaller


def heat_maps(report: Report) -> Markup | None:
    """A map for each profile and for the variants that are right alike, and what the shades mean."""
    maps, best = accuracy_maps(report), best_of(in_order(report["accuracy"]))
    if not maps or best is None:
        return None
    figures = [
        element(
            "figure",
            _Heat(found, number(best["accuracy"])).drawing(),
            element("figcaption", found.caption),
        )
        for found in maps
    ]
    items = [element("li", element("i", class_=f"s{step}"), text) for step, (_, text) in enumerate(_STEPS)]
    if any(found.unfit for found in maps):
        items.append(element("li", _crossed_sample(), "must not be used"))
    return joined(
        [
            element("h3", "Over height and width, percent"),
            element("div", *figures, class_="maps"),
            element("ul", *items, class_="legend heatkey"),
        ]
    )


def _crossed_sample() -> Markup:
    return element(
        "svg", failed_mark(8, 8), class_="crossed", viewBox="0 0 16 16", width=16, aria_hidden="true"
    )


@dataclass(frozen=True)
class _Heat:
    """One map's drawing; the shades tell how far a cell lies below the best accuracy of the original."""

    map: AccuracyMap
    best: float

    def drawing(self) -> Markup:
        """The whole map; what is pointed at is drawn last, over the cells."""
        rows = self.map.rows
        return element(
            "svg",
            *(self._cell(row) for row in rows),
            self._axes(),
            *(self._hit(row) for row in rows),
            class_="heatmap",
            viewBox=f"0 0 {_SIDE} {_SIDE}",
            role="group",
            aria_label=f"Accuracy of {', '.join(self.map.variants)} over image height and width",
        )

    def _box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """x, y, width and height of a cell; heights grow upwards."""
        heights, widths = self.map.heights, self.map.widths
        wide, high = (_SIDE - _MARGIN - _END) / len(widths), (_SIDE - _MARGIN - _END) / len(heights)
        x = _MARGIN + widths.index(width) * wide
        y = _SIDE - _MARGIN - (heights.index(height) + 1) * high
        return round(x, 1), round(y, 1), round(wide, 1), round(high, 1)

    def _cell(self, row: Row) -> Markup:
        x, y, wide, high = self._box(row["height"], row["width"])
        lost = self.best - number(row["accuracy"])
        step = next(step for step, (most, _) in enumerate(_STEPS) if lost <= most + 1e-9)
        figure = "figure middle small" if len(self.map.widths) >= _SMALL_FROM else "figure middle"
        text = f"{number(row['accuracy']) * 100:.1f}"
        back = {"x": x + 1, "y": y + 1, "width": wide - 2, "height": high - 2, "rx": 3}
        parts = [
            element("rect", **back, class_=f"cell s{step}"),
            element("text", text, x=x + wide / 2, y=y + high / 2 + 4, class_=figure),
        ]
        if (row["height"], row["width"]) in self.map.unfit:
            edge = element("rect", x=x + 2, y=y + 2, width=wide - 4, height=high - 4, rx=2, class_="edge")
            parts += [edge, failed_mark(x + wide - 10, y + 10)]
        return element("g", *parts, aria_hidden="true")

    def _axes(self) -> Markup:
        base, across, up = _SIDE - _MARGIN, (_MARGIN + _SIDE - _END) / 2, (_SIDE - _MARGIN + _END) / 2
        turned = f"translate(12 {up:g}) rotate(-90)"
        parts = [
            element("text", "width", x=across, y=_SIDE - 8, class_="tick middle"),
            element("text", "height", transform=turned, class_="tick middle"),
        ]
        for width in self.map.widths:
            x, _, wide, _ = self._box(self.map.heights[0], width)
            parts.append(element("text", str(width), x=x + wide / 2, y=base + 18, class_="tick middle"))
        for height in self.map.heights:
            _, y, _, high = self._box(height, self.map.widths[0])
            parts.append(element("text", str(height), x=_MARGIN - 8, y=y + high / 2 + 4, class_="tick end"))
        return element("g", *parts, aria_hidden="true")

    def _hit(self, row: Row) -> Markup:
        x, y, wide, high = self._box(row["height"], row["width"])
        lines = [
            f"{percent_text(row['accuracy'])} of {row['images']:,} images",
            f"95 % interval {interval_text(row)}",
        ]
        if (row["height"], row["width"]) in self.map.unfit:
            lines.append("must not be used")
        name = f"{size_text(row)}, height x width"
        tall = note_height(len(lines))
        top = y + high if y + high + tall < _SIDE else y - tall
        return element(
            "g",
            element("rect", x=x, y=y, width=wide, height=high, class_="hit"),
            note(_SIDE, x + wide / 2, name, [(None, line) for line in lines], top),
            class_="column",
            tabindex="0",
            role="img",
            aria_label=f"{name}: {', '.join(lines)}",
        )

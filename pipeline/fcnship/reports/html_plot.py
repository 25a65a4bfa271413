"""Line plots over image sizes as inline SVG: no script, exact figures on hover, tap and keyboard focus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fcnship.reports.html_axis import Axis
from fcnship.reports.markup import Markup, element, joined

_TOP, _RIGHT, _BOTTOM, _LEFT = 14, 14, 44, 64
_LETTER = 7.0  # width of a letter of the note, in pixels: the widest of the system fonts
_LINE = 18
_LONGEST_NAME = 28
_DASHES = (None, "7 4", "2 3", "10 3 2 3", "4 2")
_SHAPES = ("circle", "square", "triangle", "diamond", "cross")
_COLOURS = 7
_TOGETHER, _MARKERS_APART = 7.0, 12.0  # pixels


@dataclass(frozen=True, kw_only=True)
class Point:
    """A measured size: where it stands, its value, its size and value in words.

    ``beside`` is a size that the line does not go through; ``failed`` is marked by its shape as well.
    """

    side: float
    value: float
    size: str
    text: str
    beside: bool = False
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Series:
    """One variant's line: its place among all variants, its name and its points, from left to right."""

    place: int
    name: str
    points: Sequence[Point]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A horizontal line that values are held to, and what it is called."""

    value: float
    name: str


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The plot's size in pixels and the range of its horizontal axis, which is a log of the side."""

    width: int
    height: int
    low: float
    high: float

    def x(self, side: float) -> float:
        """The horizontal place of a side; a single size stands in the middle."""
        share = math.log(side / self.low) / math.log(self.high / self.low) if self.high > self.low else 0.5
        return round(_LEFT + 10 + share * (self.width - _LEFT - _RIGHT - 20), 1)

    def y(self, share: float) -> float:
        """The vertical place of an axis's share."""
        return round(self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM), 1)


def line_plot(
    series: Sequence[Series], axis: Axis, label: str, axis_note: str, limit: Limit | None = None
) -> Markup:
    """The plot twice, wide and narrow; the style sheet shows the one that fits.

    Args:
        series: the lines.
        axis: the vertical axis.
        label: what the plot shows, for those who cannot see it.
        axis_note: the horizontal axis's title.
        limit: what the values are held to.
    """
    points = [point for line in series for point in line.points]
    sides = sorted({point.side for point in points})
    named = {point.side: point.size for point in points if not point.beside}
    frames = {
        kind: Frame(width=width, height=height, low=sides[0], high=sides[-1])
        for kind, width, height in (("wide", 760, 320), ("narrow", 358, 300))
    }
    return joined(
        element(
            "svg",
            _grid(frame, axis, sorted(named.items()), axis_note),
            *(_line(frame, axis, line) for line in series),
            _limit(frame, axis, limit) if limit else None,
            *(_column(frame, axis, series, together, sides) for together in _columns(frame, sides)),
            class_=f"plot {kind}",
            viewBox=f"0 0 {frame.width} {frame.height}",
            role="group",
            aria_label=label,
        )
        for kind, frame in frames.items()
    )


def sample(place: int) -> Markup:
    """A short piece of a variant's line, for the legend."""
    line = element("path", d="M1 8H37", class_=_line_class(place), stroke_dasharray=_dash(place))
    return element(
        "svg", line, _marker(place, 19, 8), class_="sample", viewBox="0 0 38 16", aria_hidden="true"
    )


def failed_sample() -> Markup:
    """The mark of a failed point, for the legend."""
    return element("svg", failed_mark(19, 8), class_="sample", viewBox="0 0 38 16", aria_hidden="true")


def failed_mark(x: float, y: float) -> Markup:
    """A cross over a point that failed."""
    return element("path", d=f"M{x - 5:g} {y - 5:g}l10 10m0 -10l-10 10", class_="fails")


def note(
    width: float, x: float, name: str, lines: Sequence[tuple[int | None, str]], top: float = 4
) -> Markup:
    """A box of text beside ``x``: a name, then lines, each after its variant's marker where it has one."""
    indent = 30 if any(place is not None for place, _ in lines) else 10
    wide = min(width - 4.0, indent + 16 + _LETTER * max(len(name) - 4, *(len(text) for _, text in lines)))
    left = x + 10 if x + 10 + wide < width else max(2.0, x - 10 - wide)
    height = _LINE * (len(lines) + 1) + 12
    parts = [element("rect", x=left, y=top, width=wide, height=height, rx=5, class_="box")]
    parts.append(element("text", name, x=left + 10, y=top + 18, class_="note strong"))
    for row, (place, text) in enumerate(lines, start=1):
        if place is not None:
            parts.append(_marker(place, left + 16, top + 14 + row * _LINE))
        parts.append(element("text", text, x=left + indent, y=top + 18 + row * _LINE, class_="note"))
    return element("g", *parts, class_="tip", aria_hidden="true")


def note_height(lines: int) -> int:
    """How high a note of so many lines under its name is."""
    return _LINE * (lines + 1) + 12


def _grid(frame: Frame, axis: Axis, sides: Sequence[tuple[float, str]], title: str) -> Markup:
    left, right, bottom = _LEFT, frame.width - _RIGHT, frame.y(0)
    parts = []
    for tick in axis.ticks:
        y = frame.y(axis.share(tick))
        parts.append(element("path", d=f"M{left} {y}H{right}", class_="grid"))
        parts.append(element("text", axis.text(tick), x=left - 8, y=y + 4, class_="tick end"))
    for side, name in _apart(frame, sides):
        parts.append(element("path", d=f"M{frame.x(side)} {bottom}v5", class_="mark"))
        inside = min(frame.x(side), frame.width - len(name) * _LETTER / 2)
        parts.append(element("text", name, x=inside, y=bottom + 19, class_="tick middle"))
    parts.append(element("text", title, x=(left + right) / 2, y=frame.height - 4, class_="tick middle"))
    return element("g", *parts, aria_hidden="true")


def _limit(frame: Frame, axis: Axis, limit: Limit) -> Markup:
    y, right = frame.y(axis.share(limit.value)), frame.width - _RIGHT
    line = element("path", d=f"M{_LEFT} {y}H{right}", class_="limit")
    beside = y - 6 if y > _TOP + _LINE else y + _LINE - 2  # over the line it would be cut off at the top
    return element("g", line, element("text", limit.name, x=right, y=beside, class_="tick end halo"))


def _apart(frame: Frame, sides: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """The names that fit on the axis without touching: both ends, then from the left."""
    kept: list[tuple[float, str]] = []
    last_side, last_name = sides[-1]
    for side, name in sides[:-1]:
        room_right = frame.x(last_side) - frame.x(side) > (len(name) + len(last_name)) * _LETTER / 2 + 6
        left = frame.x(kept[-1][0]) + len(kept[-1][1]) * _LETTER / 2 if kept else -math.inf
        if room_right and frame.x(side) - len(name) * _LETTER / 2 - 6 > left:
            kept.append((side, name))
    return [*kept, sides[-1]]


def _line(frame: Frame, axis: Axis, line: Series) -> Markup:
    """The line through its points, a marker where there is room for one, dots beside it, and crosses."""
    places = [(frame.x(point.side), frame.y(axis.share(point.value)), point) for point in line.points]
    through = [(x, y) for x, y, point in places if not point.beside]
    path = "M" + "L".join(f"{x} {y}" for x, y in through)
    drawn = element("path", d=path, class_=_line_class(line.place), stroke_dasharray=_dash(line.place))
    colour = f"dot c{line.place % _COLOURS}"
    dots = [element("circle", cx=x, cy=y, r=1.8, class_=colour) for x, y, point in places if point.beside]
    markers, last = [], -math.inf
    for x, y in through:
        if x - last >= _MARKERS_APART:
            markers.append(_marker(line.place, x, y))
            last = x
    crosses = [failed_mark(x, y) for x, y, point in places if point.failed]
    return element("g", drawn if through else None, *dots, *markers, *crosses, aria_hidden="true")


def _columns(frame: Frame, sides: Sequence[float]) -> list[list[float]]:
    """The sides that one pointer cannot tell apart, together."""
    columns: list[list[float]] = []
    for side in sides:
        if columns and frame.x(side) - frame.x(columns[-1][0]) < _TOGETHER:
            columns[-1].append(side)
        else:
            columns.append([side])
    return columns


def _column(
    frame: Frame, axis: Axis, series: Sequence[Series], together: Sequence[float], sides: Sequence[float]
) -> Markup:
    """What one place shows when it is pointed at: a guide, and a note of every line's worst value there."""
    found = [
        (line, [point for point in line.points if together[0] <= point.side <= together[-1]])
        for line in series
    ]
    sizes = {point.size: None for _, points in found for point in points}
    texts = [
        (line.place, f"{_cut(line.name)}: {_worst_text(axis, points, len(sizes) > 1)}")
        for line, points in found
        if points
    ]
    first, last = next(iter(sizes)), list(sizes)[-1]
    name = first if len(sizes) == 1 else f"worst of {len(sizes)} sizes, {first} to {last}"
    x, top, bottom = frame.x((together[0] + together[-1]) / 2), _TOP, frame.y(0)
    half = _half_width(frame, together, sides)
    return element(
        "g",
        element("rect", x=x - half, y=0, width=2 * half, height=bottom + 24, class_="hit"),
        element("path", d=f"M{x} {top}V{bottom}", class_="guide"),
        note(frame.width, x, name, texts),
        class_="column",
        tabindex="0",
        role="img",
        aria_label=f"{name}. " + ". ".join(text for _, text in texts),
    )


def _worst_text(axis: Axis, points: Sequence[Point], named: bool) -> str:
    sign = 1 if axis.high_is_bad else -1
    worst = max(points, key=lambda point: (point.failed, sign * point.value))
    at = f" at {worst.size}" if named else ""
    return f"{'fails, ' if worst.failed else ''}{worst.text}{at}"


def _half_width(frame: Frame, together: Sequence[float], sides: Sequence[float]) -> float:
    middle = frame.x((together[0] + together[-1]) / 2)
    gap = min((abs(frame.x(at) - middle) for at in sides if at not in together), default=60.0)
    return round(min(max(gap / 2, 3.5), 30.0), 1)


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."


def _marker(place: int, x: float, y: float) -> Markup:
    """A variant's marker: shape and size by its place, so that lines that lie on each other all show."""
    size = (5.5, 4.5, 4.0, 4.5, 4.0)[place % len(_SHAPES)]
    drawings = {
        "circle": f"M{x - size:g} {y:g}a{size} {size} 0 1 0 {2 * size} 0a{size} {size} 0 1 0 {-2 * size} 0z",
        "square": f"M{x - size:g} {y - size:g}h{2 * size}v{2 * size}h{-2 * size}z",
        "triangle": f"M{x:g} {y - size:g}l{size} {2 * size}h{-2 * size}z",
        "diamond": f"M{x:g} {y - size:g}l{size} {size}l{-size} {size}l{-size} {-size}z",
        "cross": f"M{x - size:g} {y - size:g}l{2 * size} {2 * size}m0 {-2 * size}l{-2 * size} {2 * size}",
    }
    return element("path", d=drawings[_SHAPES[place % len(_SHAPES)]], class_=f"marker c{place % _COLOURS}")


def _line_class(place: int) -> str:
    return f"line c{place % _COLOURS}" + (" broad" if place == 0 else "")


def _dash(place: int) -> str | None:
    return _DASHES[place % len(_DASHES)]

"""Line plots over image sizes as inline SVG: no script, exact figures on hover, tap and keyboard focus."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fcnship.reports.figures import error_text, ms_text, percent_text
from fcnship.reports.markup import Markup, element, joined

_TOP, _RIGHT, _BOTTOM, _LEFT = 14, 14, 44, 64
_LETTER = 7.0  # width of a letter of the note, in pixels: the widest of the system fonts
_LINE = 18
_LONGEST_NAME = 28
_DASHES = (None, "7 4", "2 3", "10 3 2 3", "4 2")
_SHAPES = ("circle", "square", "triangle", "diamond", "cross")
_COLOURS = 7

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One variant's line: its place among all variants, its name, and (side in pixels, value) points."""

    place: int
    name: str
    points: Sequence[Point]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The vertical axis: its ticks from bottom to top, how ticks and values read, and whether it is a log."""

    ticks: Sequence[float]
    text: Callable[[float], str]
    exact: Callable[[float], str]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies between the first tick, 0, and the last, 1."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low)


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
    series: Sequence[Series], axis: Axis, label: str, names: dict[float, str], axis_note: str
) -> Markup:
    """The plot twice, wide and narrow; the style sheet shows the one that fits.

    Args:
        series: the lines.
        axis: the vertical axis.
        label: what the plot shows, for those who cannot see it.
        names: what each side on the horizontal axis is called.
        axis_note: the horizontal axis's title.
    """
    sides = sorted({side for line in series for side, _ in line.points})
    frames = {
        kind: Frame(width=width, height=height, low=sides[0], high=sides[-1])
        for kind, width, height in (("wide", 760, 320), ("narrow", 358, 300))
    }
    return joined(
        element(
            "svg",
            _grid(frame, axis, [(side, names[side]) for side in sides], axis_note),
            *(_line(frame, axis, line) for line in series),
            *(_column(frame, axis, series, side, names[side]) for side in sides),
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


def percent_axis(values: Sequence[float]) -> Axis:
    """An axis of accuracies: up to 100 %, five points long at least, so that noise looks like noise."""
    span = max(0.05, 1 - min(values))
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if span / step <= 6)
    count = math.ceil(round(span / step, 6))
    ticks = [round(1 - step * (count - i), 4) for i in range(count + 1)]
    return Axis(ticks=ticks, text=lambda tick: f"{tick * 100:.0f} %", exact=percent_text)


def ms_axis(values: Sequence[float]) -> Axis:
    """A log axis of milliseconds, with ticks at 1, 2 and 5 in a decade, or at 1 alone over many."""
    low, high = min(values), max(values)
    steps = (1, 2, 5) if high / low < 200 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    below = max((tick for tick in ticks if tick <= low), default=ticks[0])
    above = next(tick for tick in ticks if tick >= high and tick > below)
    kept = [tick for tick in ticks if below <= tick <= above]
    return Axis(ticks=kept, text=lambda tick: f"{tick:g} ms", exact=ms_text, log=True)


def error_axis(values: Sequence[float]) -> Axis:
    """A log axis of errors, with ticks at the powers of ten."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = max(last, first + 1)
    step = max(1, (last - first) // 6)
    ticks = [10.0**power for power in range(first, last + step, step)]
    return Axis(ticks=ticks, text=lambda tick: f"{tick:.0e}", exact=error_text, log=True)


def _grid(frame: Frame, axis: Axis, sides: Sequence[tuple[float, str]], note: str) -> Markup:
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
    parts.append(element("text", note, x=(left + right) / 2, y=frame.height - 4, class_="tick middle"))
    return element("g", *parts, aria_hidden="true")


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
    points = [(frame.x(side), frame.y(axis.share(value))) for side, value in line.points]
    path = "M" + "L".join(f"{x} {y}" for x, y in points)
    drawn = element("path", d=path, class_=_line_class(line.place), stroke_dasharray=_dash(line.place))
    return element("g", drawn, *(_marker(line.place, x, y) for x, y in points), aria_hidden="true")


def _column(frame: Frame, axis: Axis, series: Sequence[Series], side: float, name: str) -> Markup:
    """What one size shows when it is pointed at: a guide, and a note of every line's value there."""
    values = [(line, value) for line in series for at, value in line.points if at == side]
    x, top, bottom = frame.x(side), _TOP, frame.y(0)
    half = _half_width(frame, series, side)
    texts = [f"{_cut(line.name)}: {axis.exact(value)}" for line, value in values]
    return element(
        "g",
        element("rect", x=x - half, y=0, width=2 * half, height=bottom + 24, class_="hit"),
        element("path", d=f"M{x} {top}V{bottom}", class_="guide"),
        _note(frame, x, name, [(line.place, text) for (line, _), text in zip(values, texts, strict=True)]),
        class_="column",
        tabindex="0",
        role="img",
        aria_label=f"{name}. " + ". ".join(texts),
    )


def _half_width(frame: Frame, series: Sequence[Series], side: float) -> float:
    others = {at for line in series for at, _ in line.points} - {side}
    gap = min((abs(frame.x(at) - frame.x(side)) for at in others), default=60.0)
    return round(min(max(gap / 2, 3.0), 30.0), 1)


def _note(frame: Frame, x: float, name: str, lines: Sequence[tuple[int, str]]) -> Markup:
    width = min(frame.width - 4.0, 46 + _LETTER * max(len(name) - 4, *(len(text) for _, text in lines)))
    height = _LINE * (len(lines) + 1) + 12
    left = x + 10 if x + 10 + width < frame.width else max(2.0, x - 10 - width)
    parts = [element("rect", x=left, y=4, width=width, height=height, rx=5, class_="box")]
    parts.append(element("text", name, x=left + 10, y=22, class_="note strong"))
    for row, (place, text) in enumerate(lines, start=1):
        parts.append(_marker(place, left + 16, 18 + row * _LINE))
        parts.append(element("text", text, x=left + 30, y=22 + row * _LINE, class_="note"))
    return element("g", *parts, class_="tip", aria_hidden="true")


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

"""The vertical axes of the plots: percent, milliseconds, errors, and errors as shares of their tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fcnship.reports.figures import error_text, ms_text, percent_text

_LEAST_SHARE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A vertical axis.

    Its ticks from bottom to top, how ticks and values read, whether it is a log, and whether a high value is
    a bad one.
    """

    ticks: Sequence[float]
    text: Callable[[float], str]
    exact: Callable[[float], str]
    log: bool = False
    high_is_bad: bool = True

    def share(self, value: float) -> float:
        """Where a value lies between the first tick, 0, and the last, 1; beyond them it is drawn at them."""
        low, high = self.ticks[0], self.ticks[-1]
        value = min(max(value, low), high)
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low)


def percent_axis(values: Sequence[float]) -> Axis:
    """An axis of accuracies: up to 100 %, five points long at least, so that noise looks like noise."""
    span = max(0.05, 1 - min(values))
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if span / step <= 6)
    count = math.ceil(round(span / step, 6))
    ticks = [round(1 - step * (count - i), 4) for i in range(count + 1)]
    return Axis(ticks=ticks, text=lambda tick: f"{tick * 100:.0f} %", exact=percent_text, high_is_bad=False)


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
    ticks = _decades(first, max(last, first + 1))
    return Axis(ticks=ticks, text=lambda tick: f"{tick:.0e}", exact=error_text, log=True)


def share_axis(values: Sequence[float]) -> Axis:
    """A log axis of shares of a tolerance, which always has 100 % on it.

    What is less than a ten-thousandth is drawn at the bottom, what is no number at the top; the ticks say so.
    """
    usual = [value for value in values if _LEAST_SHARE < value < math.inf]
    first = math.floor(math.log10(min([*usual, 0.1])))
    last = math.ceil(math.log10(max([*usual, 1.0])))
    if min(values, default=1) <= _LEAST_SHARE:
        first = round(math.log10(_LEAST_SHARE))
    ticks = _decades(first, last)
    top = [ticks[-1] * ticks[1] / ticks[0]] if max(values, default=1) == math.inf else []

    def text(tick: float) -> str:
        if tick in top:
            return "NaN, inf"
        return f"\u2264 {_share(tick)}" if tick <= _LEAST_SHARE else _share(tick)

    return Axis(ticks=[*ticks, *top], text=text, exact=_share, log=True)


def _decades(first: int, last: int) -> list[float]:
    """Powers of ten, at most seven of them; 1 is among them where it lies between."""
    step = max(1, math.ceil((last - first) / 6))
    if first < 0 <= last:
        first, last = step * math.floor(first / step), step * math.ceil(last / step)
    return [10.0**power for power in range(first, last + step, step)]


def _share(value: float) -> str:
    return f"{value * 100:.4g} %" if value <= 1 else f"{value:g}x" if value < 1e4 else f"{value:.0e}x"

"""Numbers as people read them: sizes, shares, milliseconds, bytes."""

from __future__ import annotations

import math
from typing import Any

from fcnship.reports.order import Row

ABSENT = "-"
_UNITS = ("B", "kB", "MB", "GB", "TB")


def number(value: Any) -> float:
    """A measured value as a float; report.json writes what is no number as ``"nan"`` or ``"inf"``."""
    return math.nan if value is None else float(value)


def size_text(row: Row) -> str:
    """``28x40`` from a row's height and width."""
    return f"{row['height']}x{row['width']}"


def where_text(row: Row) -> str:
    """``28x40``, with the batch where it is not one image."""
    batch = row.get("batch", 1)
    return size_text(row) if batch == 1 else f"{size_text(row)}, batch {batch}"


def side_text(value: Any) -> str:
    """A geometry figure: ``32``, or ``32x16`` where height and width differ."""
    return ABSENT if value is None else "x".join(map(str, value)) if isinstance(value, list) else str(value)


def percent_text(accuracy: Any) -> str:
    """An accuracy of 0 to 1 as ``98.12 %``."""
    value = number(accuracy)
    return f"{value:.2%}".replace("%", " %") if math.isfinite(value) else str(value)


def error_text(value: Any) -> str:
    """An error in three significant digits: ``2.38e-07``."""
    return f"{number(value):.3g}"


def cosine_text(value: Any) -> str:
    """A cosine in nine digits, for it is read as its distance from 1; ``-`` where there is none."""
    return ABSENT if value is None else f"{number(value):.9g}"


def count_text(value: int | None) -> str:
    """A count; ``-`` where there is none."""
    return ABSENT if value is None else f"{value:,}"


def ms_text(value: Any) -> str:
    """Milliseconds in three significant digits: ``0.0193 ms``, ``12.3 ms``, ``1520 ms``."""
    return f"{_three_digits(number(value))} ms"


def ratio_text(value: Any) -> str:
    """A ratio of times: ``0.15x``, ``0.0069x``; ``-`` where there is none."""
    return ABSENT if value is None else f"{_two_digits(number(value))}x"


def interval_text(row: Row) -> str:
    """The interval of a latency row's ratio: ``0.14-0.16``; ``-`` where there is none."""
    low, high = row.get("ratio_low"), row.get("ratio_high")
    return (
        ABSENT if low is None or high is None else f"{_two_digits(number(low))}-{_two_digits(number(high))}"
    )


def effect_text(row: Row) -> str:
    """The smallest effect that a latency row's run could have seen: ``2.1 %``; ``-`` where it is not told."""
    effect = row.get("smallest_effect")
    return ABSENT if effect is None else f"{number(effect) * 100:.2g} %"


def rate_text(row: Row) -> str:
    """Images a second of a latency row: ``812``, ``51,200``; ``-`` where it is not told."""
    rate = row.get("images_per_second")
    return ABSENT if rate is None else f"{number(rate):,.3g}" if rate < 100 else f"{number(rate):,.0f}"


def seconds_text(value: Any) -> str:
    """``0.42 s``, ``71 s``, ``5 min 12 s``."""
    seconds = number(value)
    if not math.isfinite(seconds):
        return ABSENT
    if seconds < 119.5:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def stage_time(stage: Row) -> str:
    """How long a stage took; ``-`` where it was skipped."""
    return ABSENT if stage["status"] == "skipped" else seconds_text(stage["seconds"])


def bytes_text(size: int | None) -> str:
    """``512 B``, ``334 kB``, ``1.2 MB``: thousands, not 1024s."""
    if size is None:
        return ABSENT
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit and value < 9.95 else f"{value:.0f} {_UNITS[unit]}"


def share(row: Row) -> float:
    """A parity row's largest error over its tolerance; infinite where the error is not a number."""
    error, tolerance = number(row["max_abs"]), number(row["tolerance"])
    if not math.isfinite(error):
        return math.inf
    if tolerance > 0:
        return error / tolerance
    return 0.0 if error == 0 else math.inf


def share_text(row: Row) -> str:
    """The share in words: ``4.2 %`` up to the tolerance, ``3.40x`` above it, or the value that is none."""
    error, part = number(row["max_abs"]), share(row)
    if not math.isfinite(error):
        return "NaN" if math.isnan(error) else "inf"
    if not math.isfinite(part):
        return "inf"
    if part > 1:
        return f"{part:.2f}x" if part < 9.995 else f"{part:.0f}x" if part < 1e5 else f"{part:.0e}x"
    return (
        "0 %"
        if part == 0
        else "<0.1 %"
        if part < 0.001
        else f"{part * 100:.2g} %"
        if part < 0.995
        else "100 %"
    )


def tolerance_text(row: Row) -> str:
    """A parity row's largest error as a multiple of its tolerance: ``0.042x``, or ``NaN``, or ``inf``."""
    part = share(row)
    if not math.isfinite(part):
        return share_text(row)
    return f"{part:.2g}x" if part < 100 else f"{part:.0f}x" if part < 1e5 else f"{part:.0e}x"


def floors_text(row: Row) -> str:
    """A parity row's largest error as a multiple of the noise floor: ``2.1``; ``-`` where it is not known."""
    floors = row.get("floors")
    if floors is None:
        return ABSENT
    return f"{number(floors):.2g}" if number(floors) < 100 else f"{number(floors):.3g}"


def error_phrase(row: Row) -> str:
    """A parity row's result in words, for the middle of a sentence."""
    if row.get("fault") and (not math.isfinite(number(row["max_abs"])) or share(row) <= 1):
        return str(row["fault"])
    if not math.isfinite(number(row["max_abs"])):
        return f"the output has {share_text(row)} in it"
    return f"{error_text(row['max_abs'])}, {tolerance_text(row)} the tolerance"


def _two_digits(value: float) -> str:
    return f"{value:.2f}" if value >= 0.0995 else f"{value:#.2g}"


def _three_digits(value: float) -> str:
    return f"{value:#.3g}" if value < 99.95 else f"{value:.0f}"

"""The sizes at which accuracy is measured: a curve of squares and a grid of heights and widths."""

from __future__ import annotations

from collections.abc import Iterable

from fcnship.sizes import Profile, Size, ladder

_SIDES = 5
_CURVE_STEPS = 2 * _SIDES - 1  # so that every other size of the curve is a cell of the grid


def accuracy_sizes(profiles: Iterable[Profile]) -> list[Size]:
    """The curve and the grid of each profile."""
    return sorted({size for profile in profiles for size in (*curve(profile), *grid(profile))})


def curve(profile: Profile) -> list[Size]:
    """Square sizes from the smallest to the largest; where no two fit, sizes of the profile's own shape."""
    low = max(profile.min.height, profile.min.width)
    high = min(profile.max.height, profile.max.width)
    if low >= high:
        return ladder(profile, _CURVE_STEPS)
    return ladder(Profile(Size(low, low), Size(low, low), Size(high, high)), _CURVE_STEPS)


def grid(profile: Profile) -> list[Size]:
    """Every one of five heights with every one of five widths, in equal ratios from min to max."""
    sides = ladder(profile, _SIDES)
    heights, widths = {size.height for size in sides}, {size.width for size in sides}
    return [Size(height, width) for height in sorted(heights) for width in sorted(widths)]

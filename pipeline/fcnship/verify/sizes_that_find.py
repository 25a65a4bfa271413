"""Sizes and batches at which faults show: edges, remainders of the stride, odd, prime and oblong ones.

A wrong pad shows at some remainders of a side by the total stride only; a swapped axis at oblong sizes only;
a mixed-up batch at batches of several images only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from fcnship.sizes import Profile, Size

SizeSet = Literal["default", "all"]
Case = tuple[Size, int]
_ODD_BETWEEN = (0.31, 0.57, 0.83)
# Above this stride a remainder of height and one of width share a size: still every one of both sides.
_SQUARES_UP_TO_STRIDE = 32


def cases_that_find(
    profiles: Sequence[Profile],
    stride: Size,
    legal: Callable[[Size], bool],
    which: SizeSet = "default",
) -> list[Case]:
    """Sizes and batches: one image everywhere, the largest batch too at min, opt and max.

    A size outside every profile is left out where the network cannot run at it.
    """
    sizes = {size for profile in profiles for size in sizes_that_find(profile, stride)}
    if which == "all":
        sizes |= {size for profile in profiles for size in every_size(profile)}
    cases = {(size, 1) for size in sizes if legal(size)}
    for profile in profiles:
        cases |= {(size, profile.batch[2]) for size in (profile.min, profile.opt, profile.max) if legal(size)}
    return sorted(cases)


def sizes_that_find(profile: Profile, stride: Size) -> list[Size]:
    """Edges, one pixel beside them, remainders of the stride, odd, prime, oblong and transposed ones."""
    low, opt, high = profile.min, profile.opt, profile.max
    odd = [_at(low, high, share, share, lambda side: side | 1) for share in _ODD_BETWEEN]
    prime = [_at(low, high, down, across, _prime) for down, across in ((0.45, 0.45), (0.35, 0.65))]
    oblong = [
        _at(low, high, down, across, lambda side: side | 1) for down, across in ((0.2, 0.7), (0.9, 0.4))
    ]
    corners = [Size(low.height, high.width), Size(high.height, low.width)]
    turned = [size.transposed for size in (*oblong, *prime) if size.transposed.within(low, high)]
    found = [low, opt, high, *_beside(low), *_beside(high), *odd, *prime, *oblong, *turned, *corners]
    found += remainders(low, high, stride)
    return sorted({size for size in found if size.height > 0 and size.width > 0})


def remainders(low: Size, high: Size, stride: Size) -> list[Size]:
    """Near the smallest size, each remainder of height and of width by the stride, as far as the range goes.

    Pairs (r, r) and (r, -r - 1); for a large stride the latter alone.
    """
    heights = range(low.height, min(low.height + stride.height - 1, high.height) + 1)
    widths = range(low.width, min(low.width + stride.width - 1, high.width) + 1)
    count = max(len(heights), len(widths))
    down = [heights[i % len(heights)] for i in range(count)]
    across = [widths[i % len(widths)] for i in range(count)]
    pairs = [*zip(down, reversed(across), strict=True)]
    if max(stride.height, stride.width) <= _SQUARES_UP_TO_STRIDE:
        pairs += [*zip(down, across, strict=True)]
    return [Size(*pair) for pair in pairs]


def every_size(profile: Profile) -> list[Size]:
    """Every size of the profile's diagonal, and as many others that have each height and each width once."""
    heights = range(profile.min.height, profile.max.height + 1)
    widths = range(profile.min.width, profile.max.width + 1)
    count = max(len(heights), len(widths))
    down = [heights[i * len(heights) // count] for i in range(count)]
    across = [widths[i * len(widths) // count] for i in range(count)]
    step = _coprime_near_golden(count)
    scattered = [across[i * step % count] for i in range(count)]
    return sorted(
        {Size(*pair) for pair in (*zip(down, across, strict=True), *zip(down, scattered, strict=True))}
    )


def outside(profiles: Iterable[Profile], cases: Iterable[Case]) -> list[Case]:
    """The cases that no profile serves: an engine has to refuse them."""
    known = list(profiles)
    return [case for case in cases if not any(profile.serves(*case) for profile in known)]


def _beside(edge: Size) -> list[Size]:
    """One pixel more and less: of both sides, and of each alone."""
    moves = [(1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)]
    return [
        Size(edge.height + down, edge.width + across)
        for down, across in moves
        if min(edge.height + down, edge.width + across) > 0
    ]


def _at(low: Size, high: Size, down: float, across: float, odd: Callable[[int], int]) -> Size:
    """A size at these shares of the range, each side moved by ``odd`` (and no further than the range)."""
    height = odd(round(low.height + (high.height - low.height) * down))
    width = odd(round(low.width + (high.width - low.width) * across))
    return Size(min(height, high.height), min(width, high.width))


def _prime(side: int) -> int:
    """The next prime from a side on."""
    return next(
        n for n in range(max(side, 2), 2 * max(side, 2)) if all(n % d for d in range(2, math.isqrt(n) + 1))
    )


def _coprime_near_golden(count: int) -> int:
    """A step that visits every index once, and spreads neighbours far apart."""
    return next(step for step in range(max(1, round(count * 0.618)), count + 2) if math.gcd(step, count) == 1)

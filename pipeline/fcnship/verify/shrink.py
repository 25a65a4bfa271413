"""Finds a small size and batch at which a variant still fails, in a bounded number of runs."""

from __future__ import annotations

from collections.abc import Callable

from fcnship.sizes import Size

MOST_RUNS = 60


def shrunk(
    fails: Callable[[Size, int], bool],
    size: Size,
    batch: int,
    *,
    smallest: Size,
    stride: Size,
    most_runs: int = MOST_RUNS,
) -> tuple[Size, int]:
    """The smallest failing (size, batch) that greedy steps find from a failing one.

    ``fails`` need not be monotone: besides halves and steps by powers of two, steps by the stride keep a
    side's remainder, at which a fault often hangs. Nothing smaller than ``smallest`` is tried.
    """
    current, tried = (size, batch), {(size, batch)}
    while True:
        for candidate in _smaller(*current, smallest, stride):
            if candidate in tried:
                continue
            if len(tried) > most_runs:
                return current
            tried.add(candidate)
            if fails(*candidate):
                current = candidate
                break
        else:
            return current


def _smaller(size: Size, batch: int, smallest: Size, stride: Size) -> list[tuple[Size, int]]:
    """Smaller cases, the smallest first; each changes the batch or one or both sides."""
    heights = _sides(size.height, smallest.height, stride.height)
    widths = _sides(size.width, smallest.width, stride.width)
    sizes = [Size(height, size.width) for height in heights] + [Size(size.height, width) for width in widths]
    sizes += [Size(height, width) for height, width in zip(heights, widths, strict=False)]
    found = [(size, count) for count in {1, batch // 2, batch - 1} if 0 < count < batch]
    found += [(each, batch) for each in sizes]
    return sorted(set(found), key=lambda case: (case[1] * case[0].pixels, case[0]))


def _sides(side: int, smallest: int, stride: int) -> list[int]:
    """Shorter sides, the shortest first."""
    same_remainder = smallest + (side - smallest) % stride
    powers = {side - 2**power for power in range(side.bit_length())}
    wanted = {smallest, same_remainder, (smallest + side) // 2, side - stride} | powers
    return sorted(shorter for shorter in wanted if smallest <= shorter < side)

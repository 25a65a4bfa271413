"""At which sizes a network must not be used: where it is right much less often than at its best."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fcnship.runners import ORIGINAL
from fcnship.sizes import Profile, Size
from fcnship.verify.proportion import interval_of_share

Row = Mapping[str, Any]
_BELOW_BEST = 0.05


def unfit_sizes(rows: Sequence[Row]) -> dict[str, list[Size]]:
    """For each variant, the sizes that it must not be used at.

    There its accuracy is below the floor, where one was asked for; or five points below the original's best,
    and by more than the number of images explains (their 95 % intervals do not meet).
    """
    best = best_of(rows)
    if best is None:
        return {}
    unfit: dict[str, list[Size]] = {}
    for row in rows:
        if _is_unfit(row, best):
            unfit.setdefault(row["variant"], []).append(_size(row))
    return {variant: sorted(sizes) for variant, sizes in unfit.items()}


def best_of(rows: Iterable[Row]) -> Row | None:
    """The original's row whose accuracy is surely the highest; of equal ones that of the smallest image."""
    own = [row for row in rows if row["variant"] == ORIGINAL]
    return max(own, key=lambda row: (_interval(row)[0], -_size(row).pixels), default=None)


def must_not_use(rows: Sequence[Row], profiles: Sequence[Profile]) -> list[dict[str, Any]]:
    """The report's ``must_not_use``: sentences that say plainly at which sizes not to use a network.

    Variants that share their sizes share a sentence; the original's sizes count for all.
    """
    unfit, best = unfit_sizes(rows), best_of(rows)
    own = frozenset(unfit.get(ORIGINAL, ()))
    groups: dict[frozenset[Size], list[str]] = {}
    for variant in sorted(unfit, key=lambda variant: variant != ORIGINAL):
        more = frozenset(unfit[variant]) - (own if variant != ORIGINAL else frozenset())
        if more:
            groups.setdefault(more, []).append(variant)
    found = _single_size(profiles)
    for more, variants in groups.items():
        assert best is not None
        text = _sentence(variants, more, [row for row in rows if row["variant"] == variants[0]], best)
        places = [[size.height, size.width] for size in sorted(more)]
        found.append({"text": text, "variants": variants, "sizes": places})
    return found


def _single_size(profiles: Sequence[Profile]) -> list[dict[str, Any]]:
    """What a network that was built for single sizes must not be used at: all others."""
    if not profiles or any(profile.min != profile.max for profile in profiles):
        return []
    sizes = " and ".join(str(size) for size in sorted({profile.min for profile in profiles}))
    text = (
        f"Do not use the network at any size but {sizes}: it was built for no other, and measured at no other"
    )
    return [{"text": text, "variants": [], "sizes": []}]


def _sentence(variants: Sequence[str], sizes: Collection[Size], rows: Sequence[Row], best: Row) -> str:
    who = "the network" if ORIGINAL in variants else " and ".join(variants)
    found = [row["accuracy"] for row in rows if _size(row) in sizes]
    measured = {_size(row) for row in rows}
    fit = measured - set(sizes)
    low, high = f"{min(found) * 100:.1f} %", f"{max(found) * 100:.1f} %"
    right = low if low == high else f"{low} to {high}"
    where = listed(sizes, fit)
    if len(ranges(fit, sizes)) == 1 < len(ranges(sizes, fit)):
        where = f"any size but {listed(fit, sizes)}"
    return (
        f"Do not use {who} at {where}: it is right {right} of the time there, and "
        f"{best['accuracy'] * 100:.1f} % at its best, {_size(best)} ({len(measured)} sizes were measured)"
    )


def listed(sizes: Collection[Size], others: Collection[Size]) -> str:
    """``36x36, 28x47 to 224x224 and 47x28``: every measured size in them is one of ``sizes``."""
    texts = [str(low) if low == high else f"{low} to {high}" for low, high in ranges(sizes, others)]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def ranges(sizes: Collection[Size], others: Collection[Size]) -> list[tuple[Size, Size]]:
    """Few ranges of heights and widths that hold all of ``sizes`` and none of ``others``.

    Each time the range that holds most of those that are left is taken; of equal ones the tightest.
    """
    candidates = {
        (low, high): frozenset(size for size in sizes if size.within(low, high))
        for low in sizes
        for high in sizes
        if low.within(Size(1, 1), high) and not any(other.within(low, high) for other in others)
    }
    left, chosen = set(sizes), []
    while left:
        taken = max(
            candidates, key=lambda range_: (len(candidates[range_] & left), -_area(*range_), range_[0])
        )
        left -= candidates[taken]
        chosen.append(taken)
    return sorted(chosen)


def _area(low: Size, high: Size) -> int:
    return (high.height - low.height + 1) * (high.width - low.width + 1)


def _is_unfit(row: Row, best: Row) -> bool:
    if not row.get("passed", True):
        return True
    if row["accuracy"] >= best["accuracy"] - _BELOW_BEST:
        return False
    return _interval(row)[1] < _interval(best)[0]


def _interval(row: Row) -> tuple[float, float]:
    return interval_of_share(row["accuracy"], row["images"])


def _size(row: Row) -> Size:
    return Size(row["height"], row["width"])

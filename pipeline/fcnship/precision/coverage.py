"""The parts of the profiles' ranges, and how many calibration images lie in each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fcnship.errors import DataRefused
from fcnship.sizes import Profile, Size, covering, profile_serving, short

_MOST_CELLS = 8
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Part number ``place`` of a profile's range, cut into ``count`` parts of equal ratios in pixels."""

    profile: Profile
    place: int
    count: int

    def __str__(self) -> str:
        return f"{short(self._at(self.place))}-{short(self._at(self.place + 1))}"

    def holds(self, size: Size) -> bool:
        """Whether a size lies in this part."""
        return size.within(self.profile.min, self.profile.max) and _place(self.profile, size) == self.place

    def _at(self, place: int) -> Size:
        low, high, share = self.profile.min, self.profile.max, place / self.count
        return Size(
            round(float(low.height * (high.height / low.height) ** share)),
            round(float(low.width * (high.width / low.width) ** share)),
        )


def cells_of(profile: Profile) -> list[Cell]:
    """A profile's range in parts of equal ratios: one more than its side doubles, and eight at most.

    Sizes that double, like 28, 56, 112, 224, have one in each.
    """
    count = _count(profile)
    return [Cell(profile=profile, place=place, count=count) for place in range(count)]


def group_of(profiles: Sequence[Profile], size: Size) -> Cell | None:
    """The part of a size in the profile that serves it; None outside all profiles."""
    profile = profile_serving(profiles, size)
    return None if profile is None else cells_of(profile)[_place(profile, size)]


def outside(profiles: Sequence[Profile], size: Size) -> str:
    """Why no profile takes a size; '' if one does."""
    if any(size.within(profile.min, profile.max) for profile in profiles):
        return ""
    low, high = covering(profiles)
    return (
        f"{size} lies outside {short(low)}-{short(high)}" if len(profiles) == 1 else f"{size} has no profile"
    )


def _count(profile: Profile) -> int:
    doublings = math.log2(profile.max.pixels / profile.min.pixels) / 2
    return min(round(doublings) + 1, _MOST_CELLS)


def _place(profile: Profile, size: Size) -> int:
    low, high = profile.min.pixels, profile.max.pixels
    if low == high:
        return 0
    count = _count(profile)
    return min(int(math.log(size.pixels / low) / math.log(high / low) * count), count - 1)


def check_sizes(sizes: Iterable[Size], profiles: Sequence[Profile]) -> None:
    """Refuse sizes that no profile takes.

    Raises:
        DataRefused: there are some.
    """
    wrong = [why for why in (outside(profiles, size) for size in sorted(set(sizes))) if why]
    if wrong:
        raise DataRefused(
            f"calibration images have sizes that no profile takes: {listed(wrong)}",
            cause="the recipe names other sizes than --profile, or takes the data as it comes",
            next="write sizes = 'profile' into the recipe, or widen --profile",
        )


def listed(words: Sequence[str]) -> str:
    """The first few, with commas, and how many more there are."""
    more = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {more} more" if more > 0 else "")

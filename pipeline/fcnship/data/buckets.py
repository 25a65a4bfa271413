"""Buckets: images of nearly one shape, in order of their size, so that a batch of neighbours has one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.data.dataset import SHAPE_TOLERANCE
from fcnship.data.drawn_size import draw_size, share_of_range
from fcnship.recipe import Training
from fcnship.sizes import Profile, Size

Array = np.ndarray[Any, Any]
# A batch is drawn from so many times its images, those that are nearest in size.
_CHOICE = 4
_OWN_SIZE_SHARE = 0.5


@dataclass(frozen=True)
class Reach:
    """The least and the most (logarithms) by which a size may be scaled so that a profile holds it."""

    profile: Profile
    low: float
    high: float


def reaches(own: Size, profiles: Sequence[Profile]) -> list[Reach]:
    """For each profile that holds a shape: how far it may be scaled.

    A profile holds a shape whose sides, both scaled by one factor, lie within it, but for the tolerance.
    """
    found = []
    log_own = np.log([own.height, own.width])
    for profile in profiles:
        least = float(np.max(np.log([profile.min.height, profile.min.width]) - log_own))
        most = float(np.min(np.log([profile.max.height, profile.max.width]) - log_own))
        if least <= most + math.log(SHAPE_TOLERANCE):
            middle = (least + most) / 2
            found.append(Reach(profile, min(least, middle), max(most, middle)))
    return found


def scaled(own: Size, factor: float, profile: Profile) -> Size:
    """A size times a factor (a logarithm), kept inside the profile where rounding would leave it."""
    height, width = (round(side * math.exp(factor)) for side in (own.height, own.width))
    low, high = profile.min, profile.max
    return Size(
        min(max(height, low.height), high.height),
        min(max(width, low.width), high.width),
    )


class Buckets:
    """The images of a training set by shape, and in a bucket by size."""

    def __init__(self, sides: Array, profiles: Sequence[Profile]) -> None:
        self._sides, self._profiles = sides, profiles
        self.places = buckets_of(sides)
        self._bucket, self._rank = np.empty((2, len(sides)), np.int64)
        for number, bucket in enumerate(self.places):
            self._bucket[bucket], self._rank[bucket] = number, np.arange(len(bucket))

    def draw_size(self, place: int, rng: np.random.Generator, training: Training, reach: float = 1.0) -> Size:
        """A size of the shape of the image at ``place``, from a profile drawn from those that hold it.

        Half of the time it is the image's own size, where the profile has it; else any of the profile's, as
        ``drawn_size.draw_size`` draws it. A shape that no profile holds gets a size of another shape.
        """
        own = Size(*map(int, self._sides[place]))
        found = reaches(own, self._profiles)
        if not found:
            return draw_size(self._profiles, rng, training, reach)
        held_by = found[int(rng.integers(len(found)))]
        low, high = held_by.low, held_by.low + (held_by.high - held_by.low) * reach
        if rng.random() < _OWN_SIZE_SHARE and low <= 0 <= high:
            return scaled(own, 0.0, held_by.profile)
        factor = low + (high - low) * share_of_range(high - low, rng, training.near_largest)
        return scaled(own, factor, held_by.profile)

    def neighbours(self, place: int, count: int, rng: np.random.Generator) -> Array:
        """Up to ``count`` images of one bucket: the one at ``place``, and others of nearly its size."""
        bucket, rank = self.places[self._bucket[place]], int(self._rank[place])
        pool = min(len(bucket), _CHOICE * count)
        start = min(max(rank - pool // 2, 0), len(bucket) - pool)
        others = np.delete(np.arange(start, start + pool), rank - start)
        chosen = rng.choice(others, min(count, pool) - 1, replace=False)
        drawn: Array = bucket[np.append(rank, chosen)]
        return drawn


def buckets_of(sides: Array) -> list[Array]:
    """The places of images of nearly the same shape, each bucket in order of size.

    The shapes of a bucket differ by ``SHAPE_TOLERANCE`` at most: it is a cell of a grid over the logarithm of
    height by width, and squares lie in the middle of one.
    """
    logs = np.log(sides.astype(np.float64))
    cells = np.rint((logs[:, 0] - logs[:, 1]) / math.log(SHAPE_TOLERANCE)).astype(np.int64)
    # By pixels, then by place: the order hangs on nothing else.
    order = np.argsort(sides.prod(axis=1), kind="stable")
    return [order[cells[order] == cell] for cell in np.unique(cells)]

"""Draws the images that calibrate: from the calibration part of the data, else from the training part; never
twice, at their sizes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fcnship.data import Dataset
from fcnship.data.collection import Images, at_size, sha256_of, sha256_of_image, sides_of
from fcnship.data.images import resize, to_range
from fcnship.errors import DataRefused
from fcnship.precision.calibration import CalibrationRecipe
from fcnship.precision.coverage import check_sizes
from fcnship.sizes import Profile, Size, ladder

Array = np.ndarray[Any, Any]
Range = tuple[float, float]
HELD_OUT = 64
_ASPECT = 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationImage:
    """One image of the data, (height, width, channels) as it came, and the size at which it is used.

    ``content`` is its hash where ``pixels`` have that size already.
    """

    pixels: Array
    size: Size
    content: str = ""

    @cached_property
    def sha256(self) -> str:
        """The hash of the image as it came: the same picture at two sizes is one image."""
        return self.content or sha256_of_image(self.pixels)

    @property
    def blank(self) -> bool:
        """Whether all pixels are the same."""
        return bool((self.pixels == self.pixels.flat[0]).all())

    def fed(self, data_range: Range, value_range: Range) -> Array:
        """(1, height, width, channels) float32, as the network gets it."""
        image = self.pixels[None]
        if self.size != Size(*image.shape[1:3]):
            image = resize(image, self.size)
        return to_range(image, data_range, value_range)


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationSet:
    """The images that calibrate, and others, never tested with, that are held out to check the ranges on."""

    data: Dataset
    profiles: Sequence[Profile]
    images: Sequence[CalibrationImage]
    held_out: Sequence[CalibrationImage]


def draw(recipe: CalibrationRecipe, data: Dataset, profiles: Sequence[Profile]) -> CalibrationSet:
    """As many images as the recipe asks for, and up to 64 to hold out, at sizes over the whole range.

    Raises:
        DataRefused: there are too few different images; or ``data`` has sizes that no profile takes.
    """
    used, held_out = _drawn(recipe, data)
    sizes = _sizes(recipe, profiles, used)
    if recipe.sizes == "data":
        check_sizes(sizes, profiles)  # before photos far larger than the profiles are all decoded
    return CalibrationSet(
        data=data,
        profiles=profiles,
        images=_at(used, sizes, data),
        held_out=_at(held_out, spread_sizes(profiles, len(held_out), recipe.seed + 1), data),
    )


def check_enough(recipe: CalibrationRecipe, data: Dataset) -> None:
    """The data have as many different images as the recipe asks for: better told before a training.

    Raises:
        DataRefused: they have not.
    """
    _drawn(recipe, data)


def _drawn(recipe: CalibrationRecipe, data: Dataset) -> tuple[list[_Place], list[_Place]]:
    """The images that calibrate, and those that are held out."""
    apart = data.x_calibration is not None
    source = data.x_train if data.x_calibration is None else data.x_calibration
    different = _different([source, data.x_train] if apart else [source], recipe.seed)
    drawn = list(itertools.islice(different, recipe.images))
    used = [one for one in drawn if one.images is source]
    held_out = list(itertools.islice(different, HELD_OUT))
    if not held_out or len(used) < len(drawn):
        raise _too_few(recipe, data, len(used), "calibration" if apart else "training")
    return used, held_out


def _too_few(recipe: CalibrationRecipe, data: Dataset, found: int, part: str) -> DataRefused:
    # Beside a calibration part, what is held out comes from the training part.
    fewer = found if part == "calibration" else max(found - HELD_OUT, found // 2)
    ask = f"ask for fewer in a copy of {recipe.path}: images = {fewer}"
    return DataRefused(
        f"the calibration recipe {recipe.name} asks for {recipe.images} images and some to hold out, "
        f"and the {part} part of {data.name} has {found} different ones",
        cause="the data set is small, or holds the same image many times",
        next=ask if fewer else f"give more {part} images: --data, a folder or PATH.npz",
    )


@dataclass(frozen=True)
class _Place:
    """An image by the set that it is in, and its place there."""

    images: Images
    place: int


def _different(sets: Sequence[Images], seed: int) -> Iterator[_Place]:
    """The images of one set after the other, in an order that the seed shuffles, no content twice."""
    seen: set[str] = set()
    for images in sets:
        for place in map(int, np.random.default_rng(seed).permutation(len(images))):
            sha256 = sha256_of(images, place)
            if sha256 not in seen:
                seen.add(sha256)
                yield _Place(images, place)


def _at(places: Sequence[_Place], sizes: Sequence[Size], data: Dataset) -> list[CalibrationImage]:
    """Images that must keep their shapes are brought to their sizes at once: no large picture is held."""
    if not data.keeps_shape:
        return [
            CalibrationImage(pixels=one.images[one.place], size=size)
            for one, size in zip(places, sizes, strict=True)
        ]
    found = []
    for one, size in zip(places, sizes, strict=True):
        fill, stretch = data.value_range[0], data.most_stretch
        pixels = at_size(one.images, [one.place], size, fill=fill, most_stretch=stretch)[0]
        found.append(CalibrationImage(pixels=pixels, size=size, content=sha256_of(one.images, one.place)))
    return found


def _sizes(recipe: CalibrationRecipe, profiles: Sequence[Profile], used: Sequence[_Place]) -> list[Size]:
    if recipe.sizes == "profile":
        return spread_sizes(profiles, recipe.images, recipe.seed)
    if recipe.sizes == "data":
        return [Size(*map(int, sides_of(one.images)[one.place])) for one in used]
    steps = (
        [size for profile in profiles for size in ladder(profile)]
        if recipe.sizes == "ladder"
        else list(recipe.sizes)
    )
    return [steps[place % len(steps)] for place in range(recipe.images)]


def spread_sizes(profiles: Sequence[Profile], count: int, seed: int) -> list[Size]:
    """Sizes in equal ratios over each profile, both ends included, stretched up to 1.5 to 1 between them."""
    rng = np.random.default_rng((seed, count))
    shares = [len(range(place, count, len(profiles))) for place in range(len(profiles))]
    return [
        _stretched(profile, place / max(share - 1, 1), rng)
        for profile, share in zip(profiles, shares, strict=True)
        for place in range(share)
    ]


def _stretched(profile: Profile, share: float, rng: np.random.Generator) -> Size:
    low = np.log([profile.min.height, profile.min.width])
    high = np.log([profile.max.height, profile.max.width])
    half = 0.0 if share in (0, 1) else rng.uniform(-0.5, 0.5) * math.log(_ASPECT)
    height, width = np.exp(np.clip(low + (high - low) * share + np.array([half, -half]), low, high))
    return Size(round(float(height)), round(float(width)))

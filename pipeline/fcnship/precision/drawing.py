"""Draws the images that calibrate: from the training part of the data alone, none twice, at their sizes."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fcnship.data import Dataset
from fcnship.data.images import resize, to_range
from fcnship.errors import DataRefused
from fcnship.precision.calibration import CalibrationRecipe
from fcnship.sizes import Profile, Size, ladder

Array = np.ndarray[Any, Any]
Range = tuple[float, float]
HELD_OUT = 64
_ASPECT = 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationImage:
    """One image of the data, (height, width, channels) as it came, and the size at which it is used."""

    pixels: Array
    size: Size

    @cached_property
    def sha256(self) -> str:
        """The hash of the image as it came: the same picture at two sizes is one image."""
        return sha256_of_image(self.pixels)

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


def sha256_of_image(pixels: Array) -> str:
    """The SHA-256 of an image's shape and numbers."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationSet:
    """The images that calibrate, and others of the training part that are held out to check the ranges on."""

    data: Dataset
    profiles: Sequence[Profile]
    images: Sequence[CalibrationImage]
    held_out: Sequence[CalibrationImage]


def draw(recipe: CalibrationRecipe, data: Dataset, profiles: Sequence[Profile]) -> CalibrationSet:
    """As many images as the recipe asks for, and up to 64 to hold out, at sizes over the whole range.

    Raises:
        DataRefused: the training part has too few different images.
    """
    pictures = _different(data.x_train, recipe.seed)
    used = list(itertools.islice(pictures, recipe.images))
    held_out = list(itertools.islice(pictures, HELD_OUT))
    if not held_out:
        fewer = max(len(used) - HELD_OUT, len(used) // 2)
        ask = f"ask for fewer in a copy of {recipe.path}: images = {fewer}"
        raise DataRefused(
            f"the calibration recipe {recipe.name} asks for {recipe.images} images and some to hold out, "
            f"and the training part of {data.name} has {len(used)} different ones",
            cause="the data set is small, or holds the same image many times",
            next=ask if fewer else "give more training images: --data PATH.npz",
        )
    return CalibrationSet(
        data=data,
        profiles=profiles,
        images=_at(used, _sizes(recipe, profiles, used[0])),
        held_out=_at(held_out, spread_sizes(profiles, len(held_out), recipe.seed + 1)),
    )


def _different(images: Array, seed: int) -> Iterator[Array]:
    """The images in an order that the seed shuffles, none of the same content twice."""
    seen: set[str] = set()
    for place in np.random.default_rng(seed).permutation(len(images)):
        sha256 = sha256_of_image(images[place])
        if sha256 not in seen:
            seen.add(sha256)
            yield images[place]


def _at(pictures: Sequence[Array], sizes: Sequence[Size]) -> list[CalibrationImage]:
    return [CalibrationImage(pixels=pixels, size=size) for pixels, size in zip(pictures, sizes, strict=True)]


def _sizes(recipe: CalibrationRecipe, profiles: Sequence[Profile], first: Array) -> list[Size]:
    if recipe.sizes == "profile":
        return spread_sizes(profiles, recipe.images, recipe.seed)
    if recipe.sizes == "data":
        return [Size(*first.shape[:2])] * recipe.images
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

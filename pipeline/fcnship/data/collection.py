"""Images as a data set holds them: an array, or files of a folder that are decoded when they are asked for.

Both have a length and give an image (height, width, channels) by its place. The functions here say what else
a stage may ask of either; nothing else looks inside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcnship.data.cache import DecodedImages
from fcnship.data.decode import BadImage, Picture, changed, decoded, pixels_of, reduction_for
from fcnship.data.folder import shown
from fcnship.data.images import corners_of, fitted, unstretched
from fcnship.errors import DataRefused
from fcnship.sizes import Size

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]
# An image is decoded no smaller than this many times the size that is wanted: the rest is averaged by us.
_REDUCING_GAP = 2


class FolderImages:
    """Files of a folder, known by what they showed when all were looked at; a few stay decoded."""

    def __init__(
        self, root: Path, files: Sequence[tuple[str, Picture]], channels: int, cache: DecodedImages
    ) -> None:
        self.channels = channels
        self._root, self._files, self._cache = root, tuple(files), cache
        sides = [(picture.size.height, picture.size.width) for _, picture in self._files]
        self.sides = np.array(sides, np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: int) -> Array:
        return pixels_of(self._decoded(place))

    def __iter__(self) -> Iterator[Array]:
        return (self[place] for place in range(len(self)))

    def part(self, places: Sequence[int] | Array) -> FolderImages:
        """Some of them, in that order."""
        files = [self._files[place] for place in places]
        return FolderImages(self._root, files, self.channels, self._cache)

    def sha256(self, place: int) -> str:
        """The hash of an image's pixels, known already."""
        return self._files[place][1].sha256

    def at_size(
        self,
        places: Sequence[int] | Array,
        size: Size,
        *,
        fill: float,
        most_stretch: float,
        at: Array | None = None,
        affine: Array | None = None,
    ) -> Array:
        """(count, height, width, channels) uint8; as the function ``at_size``.

        ``affine``: (count, 2, 3) maps from output to input coordinates (``images.random_affine``), to change
        each image by once it has the size.
        """
        shares = np.full((len(places), 2), 0.5) if at is None else at
        made = np.empty((len(places), size.height, size.width, self.channels), np.uint8)
        for number, place in enumerate(places):
            image = self._placed(int(place), size, int(fill), most_stretch, shares[number])
            made[number] = pixels_of(image if affine is None else changed(image, affine[number], int(fill)))
        return made

    def _placed(self, place: int, size: Size, fill: int, most_stretch: float, at: Array) -> Image:
        from PIL import Image as pillow

        own = self._files[place][1].size
        inner = unstretched(own, size, most_stretch)
        least = Size(inner.height * _REDUCING_GAP, inner.width * _REDUCING_GAP)
        image = self._decoded(place, reduction_for(own, least))
        if image.size != (inner.width, inner.height):
            # Bilinear over all pixels that an output pixel covers, as images.resize does it.
            image = image.resize((inner.width, inner.height), pillow.Resampling.BILINEAR)
        if inner == size:
            return image
        canvas = pillow.new(image.mode, (size.width, size.height), (fill,) * self.channels)
        ((top, left),) = corners_of(size, inner, at[None])
        canvas.paste(image, (left, top))
        return canvas

    def _decoded(self, place: int, reduction: int = 1) -> Image:
        path, picture = self._files[place]
        try:
            return self._cache.get(
                (path, reduction), lambda: decoded(self._root / path, picture, self.channels, reduction)
            )
        except BadImage as why:
            raise DataRefused(
                f"{self._root / shown(path)} {why}",
                cause="it could be read when the work began: it was changed or removed meanwhile",
                next="leave the folder alone while fcnship works, and run the same command again",
            ) from None


Images = Array | FolderImages


def channels_of(images: Images) -> int:
    """Channels of every image."""
    return images.channels if isinstance(images, FolderImages) else int(images.shape[3])


def sides_of(images: Images) -> Array:
    """(count, 2) heights and widths."""
    if isinstance(images, FolderImages):
        return images.sides
    return np.broadcast_to(np.array(images.shape[1:3], np.int64), (len(images), 2))


def one_size(images: Images) -> Size | None:
    """The size that all have; None where they differ."""
    sides = sides_of(images)
    return Size(*map(int, sides[0])) if (sides == sides[0]).all() else None


def typical_size(images: Images) -> Size:
    """The size that all have, or the middle one of the heights and of the widths."""
    height, width = np.median(sides_of(images), axis=0)
    return Size(round(float(height)), round(float(width)))


def part_of(images: Images, places: Sequence[int] | Array) -> Images:
    """Some of the images, in that order."""
    return images.part(places) if isinstance(images, FolderImages) else images[np.asarray(places, np.int64)]


def sha256_of_image(pixels: Array) -> str:
    """The SHA-256 of an image's shape and numbers."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()


def sha256_of(images: Images, place: int) -> str:
    """A hash of an image's content."""
    return images.sha256(place) if isinstance(images, FolderImages) else sha256_of_image(images[place])


def at_size(
    images: Images,
    places: Sequence[int] | Array,
    size: Size,
    *,
    fill: float,
    most_stretch: float,
    at: Array | None = None,
) -> Array:
    """(count, height, width, channels): images brought to one size, stretched ``most_stretch`` at most.

    What is left then is ``fill``; the image lies in its middle, or ``at`` (count, 2) shares of it. The values
    are the data's own: float32, or uint8 from a folder.
    """
    if isinstance(images, FolderImages):
        return images.at_size(places, size, fill=fill, most_stretch=most_stretch, at=at)
    return fitted(images[np.asarray(places, np.int64)], size, fill, most_stretch, at)

"""Image files on a device: PGM and PPM by hand, PNG, JPEG, BMP and WebP by Pillow where it is installed."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcnship.errors import DataRefused, EnvironmentLacks, ProfileRefused
from fcnship.sizes import Size

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CheckSize = Callable[[Size], object]
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
# What Pillow raises for files that are no whole images.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error),
    *(KeyError, IndexError, TypeError, MemoryError, OverflowError),
)
# Width, height and maximum of a binary PGM or PPM; comments run from # to the end of the line.
_PNM = re.compile(rb"P([56])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s", re.ASCII)
_PNM_HEADER_BYTES = 4096
_PNG, _DEPTH_AT = b"\x89PNG\r\n\x1a\n", 24
_WIDE = "it has 16 bits a channel or more"
_ORIENTATION = 0x0112
# EXIF's orientations: what of (axes exchanged, rows reversed, columns reversed) brings an image upright.
_ON_ITS_SIDE, _BOTTOM_UP, _MIRRORED = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)
_NEXT = "give a PNG, JPEG, PGM or PPM image of 8 bits a channel, or an .npz with an array `image`"


def read_picture(path: Path, channels: int, check: CheckSize) -> Array:
    """One image, (height, width, channels) uint8, grey or RGB as the network wants it.

    ``check`` is told the size before anything is decoded, and may raise. As for the network's training, an
    image is turned upright and what is transparent is laid on white.

    Raises:
        DataRefused: it is damaged, not of 8 bits, animated, or the network takes neither grey nor RGB.
        EnvironmentLacks: Pillow is needed and not installed.
    """
    if channels not in (1, 3):
        raise refused(path, f"the network takes {channels} channels, an image file has 1 or 3")
    try:
        with path.open("rb") as file:
            head = file.read(_PNM_HEADER_BYTES)
    except OSError as error:
        raise refused(path, error.strerror or str(error)) from None
    if not head:
        raise refused(path, "it is empty")
    if head[:2] in (b"P5", b"P6"):
        return _as_channels(_pnm(path, head, check), channels)
    if head.startswith(_PNG) and head[_DEPTH_AT : _DEPTH_AT + 1] == b"\x10":
        # Pillow brings some PNG files of 16 bits to 8 without a word.
        raise refused(path, _WIDE)
    return _by_pillow(path, channels, check)


def refused(path: Path, cause: str) -> DataRefused:
    """An image that cannot be used."""
    return DataRefused(f"{path} cannot be classified", cause=cause, next=_NEXT)


def _pnm(path: Path, head: bytes, check: CheckSize) -> Array:
    import numpy as np

    match = _PNM.match(head)
    if match is None:
        raise refused(path, "its PGM or PPM header is damaged")
    width, height, most = (int(match[i]) for i in (2, 3, 4))
    depth = 3 if match[1] == b"6" else 1
    if most != 255 or not (width and height):
        raise refused(path, f"it is {height}x{width} with values to {most}; 255 is what 8 bits hold")
    check(Size(height, width))
    count = height * width * depth
    with path.open("rb") as file:
        file.seek(match.end())
        data = file.read(count)
    if len(data) != count:
        raise refused(path, f"it has {len(data)} of {count} values")
    return np.frombuffer(data, np.uint8).reshape(height, width, depth)


def _as_channels(pixels: Array, channels: int) -> Array:
    """Grey as three equal channels, or RGB as its luma (ITU-R 601-2, in Pillow's whole numbers)."""
    import numpy as np

    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    weights = np.array([19595, 38470, 7471], np.int64)
    return ((pixels.astype(np.int64) @ weights + 0x8000) >> 16)[..., None].astype(np.uint8)


def _by_pillow(path: Path, channels: int, check: CheckSize) -> Array:
    import numpy as np

    try:
        from PIL import Image
    except ImportError:
        raise EnvironmentLacks(
            f"{path} needs Pillow, which is not installed here",
            cause="without it fcnship-device reads .npz, .npy, .pgm and .ppm alone",
            next="sudo apt-get install python3-pil, or convert the image to PGM or PPM",
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata are no news
            with Image.open(path, formats=_FORMATS) as image:
                _check_plain(path, image)
                orientation = _checked_orientation(image, check)
                pixels = np.asarray(_plain(image, channels))
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise refused(path, f"it cannot be decoded: {error}") from error
    return _upright(pixels if pixels.ndim == 3 else pixels[..., None], orientation)


def _checked_orientation(image: Any, check: CheckSize) -> Any:
    """The orientation; the size has passed the check, and the image is decoded no earlier than that."""
    stored, turned = Size(image.height, image.width), Size(image.width, image.height)
    if image.format == "PNG":  # its metadata may stand behind its pixels
        if not _passes(turned, check):
            check(stored)
        image.load()
    orientation = _orientation(image)
    check(turned if orientation in _ON_ITS_SIDE else stored)
    return orientation


def _passes(size: Size, check: CheckSize) -> bool:
    try:
        check(size)
    except ProfileRefused:
        return False
    return True


def _orientation(image: Any) -> Any:
    """How a camera was held, 1 to 8; 1 (upright) where nothing readable says it."""
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return 1


def _upright(pixels: Array, orientation: Any) -> Array:
    """Turned and mirrored as EXIF says it; anything but 2 to 8 is upright."""
    if orientation in _ON_ITS_SIDE:
        pixels = pixels.swapaxes(0, 1)
    if orientation in _BOTTOM_UP:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in _MIRRORED else pixels


def _check_plain(path: Path, image: Any) -> None:
    if getattr(image, "n_frames", 1) > 1 and image.format in ("PNG", "WEBP"):
        raise refused(path, f"it is animated ({image.n_frames} frames)")
    if image.mode.startswith(("I", "F")):
        raise refused(path, _WIDE)


def _plain(image: Any, channels: int) -> Any:
    from PIL import Image

    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("RGB" if channels == 3 else "L")

"""Image files: what can be used, what is wrong with others, and their pixels. Decoded by Pillow."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcnship.sizes import Size

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

Array = np.ndarray[Any, Any]
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_ORIENTATION = 0x0112
_PNG, _DEPTH_AT = b"\x89PNG\r\n\x1a\n", 24
_WIDE_MODES = ("I", "F")
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_BACKGROUND = (255, 255, 255, 255)
# What Pillow raises on files that are damaged or made to do harm.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError),
    *(KeyError, IndexError, TypeError, OverflowError),
)


class BadImage(Exception):
    """A file that cannot be used as an image; the text says why, as in "is empty (0 bytes)"."""


@dataclass(frozen=True)
class Picture:
    """What is known of an image file once it was decoded.

    ``size`` is that of the upright image; ``sha256`` is of its pixels in RGB, so that the same picture in two
    formats, or as grey and as colour, is one. ``transparent``: it was laid on white.
    """

    size: Size
    orientation: int
    sha256: str
    colour: bool
    transparent: bool


def examined(path: Path) -> Picture:
    """Decode a file once and say what it is.

    Raises:
        BadImage: it is empty, damaged, animated, too large, has 16 bits a channel or is in another format.
    """
    with _opened(path) as image:
        # First of all: metadata of a PNG may stand at its end, and what is broken is passed over there.
        image.load()
        orientation = _orientation(image)
        transparent = _shows_through(image)
        plain = _upright(_plain(image), orientation)
        if transparent and _is_blank(plain):
            raise BadImage("is blank on white: what it shows is white, or wholly transparent")
        digest = hashlib.sha256(repr(plain.size).encode())
        digest.update(plain.convert("RGB").tobytes())
        return Picture(
            size=Size(plain.height, plain.width),
            orientation=orientation,
            sha256=digest.hexdigest(),
            colour=plain.mode == "RGB",
            transparent=transparent,
        )


def decoded(path: Path, picture: Picture, channels: int, reduction: int = 1) -> Image:
    """The upright image in grey (1 channel) or RGB (3), at a half, a quarter or an eighth if that is asked.

    A JPEG is decoded to that size, in less time than it takes whole; others are averaged.

    Raises:
        BadImage: the file was changed since it was examined.
    """
    with _opened(path) as image:
        whole = image.size
        image.draft(None, (max(whole[0] // reduction, 1), max(whole[1] // reduction, 1)))
        plain = _upright(_plain(image), picture.orientation)
        plain = plain.convert("RGB" if channels == 3 else "L")
        return plain.reduce(reduction) if reduction > 1 and image.size == whole else plain


def reduction_for(own: Size, least: Size) -> int:
    """The most, of 1, 2, 4 and 8, by which an image can be reduced to no less than a size."""
    fitting = (n for n in (8, 4, 2) if own.height // n >= least.height and own.width // n >= least.width)
    return next(fitting, 1)


def pixels_of(image: Image) -> Array:
    """(height, width, channels) uint8."""
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def changed(image: Image, affine: Array, fill: int) -> Image:
    """The image shifted, scaled, turned and sheared; ``fill`` lies outside it.

    ``affine`` (2, 3) maps output to input coordinates, rows first, both from -1 to 1 over the image.
    """
    from PIL import Image as pillow

    (e, d, f), (b, a, c) = affine.astype(float)
    width, height = image.size
    # Pillow counts in pixels, columns first.
    across = (a, b * width / height, (1 + c - a - b) * width / 2)
    down = (d * height / width, e, (1 + f - d - e) * height / 2)
    return image.transform(
        image.size,
        pillow.Transform.AFFINE,
        (*across, *down),
        pillow.Resampling.BILINEAR,
        fillcolor=(fill,) * len(image.getbands()) if image.mode != "L" else fill,
    )


@contextmanager
def careful() -> Iterator[None]:
    """While files are examined, in any thread: too large an image is an error, odd metadata no news."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """The file, opened and known to hold one picture of 8 bits a channel."""
    from PIL import Image, UnidentifiedImageError

    try:
        if not path.stat().st_size:
            raise BadImage("is empty (0 bytes)")
        with Image.open(path, formats=_FORMATS) as image:
            _check(path, image)
            yield image
    except UnidentifiedImageError:
        raise BadImage("is no PNG, JPEG, BMP or WebP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"is too large: {error}") from None
    except _BROKEN as error:
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadImage(f"cannot be decoded: {told}") from None


def _check(path: Path, image: Image) -> None:
    frames = getattr(image, "n_frames", 1)
    # A camera's JPEG may hold more pictures behind the first (MPO): they are no animation.
    if frames > 1 and image.format in ("PNG", "WEBP"):
        raise BadImage(f"is animated ({frames} frames)")
    with path.open("rb") as file:
        header = file.read(_DEPTH_AT + 1)
    # Pillow brings some PNG files of 16 bits to 8 without a word.
    deep = header.startswith(_PNG) and header[_DEPTH_AT:] == b"\x10"
    if deep or image.mode.startswith(_WIDE_MODES):
        raise BadImage("has 16 bits a channel or more")


def _orientation(image: Image) -> int:
    """How a camera was held, 1 to 8; 1 (upright) where nothing readable says it."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(image: Image, orientation: int) -> Image:
    if orientation == 1:
        return image
    from PIL.Image import Transpose

    turns: dict[int, Transpose] = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation])


def _has_alpha(image: Image) -> bool:
    return image.mode in _ALPHA_MODES or "transparency" in image.info


def _shows_through(image: Image) -> bool:
    if not _has_alpha(image):
        return False
    least, _ = image.convert("RGBA").getchannel("A").getextrema()
    return bool(np.less(least, 255).any())


def _plain(image: Image) -> Image:
    """In mode L or RGB. What is transparent shows white behind it, as in most viewers."""
    from PIL import Image as pillow

    if _has_alpha(image):
        grey = image.mode in ("1", "L", "LA", "La")
        paper = pillow.new("RGBA", image.size, _BACKGROUND)
        flat = pillow.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
        return flat.convert("L") if grey or (image.mode == "P" and _is_grey(flat)) else flat
    if image.mode in ("1", "L"):
        return image.convert("L")
    flat = image.convert("RGB")
    return flat.convert("L") if image.mode == "P" and _is_grey(flat) else flat


def _is_grey(image: Image) -> bool:
    from PIL import ImageChops

    red, green, blue = image.split()
    return ImageChops.difference(red, green).getbbox() is ImageChops.difference(red, blue).getbbox() is None


def _is_blank(image: Image) -> bool:
    return all(low == high for low, high in np.atleast_2d(np.array(image.getextrema())))

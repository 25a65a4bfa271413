"""What trains and what ``fcnship-device run`` classifies: one file is one picture to both."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fcnship.data.decode import BadImage, careful, decoded, examined, pixels_of
from fcnship.device.pictures import read_picture
from fcnship.errors import DataRefused, ProfileRefused
from fcnship.sizes import Size

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (10, 12), np.uint8)
COLOUR = RNG.integers(0, 256, (10, 12, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (10, 12, 4), np.uint8)
GREYS, COLOURS, ALPHAS = (Image.fromarray(pixels) for pixels in (GREY, COLOUR, ALPHA))
PALETTE = COLOURS.quantize(16)
Made = tuple[str, bytes]


def stored(image: Image.Image, kind: str, **options: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(depth: int, kind: int, bytes_a_row: int, before: bytes = b"") -> bytes:
    """A PNG file of 10x12 written by hand: Pillow writes few depths."""
    rows = b"".join(b"\0" + RNG.bytes(bytes_a_row) for _ in range(10))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 10, depth, kind, 0, 0, 0))
    content = before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + content


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def pictures() -> Iterator[Made]:
    """Files that are read, by name."""
    for name, image in (("grey", GREYS), ("colour", COLOURS), ("bits", GREYS.convert("1"))):
        yield f"{name}.png", stored(image, "PNG")
        yield f"{name}.bmp", stored(image, "BMP")
        yield f"{name}.jpg", stored(image.convert("L") if name == "bits" else image, "JPEG")
        yield f"{name}.webp", stored(image.convert("RGB"), "WEBP", lossless=True)
    yield "alpha.png", stored(ALPHAS, "PNG")
    yield "alpha.webp", stored(ALPHAS, "WEBP", lossless=True, exact=True)
    yield "alpha.bmp", stored(ALPHAS, "BMP")
    yield "grey-alpha.png", stored(ALPHAS.convert("LA"), "PNG")
    yield "palette.png", stored(PALETTE, "PNG")
    yield "palette.bmp", stored(PALETTE, "BMP")
    yield "palette-grey.png", stored(GREYS.convert("P"), "PNG")
    yield "palette-one-transparent.png", stored(PALETTE, "PNG", transparency=3)
    yield "palette-transparent.png", stored(PALETTE, "PNG", transparency=bytes(range(0, 256, 16)))
    yield "grey-one-transparent.png", stored(GREYS, "PNG", transparency=int(GREY[0, 0]))
    yield "colour-one-transparent.png", stored(COLOURS, "PNG", transparency=tuple(map(int, COLOUR[0, 0])))
    yield "cmyk.jpg", stored(Image.merge("CMYK", ALPHAS.split()), "JPEG")
    yield "progressive.jpg", stored(COLOURS, "JPEG", progressive=True)
    yield "camera.jpg", stored(COLOURS, "MPO", save_all=True, append_images=[GREYS.convert("RGB")])
    yield "jpeg-called.png", stored(COLOURS, "JPEG")
    yield "2-bits.png", png(2, 0, 3)
    yield "4-bits.png", png(4, 0, 6)
    yield "4-bits-one-transparent.png", png(4, 0, 6, chunk(b"tRNS", b"\0\5"))
    yield "no-end.png", stored(COLOURS, "PNG")[:-12]
    yield "pixel.png", stored(Image.new("L", (1, 1), 7), "PNG")
    yield "line.png", stored(GREYS.resize((4000, 1)), "PNG")
    for orientation in range(10):
        yield f"turned-{orientation}.jpg", stored(COLOURS, "JPEG", exif=turned(orientation))
        yield f"turned-{orientation}.png", stored(COLOURS, "PNG", exif=turned(orientation))
        yield f"turned-{orientation}.webp", stored(COLOURS, "WEBP", exif=turned(orientation))
    last = chunk(b"eXIf", turned(6).tobytes()[6:]) + chunk(b"IEND", b"")
    yield "turned-at-the-end.png", stored(COLOURS, "PNG")[:-12] + last


def no_pictures() -> Iterator[Made]:
    """Files that are refused, by name."""
    frames: dict[str, Any] = {"save_all": True, "append_images": [GREYS.convert("RGB")]}
    for kind in ("png", "webp"):
        yield f"animated.{kind}", stored(COLOURS, kind, **frames)
        yield f"cut.{kind}", stored(COLOURS, kind)[:-150]
    yield "animated-gif.png", stored(COLOURS, "GIF", **frames)
    yield "default.png", stored(COLOURS, "PNG", default_image=True, **frames)
    yield "cut.jpg", stored(COLOURS, "JPEG")[:-3]
    yield "cut.bmp", stored(COLOURS, "BMP")[:-3]
    yield "empty.png", b""
    for name, kind, channels in (("grey", 0, 1), ("colour", 2, 3), ("grey-alpha", 4, 2), ("alpha", 6, 4)):
        yield f"16-bits-{name}.png", png(16, kind, 24 * channels)
    yield "16-bits-tiff.png", stored(Image.fromarray(GREY.astype(np.uint16)), "TIFF")
    spoilt = bytearray(stored(COLOURS.resize((120, 100)), "PNG"))
    spoilt[-2000] ^= 255
    yield "spoilt.png", bytes(spoilt)


def trained_on(path: Path, channels: int) -> Any:
    """The pixels with which a folder's image trains, calibrates and is measured; None if it is refused."""
    try:
        with careful():
            picture = examined(path)
    except BadImage:
        return None
    pixels = pixels_of(decoded(path, picture, channels))
    assert Size(*pixels.shape[:2]) == picture.size
    return pixels


def classified(path: Path, channels: int) -> Any:
    """The pixels that a device classifies; None if it refuses them."""
    try:
        return read_picture(path, channels, lambda size: None)
    except DataRefused:
        return None


@pytest.fixture
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    name, content = request.param
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize("path", [*pictures()], ids=lambda made: made[0], indirect=True)
def test_a_picture_is_the_same_to_both(path: Path) -> None:
    for channels in (1, 3):
        expected, found = trained_on(path, channels), classified(path, channels)
        assert expected is not None and found is not None
        assert expected.shape == found.shape and (expected == found).all()


@pytest.mark.parametrize("path", [*no_pictures()], ids=lambda made: made[0], indirect=True)
def test_what_cannot_be_trained_on_cannot_be_classified(path: Path) -> None:
    for channels in (1, 3):
        assert trained_on(path, channels) is None
        assert classified(path, channels) is None


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, on odd metadata
def test_damaged_files_are_the_same_to_both(tmp_path: Path) -> None:
    """Bytes changed at random, mostly near the beginning, where the metadata are."""
    exif = turned(6)
    exif[0x011A] = 72.0
    sources = [
        ("a.jpg", stored(COLOURS, "JPEG", exif=exif)),
        ("a.png", stored(COLOURS, "PNG", exif=exif)),
        ("a.webp", stored(COLOURS, "WEBP", exif=exif)),
        ("a.bmp", stored(PALETTE, "BMP")),
        ("b.png", stored(PALETTE, "PNG", transparency=3)),
    ]
    rng, read = np.random.default_rng(0), 0
    for trial in range(400):
        name, whole = sources[trial % len(sources)]
        content = bytearray(whole)
        for place in rng.integers(0, len(content) if trial % 3 == 0 else 200, 2):
            content[place] = rng.integers(256)
        path = tmp_path / name
        path.write_bytes(content)
        expected, found = trained_on(path, 1 + trial % 2 * 2), classified(path, 1 + trial % 2 * 2)
        assert (expected is None) == (found is None), f"trial {trial}"
        if expected is not None:
            assert expected.shape == found.shape and (expected == found).all(), f"trial {trial}"
            read += 1
    assert 50 < read < 350


def test_odd_metadata_are_no_news_on_a_device(tmp_path: Path) -> None:
    cut_off = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03"
    path = tmp_path / "a.jpg"
    path.write_bytes(stored(COLOURS, "JPEG", exif=cut_off))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classified(path, 3).shape == (10, 12, 3)


def test_a_png_is_not_decoded_before_its_size_is_checked(tmp_path: Path) -> None:
    """Its metadata may stand behind its pixels: what fits neither upright nor turned is not read."""
    path = tmp_path / "a.png"
    path.write_bytes(stored(COLOURS, "PNG")[:60])  # a header, and no pixels

    def check(size: Size) -> None:
        if size != Size(3, 4):
            raise ProfileRefused(f"{size}", cause="", next="")

    with pytest.raises(ProfileRefused, match="10x12"):
        read_picture(path, 3, check)

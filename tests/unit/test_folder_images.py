"""Image files: formats, colours, orientation, transparency; what is wrong with others; --skip-bad."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcnship.data import Dataset, find_data
from fcnship.data.decode import changed, examined
from fcnship.data.images import augmented, random_affine, resize
from fcnship.data.notes import notes_on, summary_of
from fcnship.errors import DataRefused
from fcnship.recipe import Augment
from fcnship.sizes import Profile, Size
from image_folders import folder_of, picture, saved


def load(folder: Path, *, skip_bad: bool = False) -> Dataset:
    return find_data(str(folder), skip_bad=skip_bad).load()


def first_of(folder: Path, image: Image.Image, name: str, **options: object) -> np.ndarray:
    """The image as the data set gives it, saved as the first of a folder's training images."""
    saved(folder_of(folder) / "train" / "bird" / name, image, **options)
    return np.asarray(load(folder).x_train[0])


# What can be read


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".JPG", ".jpeg", ".PNG", ".jfif"])
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_every_format_in_grey_and_in_colour(suffix: str, colour: bool, tmp_path: Path) -> None:
    image = picture(90, (20, 30), colour)
    options = {"lossless": True} if suffix == ".webp" else {"quality": 100, "subsampling": 0}
    kind = {"format": "JPEG"} if suffix == ".jfif" else {}
    pixels = first_of(tmp_path, image, f"!{suffix}", **options, **kind)
    grey_webp = suffix == ".webp" and not colour  # WebP has no grey
    assert pixels.shape == (20, 30, 3 if colour or grey_webp else 1)
    expected = np.asarray(image.convert("RGB") if pixels.shape[2] == 3 else image).reshape(pixels.shape)
    assert np.abs(pixels.astype(int) - expected).max() <= (6 if suffix in (".JPG", ".jpeg", ".jfif") else 0)


def test_one_colour_image_makes_a_set_of_colour(tmp_path: Path) -> None:
    saved(folder_of(tmp_path) / "test" / "cat" / "colour.png", picture(90, colour=True))
    data = load(tmp_path)
    assert data.channels == 3
    grey = np.asarray(data.x_train[0])
    assert (grey[..., 0] == grey[..., 2]).all()


def test_a_palette_of_greys_is_grey_and_one_of_colours_is_not(tmp_path: Path) -> None:
    assert first_of(tmp_path / "grey", picture(90).convert("P"), "!.png").shape[2] == 1
    coloured = picture(90, colour=True).quantize(16)
    assert first_of(tmp_path / "colour", coloured, "!.png").shape[2] == 3


def test_black_and_white_and_cmyk_are_read(tmp_path: Path) -> None:
    assert set(np.unique(first_of(tmp_path / "1", picture(90).convert("1"), "!.png"))) <= {0, 255}
    cmyk = picture(90, colour=True).convert("CMYK")
    assert first_of(tmp_path / "2", cmyk, "!.jpg").shape == (12, 16, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright(orientation: int, tmp_path: Path) -> None:
    """The stored image is turned back by its EXIF orientation: its bright corner comes out upper left."""
    upright = np.zeros((40, 64), np.uint8)
    upright[:16, :16] = 255
    turns: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: np.transpose,
        6: np.rot90,
        7: lambda x: np.rot90(x, 2).T,
        8: lambda x: np.rot90(x, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation](upright)))
    pixels = first_of(tmp_path, stored, "!.jpg", exif=exif, quality=95)
    assert pixels.shape == (40, 64, 1)
    assert np.abs(pixels[..., 0].astype(int) - upright).max() < 60
    data = load(tmp_path)
    small = data.at_size(data.x_train, [0], Size(10, 16), (0.0, 255.0))[
        0, ..., 0
    ]  # decoded at a part of its size
    assert small[:3, :3].min() > 200 > 50 > small[6:, 6:].max()


def test_what_is_transparent_lies_on_white_and_is_told(tmp_path: Path) -> None:
    image = Image.new("LA", (8, 8), (0, 0))
    image.putpixel((3, 2), (10, 255))
    image.putpixel((4, 2), (0, 128))
    pixels = first_of(tmp_path, image, "!.png")[..., 0]
    assert (pixels[2, 3], pixels[2, 4], pixels[0, 0]) == (10, 127, 255)
    data = load(tmp_path)
    assert data.facts == {"transparent": 1}
    assert f"{tmp_path.name}: 1 image is transparent in places: white is put behind" in notes_on(
        data, [Profile.parse("8-64")]
    )
    opaque = picture(5, colour=True).convert("RGBA")
    first_of(tmp_path / "opaque", opaque, "!.png")
    assert load(tmp_path / "opaque").facts == {}


def test_a_camera_that_keeps_several_pictures_in_a_file_gives_the_first(tmp_path: Path) -> None:
    one, other = picture(90, (16, 16)), picture(91, (16, 16))
    stored = io.BytesIO()
    one.save(stored, "MPO", save_all=True, append_images=[other])
    path = folder_of(tmp_path) / "train" / "bird" / "!.jpg"
    path.write_bytes(stored.getvalue())
    assert np.abs(np.asarray(load(tmp_path).x_train[0])[..., 0].astype(int) - np.asarray(one)).max() < 40


def test_an_image_is_turned_and_shifted_as_an_array_is() -> None:
    image = picture(7, (40, 56), colour=True)
    own, pixels = Size(40, 56), np.asarray(image)[None]
    strong = Augment(shift=0.1, scale=0.2, rotate=20, shear=0.2)
    for seed in range(5):
        expected = augmented(pixels, own, strong, np.random.default_rng(seed), fill=9.0)[0]
        (affine,) = random_affine(1, strong, np.random.default_rng(seed))
        found = np.asarray(changed(image, affine, 9)).astype(float)
        error = np.abs(found - expected).max(axis=2)
        assert np.median(error) < 1
        assert (error > 2).mean() < 0.1  # along the edges: an array is blended with the background there
    (affine,) = random_affine(1, strong, np.random.default_rng(0))
    assert np.asarray(changed(image.convert("L"), affine, 9)).min() <= 9


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_large_image_is_reduced_before_it_is_resized(suffix: str, tmp_path: Path) -> None:
    image = picture(90, (300, 437), colour=True)
    saved(folder_of(tmp_path, colour=True) / "train" / "bird" / f"!{suffix}", image, quality=95)
    data = load(tmp_path)
    for size in (Size(30, 44), Size(90, 131), Size(290, 422)):
        found = data.at_size(data.x_train, [0], size, (0.0, 255.0))
        error = np.abs(found - resize(np.asarray(data.x_train[0])[None], size))
        assert error.mean() < 1.5


# What cannot


def animated(path: Path) -> None:
    frames = [picture(seed, colour=True) for seed in (1, 2, 3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def png(path: Path, depth: int, kind: int, bytes_a_pixel: int, side: int = 4) -> None:
    """A PNG file written by hand, as Pillow writes none of 16 bits a channel in colour."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    row = b"\0" + bytes(range(side * bytes_a_pixel))
    header = struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * side))
        + chunk(b"IEND", b"")
    )


def bomb(path: Path) -> None:
    """A header that claims 40,000 x 40,000 pixels."""
    png(path, 8, 0, 1)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 40_000, 40_000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(content)


def cut(path: Path) -> None:
    stored = io.BytesIO()
    picture(3, (60, 60)).save(
        stored, {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}[path.suffix]
    )
    path.write_bytes(stored.getvalue()[: len(stored.getvalue()) // 2])


def spoilt(path: Path) -> None:
    """Whole by its length, and with a wrong byte among its pixels."""
    picture(3, (60, 60), colour=True).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def white_on_nothing(path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    image.putpixel((1, 1), (255, 255, 255, 255))
    image.save(path)


BAD = [
    ("a.png", lambda path: path.touch(), "is empty (0 bytes)"),
    ("a.jpg", lambda path: path.write_text("hello"), "is no PNG, JPEG, BMP or WebP image"),
    ("a.png", lambda path: picture(1).save(path, "GIF"), "is no PNG, JPEG, BMP or WebP image"),
    ("a.gif", lambda path: picture(1).save(path), "is no PNG, JPEG, BMP or WebP image by its name"),
    ("a.tiff", lambda path: picture(1).save(path), "is no PNG, JPEG, BMP or WebP image by its name"),
    ("a.webp", animated, "is animated (3 frames)"),
    ("a.png", animated, "is animated (3 frames)"),
    ("a.png", lambda path: png(path, 16, 0, 2), "has 16 bits a channel or more"),
    ("a.png", lambda path: png(path, 16, 2, 6), "has 16 bits a channel or more"),
    ("a.png", lambda path: png(path, 16, 6, 8), "has 16 bits a channel or more"),
    ("a.png", bomb, "is too large: "),
    ("a.png", cut, "cannot be decoded: "),
    ("a.png", spoilt, "cannot be decoded: "),
    ("a.jpg", cut, "cannot be decoded: "),
    ("a.webp", cut, "cannot be decoded: "),
    ("a.bmp", cut, "cannot be decoded: "),
    ("a.png", white_on_nothing, "is blank on white: what it shows is white, or wholly transparent"),
    ("a.png", lambda path: path.mkdir(), "is a folder inside a class's folder"),
    ("a.png", lambda path: path.symlink_to("nowhere"), "is a link that leads nowhere (No such file"),
    ("a.png", lambda path: path.symlink_to("a.png"), "is a link that leads nowhere (Too many levels"),
    ("a.png", os.mkfifo, "is no file"),
]


@pytest.mark.parametrize(("name", "make", "why"), BAD, ids=[f"{name}: {why[:24]}" for name, _, why in BAD])
def test_a_bad_file_is_named(name: str, make: Callable[[Path], object], why: str, tmp_path: Path) -> None:
    make(folder_of(tmp_path) / "train" / "cat" / name)
    with pytest.raises(DataRefused) as caught:
        load(tmp_path)
    assert caught.value.what.startswith(f"{tmp_path} has 1 file that cannot be used: train/cat/{name} {why}")
    assert caught.value.exit_code == 3
    assert caught.value.next == "mend them or take them out; or add --skip-bad, which goes on without them"
    data = load(tmp_path, skip_bad=True)
    assert (len(data.x_train), data.facts["skipped"]) == (12, 1)
    assert data.facts["skipped_files"][0]["path"] == f"train/cat/{name}"
    assert data.facts["skipped_files"][0]["reason"].startswith(why)


def test_several_bad_files_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for number in range(8):
        (folder / "train" / "bird" / f"x{number}.png").touch()
    saved(folder / "lost.png", picture(80))
    with pytest.raises(DataRefused) as caught:
        load(tmp_path)
    assert caught.value.what == (
        f"{folder} has 9 files that cannot be used: lost.png lies in no folder of a class; "
        + "; ".join(f"train/bird/x{number}.png is empty (0 bytes)" for number in range(4))
        + "; and 4 more"
    )
    assert caught.value.cause == (
        "an image is a PNG, JPEG, BMP or WebP file of 8 bits a channel with one picture in it"
    )
    data = load(folder, skip_bad=True)
    assert notes_on(data, [Profile.parse("8-64")]) == [
        f"{folder.name}: 9 files are left out, first lost.png, which lies in no folder of a class"
    ]
    assert summary_of(data, [Profile.parse("8-64")])["skipped"] == 9


def test_where_every_image_of_a_class_is_bad_skipping_does_not_help(tmp_path: Path) -> None:
    for path in (folder_of(tmp_path) / "train" / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataRefused) as caught:
        load(tmp_path, skip_bad=True)
    assert caught.value.what == f"{tmp_path} has no usable train image of cat"


def test_a_file_that_changes_meanwhile_is_named(tmp_path: Path) -> None:
    data = load(folder_of(tmp_path))
    (tmp_path / "train" / "bird" / "0.png").write_bytes(b"")
    with pytest.raises(DataRefused) as caught:
        _ = data.x_train[0]
    assert caught.value.what == f"{tmp_path}/train/bird/0.png is empty (0 bytes)"
    assert caught.value.cause == "it could be read when the work began: it was changed or removed meanwhile"


def test_damaged_files_never_break_it(tmp_path: Path) -> None:
    """Bytes changed at random: each file is read or named, and nothing else is raised."""
    rng = np.random.default_rng(0)
    sources = [
        saved(tmp_path / f"a{s}", picture(1, (24, 24), True)) for s in (".png", ".jpg", ".webp", ".bmp")
    ]
    read = 0
    for trial in range(200):
        source = sources[trial % len(sources)]
        content = bytearray(source.read_bytes())
        for place in rng.integers(0, len(content) if trial % 2 else min(60, len(content)), 3):
            content[place] = rng.integers(256)
        target = tmp_path / f"b{source.suffix}"
        target.write_bytes(content)
        read += readable(target)
    assert 20 < read < 190


def readable(path: Path) -> bool:
    from fcnship.data.decode import BadImage, careful

    try:
        with careful():
            examined(path)
    except BadImage:
        return False
    return True

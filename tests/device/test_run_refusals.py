"""What ``fcnship-device run`` is handed and refuses, each with its reason."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drops import Made
from picture_files import COLOUR, GREY, live_in, npz, png, pnm
from PIL import Image

from fcnship.device.inference import classify, images_of
from fcnship.device.live import Live
from fcnship.device.manifest import read_manifest
from fcnship.errors import DataRefused, EnvironmentLacks, ProfileRefused

NEXT = "give a PNG, JPEG, PGM or PPM image of 8 bits a channel, or an .npz with an array `image`"


@pytest.fixture(scope="module")
def live(drops: tuple[Made, Made], tmp_path_factory: pytest.TempPathFactory) -> Live:
    """The first drop, live; it takes grey images of 8x8 to 16x16, 1 to 4 at once, in 0 to 1."""
    return live_in(tmp_path_factory.mktemp("run") / "root", drops[0])


@pytest.mark.parametrize(
    ("size", "nearest"),
    [((7, 12), "8x12"), ((20, 4), "16x8"), ((17, 17), "16x16"), ((1, 1), "8x8"), ((5000, 1), "16x8")],
)
def test_a_size_that_no_profile_serves(
    size: tuple[int, int], nearest: str, live: Live, tmp_path: Path
) -> None:
    pixels = np.zeros(size, np.uint8)
    files = [
        png(tmp_path / "a.png", pixels),
        pnm(tmp_path / "a.pgm", pixels),
        npz(tmp_path / "a.npz", image=pixels),
    ]
    for path in files:
        with pytest.raises(ProfileRefused) as refused:
            classify(live, path)
        error = refused.value
        assert error.what == f"{path} is {size[0]}x{size[1]}, which no profile of tiny 1 serves"
        assert error.cause == "its profiles (min,opt,max@batches) are 8,8,16@1,1,4"
        assert error.next == f"resize it to {nearest}"


def test_too_many_images_at_once(live: Live, tmp_path: Path) -> None:
    with pytest.raises(ProfileRefused) as refused:
        classify(live, npz(tmp_path / "a.npz", image=np.zeros((5, 1, 8, 8), np.float32)))
    assert refused.value.what.endswith("a.npz is 5 images of 8x8, which no profile of tiny 1 serves")
    assert refused.value.next == "give 1 to 4 images of 8x8 in one .npz"


def _zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _npy(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    """A header that promises an array, and a few bytes of it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(64)


def _spoilt(data: bytes, at: int, to: int) -> bytes:
    return data[:at] + bytes([to]) + data[at + 1 :]


WHOLE = _zip(**{"image.npy": bytes(200)})
BAD = {
    "zlib.npz": (_spoilt(WHOLE, 39, 7), "it cannot be read: Error -3 while decompressing"),
    "method.npz": (
        _spoilt(WHOLE, WHOLE.index(b"PK\x01\x02") + 10, 99),
        "it cannot be read: That compression",
    ),
    "lines.npy": (_npy((8, 8)).replace(b"}", b"("), "it cannot be read: "),
    "empty.png": (b"", "it is empty"),
    "text.png": (b"no image at all", "it cannot be decoded: cannot identify image file"),
    "cut.png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it cannot be decoded: "),
    "cut.pgm": (b"P5 8 8 255\n" + bytes(20), "it has 20 of 64 values"),
    "deep.pgm": (b"P5 8 8 65535\n" + bytes(128), "it is 8x8 with values to 65535; 255 is what 8 bits hold"),
    "none.pgm": (b"P5 0 8 255\n", "it is 8x0 with values to 255; 255 is what 8 bits hold"),
    "odd.pgm": (b"P5 eight 8 255\n", "its PGM or PPM header is damaged"),
    "digits.pgm": (b"P5 " + b"9" * 5000 + b" 8 255\n", "its PGM or PPM header is damaged"),
    "empty.npz": (b"", "it cannot be read: File is not a zip file"),
    "other.npz": (_zip(**{"picture.npy": b""}), "it holds no array `image`, but picture.npy"),
    "nothing.npz": (_zip(), "it holds no array `image`, but nothing"),
    "hollow.npz": (_zip(**{"image.npy": b""}), "it cannot be read: "),
    "bomb.npz": (
        _zip(**{"image.npy": _npy((1, 1, 8, 8), "|O")}),
        "its values are object, not uint8 or floating",
    ),
    "text.npy": (_npy((8, 8), "<U5"), "its values are <U5, not uint8 or floating point"),
    "cut.npy": (_npy((1, 1, 16, 16)), "it cannot be read: "),
    "flat.npy": (_npy((64,)), "its array `image` has the shape (64,), which is no image"),
    "zero.npy": (_npy((1, 1, 8, 0)), "its array `image` has the shape (1, 1, 8, 0), which is no image"),
    "version.npy": (b"\x93NUMPY\x09\x00" + bytes(80), "it cannot be read: "),
    "wild.npy": (b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')", "it cannot be read: "),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name: str, live: Live, tmp_path: Path) -> None:
    content, told = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataRefused) as refused:
        classify(live, tmp_path / name)
    assert refused.value.what == f"{tmp_path / name} cannot be classified"
    assert refused.value.cause.startswith(told)
    assert refused.value.next == NEXT


def test_a_file_that_is_not_there(live: Live, tmp_path: Path) -> None:
    for name in ("none.png", "none.npz", "none.npy"):
        with pytest.raises(DataRefused, match="No such file or directory"):
            classify(live, tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataRefused, match="Is a directory"):
        classify(live, tmp_path / "folder.png")


def test_a_promise_of_many_gigabytes_is_refused_by_its_shape(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "huge.npz"
    path.write_bytes(_zip(**{"image.npy": _npy((1, 1, 1 << 20, 1 << 20))}))
    with pytest.raises(ProfileRefused, match=r"huge\.npz is 1048576x1048576, which no profile"):
        classify(live, path)


def test_deep_and_animated_images(live: Live, tmp_path: Path) -> None:
    path = png(tmp_path / "deep.png", GREY.astype(np.uint16) * 257)
    with pytest.raises(DataRefused, match="it has 16 bits a channel or more"):
        classify(live, path)
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(tmp_path / "two.png", save_all=True, append_images=frames[1:])
    with pytest.raises(DataRefused, match=r"it is animated \(2 frames\)"):
        classify(live, tmp_path / "two.png")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.full((8, 8), 255, np.float32), "its values are 255 to 255, the network takes 0 to 1"),
        (np.full((8, 8), -0.5, np.float32), "its values are -0.5 to -0.5, the network takes 0 to 1"),
        (np.full((8, 8), np.nan, np.float32), "its array `image` has NaN or infinity in it"),
        (np.full((8, 8), 300, np.uint16), "its values are 300 to 300, the network takes 0 to 1"),
    ],
)
def test_values_that_the_network_was_never_shown(values: Any, told: str, live: Live, tmp_path: Path) -> None:
    with pytest.raises(DataRefused) as refused:
        classify(live, npz(tmp_path / "a.npz", image=values))
    assert refused.value.cause == told


def test_channels_that_the_network_does_not_take(live: Live, drop: Made, tmp_path: Path) -> None:
    with pytest.raises(DataRefused) as refused:
        classify(live, npz(tmp_path / "a.npz", image=np.zeros((1, 8, 8, 1), np.float32)))
    assert refused.value.what == f"{tmp_path / 'a.npz'} has 8 channels, tiny takes 1"
    assert (
        refused.value.next
        == "give (batch, channels, height, width), or (height, width, channels) for one image"
    )
    drop.rewrite(lambda m: m["network"].update(channels=4))
    with pytest.raises(DataRefused, match="the network takes 4 channels, an image file has 1 or 3"):
        images_of(png(tmp_path / "a.png", COLOUR), read_manifest(drop.folder))


def test_without_pillow_it_says_so_and_reads_the_rest(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain = png(tmp_path / "a.png", GREY), pnm(tmp_path / "a.pgm", GREY)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(EnvironmentLacks) as refused:
        classify(live, path)
    assert str(refused.value) == (
        f"{path} needs Pillow, which is not installed here\n"
        "  cause: without it fcnship-device reads .npz, .npy, .pgm and .ppm alone\n"
        "  next:  sudo apt-get install python3-pil, or convert the image to PGM or PPM"
    )
    assert classify(live, plain)["images"]

"""Arrays from .npz files: what is accepted, and what is refused with which words."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcnship.data.npz import Dataset, dataset_from_arrays, read_npz
from fcnship.errors import DataRefused

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
GOOD: dict[str, Any] = {
    "x_train": PIXELS,
    "y_train": np.array([0, 1, 2, 0, 1, 2]),
    "x_test": PIXELS[:3],
    "y_test": np.array([0, 1, 2]),
}


def saved(folder: Path, **arrays: Any) -> Path:
    """An .npz with the good arrays, but for those given; None leaves one out."""
    path = folder / "data.npz"
    kept = {key: array for key, array in {**GOOD, **arrays}.items() if array is not None}
    np.savez_compressed(path, **kept)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataRefused) as caught:
        read_npz(path, "data")
    assert caught.value.exit_code == 3
    return str(caught.value)


def scaled(low: float, high: float) -> Any:
    return PIXELS / 255 * (high - low) + low


def test_a_good_file(tmp_path: Path) -> None:
    data = read_npz(saved(tmp_path), "data")
    assert (data.name, data.channels, data.classes, data.value_range) == ("data", 1, 3, (0.0, 255.0))
    assert data.x_train.shape == (6, 4, 5, 1)
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.int64)
    assert (data.x_train[..., 0] == PIXELS).all()


def test_channels_and_columns_of_labels_are_taken_too(tmp_path: Path) -> None:
    coloured = np.stack([PIXELS] * 3, axis=-1)
    labels = {key: GOOD[key][:, None].astype(np.uint8) for key in ("y_train", "y_test")}
    data = read_npz(saved(tmp_path, x_train=coloured, x_test=coloured[:3], **labels), "data")
    assert (data.channels, data.y_train.shape, data.y_test.shape) == (3, (6,), (3,))


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0, 1, (0.0, 1.0)),
        (0.2, 0.9, (0.0, 1.0)),
        (-1, 1, (-1.0, 1.0)),
        (0, 200, (0.0, 255.0)),
        (-3, 3, (-3.0, 3.0)),
        (0, 1000, (0.0, 1000.0)),
    ],
)
def test_the_customary_range_that_holds_the_pixels(
    low: float, high: float, found: tuple[float, float]
) -> None:
    x = np.clip(scaled(low, high), low, high)
    x[0, 0, :2] = low, high
    data = dataset_from_arrays("data", {**GOOD, "x_train": x, "x_test": x[:3]})
    assert data.value_range == pytest.approx(found)
    assert data.x_train.dtype == np.float32


AGAIN = "  next:  make the arrays again and save them anew"
SHAPES = (
    "it must be (images, height, width) or (images, height, width, channels), "
    "with at least one image and at most 64 channels"
)
NUMBERS = "pixels are whole numbers or floating-point numbers"
OVERFLOW = "a division by zero or an overflow when the images were prepared"
WHOLE = "it must be one whole number an image; rows of zeros and a one want y.argmax(axis=1)"
FROM_0 = "labels are numbered from 0, without a gap"
OUT = "a label is out of range, or a class has no training image"
WITH_NAN = PIXELS.astype(np.float32)
WITH_NAN[[2, 4], 1, 1] = np.nan, np.inf


@pytest.mark.parametrize(
    ("arrays", "what", "cause"),
    [
        ({"x_train": PIXELS.astype(str)}, "x_train holds <U3", NUMBERS),
        ({"x_train": PIXELS.astype(complex)}, "x_train holds complex128", NUMBERS),
        ({"x_test": PIXELS[:3] > 9}, "x_test holds bool", NUMBERS),
        ({"x_train": PIXELS.astype("M8[s]")}, "x_train holds datetime64[s]", NUMBERS),
        ({"x_train": PIXELS[:, :, 0]}, "x_train has the shape (6, 4)", SHAPES),
        (
            {"x_train": PIXELS[:0], "y_train": GOOD["y_train"][:0]},
            "x_train has the shape (0, 4, 5, 1)",
            SHAPES,
        ),
        ({"x_test": PIXELS[:3, :0]}, "x_test has the shape (3, 0, 5, 1)", SHAPES),
        ({"x_train": np.zeros((6, 2, 2, 65))}, "x_train has the shape (6, 2, 2, 65)", SHAPES),
        ({"x_train": np.zeros((6, 2, 2, 1, 1))}, "x_train has the shape (6, 2, 2, 1, 1)", SHAPES),
        ({"x_train": np.array(3)}, "x_train has the shape ()", SHAPES),
        (
            {"x_train": WITH_NAN},
            "x_train has NaN, infinity or numbers beyond float32 in 2 images, the first is number 2",
            OVERFLOW,
        ),
        (
            {"x_test": PIXELS[:3] * 1e300},
            "x_test has NaN, infinity or numbers beyond float32 in 3 images, the first is number 0",
            OVERFLOW,
        ),
        (
            {"x_train": PIXELS / 255},
            "x_train is float32 with 1 channel, x_test uint8 with 1",
            "the two were prepared in different ways",
        ),
        (
            {"x_train": np.stack([PIXELS] * 3, axis=-1)},
            "x_train is uint8 with 3 channels, x_test uint8 with 1",
            "the two were prepared in different ways",
        ),
        ({"x_train": np.full_like(PIXELS, 7)}, "x_train holds 7 everywhere", "the images are empty"),
        (
            {"y_train": GOOD["y_train"][:5]},
            "x_train has 6 images and y_train 5 labels",
            "an image or a label was lost, or arrays of two sets were mixed",
        ),
        (
            {"y_test": GOOD["y_test"][:0]},
            "x_test has 3 images and y_test 0 labels",
            "an image or a label was lost, or arrays of two sets were mixed",
        ),
        ({"y_train": GOOD["y_train"] / 1}, "y_train is float64 of shape (6,)", WHOLE),
        ({"y_train": np.eye(6, dtype=int)}, "y_train is int64 of shape (6, 6)", WHOLE),
        ({"y_test": np.array(["a", "b", "c"])}, "y_test is <U1 of shape (3,)", WHOLE),
        ({"y_train": np.array([0, 1, 2, 0, 1, -1])}, "y_train has the label -1", FROM_0),
        ({"y_test": np.array([0, 1, -5])}, "y_test has the label -5", FROM_0),
        # As int64 this one is -1, and would pass for a label that is never right.
        (
            {"y_test": np.array([0, 1, 2**64 - 1], np.uint64)},
            "y_test has the label 18446744073709551615",
            FROM_0,
        ),
        (
            {"y_train": np.array([0, 1, 2, 0, 1, 7])},
            "y_train goes up to 7 but has only 4 different labels",
            OUT,
        ),
        ({"y_test": np.array([0, 1, 3])}, "y_test has the label 3, y_train only 0 to 2", OUT),
        ({"y_train": np.zeros(6, int)}, "y_train has one class only", "every label is 0"),
    ],
)
def test_arrays_that_are_refused(tmp_path: Path, arrays: dict[str, Any], what: str, cause: str) -> None:
    path = saved(tmp_path, **arrays)
    assert refusal(path) == f"{path}: {what}\n  cause: {cause}\n{AGAIN}"


def test_channels_that_stand_first_are_told(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 3, 28, 28), np.uint8)
    path = saved(tmp_path, x_train=x, x_test=x[:3])
    assert refusal(path) == (
        f"{path}: x_train has the shape (6, 3, 28, 28): images 3 high with 28 channels\n"
        "  cause: the channels stand before the rows (PyTorch's order)\n"
        "  next:  put them last: numpy.moveaxis(x_train, 1, -1)"
    )
    assert read_npz(saved(tmp_path, x_train=x[:, :, :4], x_test=x[:3, :, :4]), "data").channels == 28


def test_parts_of_two_scales_are_told(tmp_path: Path) -> None:
    path = saved(tmp_path, x_train=PIXELS / 255.0, x_test=PIXELS[:3] / 1.0)
    low, high = PIXELS.min(), PIXELS.max()
    assert refusal(path) == (
        f"{path}: x_train has values of {low / 255:g} to {high / 255:g}, "
        f"x_test of {PIXELS[:3].min():g} to {PIXELS[:3].max():g}\n"
        "  cause: one of the two was divided by 255, and the other was not\n" + AGAIN
    )


SAVE = "\n  next:  save it with numpy.savez_compressed: x_train, y_train, x_test, y_test"
BROKEN = "\n  cause: it is no .npz file, or was cut off while it was copied\n  next:  copy or make it again"


def test_missing_arrays(tmp_path: Path) -> None:
    path = saved(tmp_path, x_test=None, y_test=None, images=PIXELS)
    assert refusal(path) == f"{path} lacks x_test, y_test\n  cause: it holds x_train, y_train, images{SAVE}"
    np.savez(path)
    assert refusal(path) == (
        f"{path} lacks x_train, y_train, x_test, y_test\n  cause: it holds nothing{SAVE}"
    )


@pytest.mark.parametrize("key", ["x_train", "y_test"])
def test_objects_are_never_unpickled(tmp_path: Path, key: str) -> None:
    path = saved(tmp_path, **{key: GOOD[key].astype(object)})
    assert refusal(path) == (
        f"{path}: {key} is an array of Python objects\n"
        "  cause: reading it would mean unpickling, which can run any code; fcnship never does\n"
        "  next:  save plain numbers: numpy.asarray(x, dtype='uint8')"
    )


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06", b"\x80\x04]\x94."], ids=repr)
def test_files_that_are_no_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    assert refusal(path) == f"{path} cannot be read: File is not a zip file{BROKEN}"


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    assert refusal(path) == f"{path} cannot be read: File is not a zip file{BROKEN}"


def test_a_header_that_lies_about_its_size(tmp_path: Path) -> None:
    path, entry = tmp_path / "data.npz", io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 10**8)}
    np.lib.format.write_array_header_1_0(entry, shape)
    with zipfile.ZipFile(path, "w") as archive:
        for key in GOOD:
            archive.writestr(f"{key}.npy", entry.getvalue())
    told = refusal(path)
    assert told.startswith(f"{path} does not fit into memory: Unable to allocate 88.8 PiB")
    assert told.endswith(
        "\n  cause: it holds a very large array, or its header lies\n  next:  use fewer or smaller images"
    )


def test_an_archive_that_unpacks_to_more_than_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcnship.data.npz.available_bytes", lambda: 100)
    path = saved(tmp_path)
    assert refusal(path) == (
        f"{path} unpacks to 0.0 GB, more than the memory that is free here\n"
        "  cause: all images are held in memory at once\n"
        "  next:  use fewer or smaller images"
    )


def test_whatever_is_wrong_with_a_file_it_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    outcomes: set[type] = set()
    for seed in range(300):
        chance, damaged = random.Random(seed), bytearray(whole)
        for _ in range(chance.choice((1, 1, 3))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            outcomes.add(type(read_npz(path, "data")))
        except DataRefused as error:
            assert error.what and error.cause and error.next
            outcomes.add(type(error))
    assert outcomes == {Dataset, DataRefused}

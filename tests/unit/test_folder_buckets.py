"""Batches of a folder of many sizes: one size a batch, shapes kept, any of them within the profile."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fcnship.data import Dataset, find_data
from fcnship.data.batches import Batches, bucketed_batches, mixed_batches, training_batches
from fcnship.data.buckets import Buckets, buckets_of
from fcnship.data.collection import FolderImages, at_size
from fcnship.data.dataset import SHAPE_TOLERANCE
from fcnship.data.image_folder import ImageFolder
from fcnship.data.notes import notes_on, summary_of
from fcnship.errors import DataRefused
from fcnship.options import Fit
from fcnship.precision.calibration import CalibrationRecipe
from fcnship.precision.drawing import draw
from fcnship.precision.methods import Method
from fcnship.recipe import Augment, Recipe, Training
from fcnship.sizes import Profile, Size
from image_folders import folder_of, picture, saved

PROFILE = Profile.parse("16-64")
TRAINING = Training(steps=40, pixels=8000, most_images=12)
PLAIN = Augment()
SIZES = ((24, 24), (26, 25), (50, 49), (20, 40), (90, 45), (10, 200))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("many"), {"train": 18, "test": 3}, SIZES)


@pytest.fixture(scope="module")
def data(folder: Path) -> Dataset:
    return find_data(str(folder)).load()


def batches(data: Dataset, training: Training = TRAINING, augment: Augment = PLAIN, seed: int = 0) -> Batches:
    return bucketed_batches(data, [PROFILE], training, augment, (0.0, 1.0), seed)


def stretch(one: Size, other: Size) -> float:
    ratio = (one.height / one.width) / (other.height / other.width)
    return max(ratio, 1 / ratio)


# Buckets


def test_images_of_one_bucket_have_nearly_one_shape_and_stand_in_order_of_size() -> None:
    rng = np.random.default_rng(0)
    sides = rng.integers(10, 400, (500, 2))
    found = buckets_of(sides)
    assert sorted(np.concatenate(found)) == list(range(500))
    for bucket in found:
        shapes = sides[bucket, 0] / sides[bucket, 1]
        assert shapes.max() / shapes.min() <= SHAPE_TOLERANCE * (1 + 1e-9)
        assert (np.diff(sides[bucket].prod(axis=1)) >= 0).all()
    # Squares stand in the middle of a bucket: a shape 4 % off is with them, one 6 % off is not.
    near, far = buckets_of(np.array([[100, 100], [104, 100], [100, 104], [106, 100]]))
    assert (near.tolist(), far.tolist()) == ([0, 1, 2], [3])


def test_a_batch_takes_neighbours_in_size_each_once() -> None:
    sides = np.stack([np.arange(100, 200)] * 2, axis=1)
    buckets, rng = Buckets(sides, [PROFILE]), np.random.default_rng(0)
    for place in (0, 50, 99):
        chosen = buckets.neighbours(place, 5, rng)
        assert chosen[0] == place
        assert len(set(chosen)) == 5
        assert np.abs(chosen - place).max() <= 20  # four times as many to choose from
    assert sorted(buckets.neighbours(7, 500, rng)) == list(range(100))


def test_half_have_their_own_size_and_the_others_reach_over_the_profile() -> None:
    buckets, rng = Buckets(np.array([[30, 20]]), [PROFILE]), np.random.default_rng(0)
    sizes = [buckets.draw_size(0, rng, TRAINING) for _ in range(2000)]
    assert np.mean([size == Size(30, 20) for size in sizes]) == pytest.approx(0.52, abs=0.05)
    assert {min(sizes), max(sizes)} == {Size(24, 16), Size(64, 43)}
    assert max(stretch(size, Size(30, 20)) for size in sizes) < 1.05
    small = [buckets.draw_size(0, rng, TRAINING, reach=0.25) for _ in range(200)]
    assert max(small) < Size(32, 22)


def test_of_two_profiles_each_that_holds_the_shape_is_drawn() -> None:
    wide = Profile.parse("16x160-32x320")
    rng = np.random.default_rng(0)
    square = Buckets(np.array([[30, 30]]), [PROFILE, wide])
    assert all(square.draw_size(0, rng, TRAINING).width <= 64 for _ in range(50))
    long = Buckets(np.array([[10, 100]]), [PROFILE, wide])
    assert all(long.draw_size(0, rng, TRAINING).width >= 160 for _ in range(50))


# Batches


def test_every_batch_has_one_size_within_the_profile_and_keeps_shapes(data: Dataset) -> None:
    made = batches(data)
    for images, labels in map(made, range(60)):
        size = Size(*images.shape[1:3])
        assert size.within(PROFILE.min, PROFILE.max)
        assert (images.dtype, labels.dtype) == (np.float32, np.int32)
        assert 1 <= len(images) == len(labels) <= min(12, max(8000 // size.pixels, 1))
        assert 0 <= images.min() <= images.max() <= 1


def test_a_batch_is_a_function_of_its_step_in_any_thread(data: Dataset) -> None:
    made, turned = batches(data, augment=Augment(rotate=5)), batches(data, augment=Augment(rotate=5))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(made, range(40)))
    for step in reversed(range(40)):
        images, labels = turned(step)
        assert (images == together[step][0]).all() and (labels == together[step][1]).all()


def test_images_are_not_distorted_beyond_the_tolerance(tmp_path: Path) -> None:
    """A white disc on black stays a disc, whatever the batch's size."""
    folder_of(tmp_path, sizes=((40, 40), (40, 80), (70, 40)))
    for path in (tmp_path / "train").rglob("*.png"):
        disc(path)
    data = find_data(str(tmp_path), skip_bad=True).load()
    made = batches(data, replace(TRAINING, any_shape=0.3))
    for images, _ in map(made, range(60)):
        for image in images[..., 0]:
            assert is_round(image, SHAPE_TOLERANCE)


@pytest.mark.parametrize("fit", ["bucket", "letterbox"])
def test_what_is_measured_and_calibrates_is_not_distorted(fit: Fit, tmp_path: Path) -> None:
    """At its own size an image is fed as it is, and at any other a disc stays a disc."""
    folder = folder_of(
        tmp_path / "discs", {"train": 12, "test": 3, "calibration": 8}, ((40, 40), (40, 80), (70, 40))
    )
    for path in folder.rglob("*.png"):
        disc(path)
    data = replace(find_data(str(folder), skip_bad=True).load(), fit=fit)
    for place, pixels in enumerate(data.x_test):
        own = Size(*pixels.shape[:2])
        assert (data.at_size(data.x_test, [place], own, (0.0, 255.0))[0] == pixels).all()
    sizes = (Size(64, 64), Size(30, 60), Size(64, 20), Size(41, 40))
    measured = [data.at_size(data.x_test, range(len(data.x_test)), size, (0.0, 1.0)) for size in sizes]
    few = CalibrationRecipe(path=tmp_path / "few.toml", method=Method(name="mse"), images=8)
    calibrating = [image.fed((0.0, 255.0), (0.0, 1.0)) for image in draw(few, data, [PROFILE]).images]
    for images in (*measured, *calibrating):
        for image in images[..., 0]:
            assert is_round(image, SHAPE_TOLERANCE if fit == "bucket" else 1.0)


def is_round(image: np.ndarray, most_stretch: float) -> bool:
    rows, columns = (np.flatnonzero(image.max(axis=axis) > 0.5) for axis in (1, 0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    return max(height, width) <= most_stretch * min(height, width) + 2


def disc(path: Path) -> None:
    """Replace the image by a disc that fills its shorter side, one grey of its own so that none is equal."""
    from PIL import Image, ImageDraw

    with Image.open(path) as image:
        width, height = image.size
    number = int(path.stem) + (30 if "cat" in path.parts else 0)
    number += {"train": 0, "test": 60, "calibration": 80}[path.parts[-3]]
    drawn = Image.new("L", (width, height), number)
    radius = min(width, height) // 2 - 2
    x, y = width // 2, height // 2
    ImageDraw.Draw(drawn).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    drawn.save(path)


def test_shapes_that_no_profile_holds_lie_on_a_background_and_are_told(data: Dataset) -> None:
    summary = summary_of(data, [PROFILE])
    assert (summary["buckets"], summary["letterboxed"]) == (4, 6)
    assert summary["sizes"] == {"different": 6, "smallest": [24, 24], "largest": [90, 45]}
    assert notes_on(data, [PROFILE]) == [
        f"{data.name}: 6 of 36 training images have a shape that no profile holds: they keep it, and lie on "
        "a background"
    ]
    assert isinstance(data.x_train, FolderImages)
    place = int(np.flatnonzero(data.x_train.sides[:, 1] == 200)[0])
    placed = at_size(data.x_train, [place], Size(64, 64), fill=0, most_stretch=SHAPE_TOLERANCE)[0, ..., 0]
    assert np.flatnonzero(placed.max(axis=1)).tolist() == list(range(30, 34))  # 10x200 in 64x64: 4 rows
    assert notes_on(replace(data, fit="letterbox"), [PROFILE]) == []


def test_letterboxed_batches_mix_shapes_and_keep_them(data: Dataset) -> None:
    made = mixed_batches(replace(data, fit="letterbox"), [PROFILE], TRAINING, PLAIN, (0.0, 255.0), 0)
    shapes = {images.shape[1:3] for images, _ in map(made, range(20))}
    assert len(shapes) > 10
    images, _ = made(0)
    assert (images == 0).any()  # the background


def test_an_array_can_be_letterboxed_too() -> None:
    from fcnship.data.npz import dataset_from_arrays

    x, y = np.full((4, 8, 8), 9, np.uint8), np.array([0, 1, 0, 1])
    arrays = {"x_train": x + y[:, None, None].astype(np.uint8), "y_train": y, "x_test": x, "y_test": y}
    data = dataset_from_arrays("d", arrays)
    wide = data.at_size(data.x_test, [0], Size(8, 16), (0.0, 255.0))[0, ..., 0]
    kept = replace(data, fit="letterbox").at_size(data.x_test, [0], Size(8, 16), (0.0, 255.0))[0, ..., 0]
    assert (wide == 9).all()
    assert (kept[:, 4:12] == 9).all() and not kept[:, :4].any() and not kept[:, 12:].any()


FIXED = """
VALUE_RANGE = (0, 1)
TRAINING = {"epochs": 2, "batch": 5}
"""


def fixed(folder: Path, text: str = FIXED) -> Recipe:
    (folder / "fixed.py").write_text(text, encoding="utf-8")
    return Recipe(folder / "fixed.py")


def test_a_recipe_of_one_size_refuses_many_and_names_letterbox(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataRefused) as caught:
        training_batches(data, fixed(tmp_path), [PROFILE], 0)
    assert str(caught.value) == (
        f"fixed is trained on images of one size, those of {data.name} have 6 sizes\n"
        "  cause: bringing them all to one size would change their shapes\n"
        "  next:  add --fit letterbox, which lays each on a background, its shape kept; or train "
        "models/multiscale.py, which takes any size"
    )
    made = training_batches(replace(data, fit="letterbox"), fixed(tmp_path), [PROFILE], 0)
    assert [made(step)[0].shape for step in (0, 7)] == [(5, 32, 32, 1), (1, 32, 32, 1)]
    sized = fixed(tmp_path, FIXED + "SIZE = (20, 30)\n")
    assert training_batches(replace(data, fit="letterbox"), sized, [PROFILE], 0)(0)[0].shape == (5, 20, 30, 1)


def test_a_folder_of_one_size_trains_a_recipe_of_one_size(tmp_path: Path) -> None:
    data = find_data(str(folder_of(tmp_path / "one"))).load()
    made = training_batches(data, fixed(tmp_path), [PROFILE], 0)
    epoch = np.concatenate([made(step)[0] for step in range(3)])
    assert epoch.shape == (12, 12, 16, 1)
    expected = sorted(np.asarray(image).tobytes() for image in data.x_train)
    assert sorted((epoch * 255).round().astype(np.uint8)[i].tobytes() for i in range(12)) == expected


# A folder larger than memory


def test_a_folder_is_never_held_in_memory(tmp_path: Path) -> None:
    """96 photos, 138 MB in all: looking at them, training and measuring hold a few at a time."""
    most_held(photos(tmp_path / "few", 16))  # what a first use imports and starts is no image
    assert most_held(photos(tmp_path / "many", 96)) < 40e6


def photos(folder: Path, count: int) -> Path:
    """So many different photos of 600x800 in colour."""
    photo = picture(0, (600, 800), colour=True)
    for number in range(count):
        photo.putpixel((number, 0), (255, 0, 0))
        part = "test" if number % 4 == 0 else "train"
        saved(folder / part / "bc"[number // 4 % 2] / f"{number}.jpg", photo, quality=60 + number % 30)
    return folder


def most_held(folder: Path) -> int:
    """The most bytes by which this process grows while it looks at a folder, trains on it and measures."""
    before, held = resident(), [0]
    data = ImageFolder(folder, cache_bytes=8 << 20).load()
    held.append(resident() - before)
    for images, _ in map(batches(data, replace(TRAINING, pixels=40_000)), range(30)):
        assert images.size
        held.append(resident() - before)
    for image in data.x_test:
        assert image.shape == (600, 800, 3)
        held.append(resident() - before)
    return max(held)


def resident() -> int:
    """Bytes of memory that this process has, Pillow's own too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

"""What calibration used: the audit tells it, and images that cannot be trusted stop the build."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calibration_nets import TENSORS, small_net, values_of

from fcnship.data import Dataset, find_data
from fcnship.data.npz import dataset_from_arrays
from fcnship.errors import DataRefused
from fcnship.precision.calibrate import Calibrated, calibrate
from fcnship.precision.calibration import CalibrationRecipe
from fcnship.precision.coverage import cells_of, group_of
from fcnship.precision.drawing import CalibrationImage, CalibrationSet, check_enough, draw, spread_sizes
from fcnship.precision.methods import Method
from fcnship.sizes import Profile, Size
from image_folders import folder_of

Array = np.ndarray[Any, Any]
RANGE = (0.0, 1.0)
PROFILES = [Profile.parse("8-64")]


def dataset(train: int = 40, test: int = 6, seed: int = 0, **changes: Array) -> Dataset:
    rng = np.random.default_rng(seed)
    arrays = {
        "x_train": rng.integers(0, 256, (train, 12, 12), np.uint8),
        "y_train": np.arange(train) % 2,
        "x_test": rng.integers(0, 256, (test, 12, 12), np.uint8),
        "y_test": np.arange(test) % 2,
    }
    return dataset_from_arrays("made", arrays | changes)


def recipe(folder: Path, images: int = 16, **changes: Any) -> CalibrationRecipe:
    path = folder / "mine.toml"
    path.write_text("", encoding="utf-8")
    settings: dict[str, Any] = {"method": Method(name="percentile", percentile=99), **changes}
    return CalibrationRecipe(path=path, images=images, **settings)


def run(chosen: CalibrationRecipe, drawn: CalibrationSet) -> Calibrated:
    return calibrate(small_net(), chosen, drawn, RANGE)


def refusal(chosen: CalibrationRecipe, drawn: CalibrationSet) -> str:
    with pytest.raises(DataRefused) as caught:
        run(chosen, drawn)
    assert caught.value.exit_code == 3
    return str(caught.value)


# Drawing


def test_images_are_drawn_by_the_seed_and_never_twice(tmp_path: Path) -> None:
    data = dataset()
    one, again = (draw(recipe(tmp_path), data, PROFILES) for _ in range(2))
    other = draw(recipe(tmp_path, seed=1), data, PROFILES)
    names = [[image.sha256 for image in drawn.images] for drawn in (one, again, other)]
    assert names[0] == names[1] != names[2]
    assert len(set(names[0])) == 16
    assert [image.size for image in one.images] == [image.size for image in again.images]
    held_out = {image.sha256 for image in one.held_out}
    assert len(held_out) == 24
    assert not held_out & set(names[0])
    train = {CalibrationImage(pixels=pixels, size=Size(1, 1)).sha256 for pixels in data.x_train}
    assert held_out | set(names[0]) == train


def test_an_image_that_the_data_holds_twice_is_drawn_once(tmp_path: Path) -> None:
    twice = np.repeat(dataset(20).x_train, 2, axis=0)
    drawn = draw(recipe(tmp_path), dataset(x_train=twice), PROFILES)
    names = [image.sha256 for image in (*drawn.images, *drawn.held_out)]
    assert len(names) == len(set(names)) == 20


def test_sizes_spread_over_every_profile() -> None:
    profiles = [Profile.parse("8-64"), Profile.parse("100x50-200x100")]
    sizes = spread_sizes(profiles, 41, seed=0)
    for profile, count in zip(profiles, (21, 20), strict=True):
        inside = [size for size in sizes if size.within(profile.min, profile.max)]
        assert len(inside) == count
        assert {profile.min, profile.max} <= set(inside)
        assert all(any(cell.holds(size) for size in inside) for cell in cells_of(profile))
    assert any(size.height > size.width for size in sizes[:21])
    assert any(size.height < size.width for size in sizes[:21])


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ("data", [Size(12, 12)] * 4),
        ((Size(8, 8), Size(20, 30)), [Size(8, 8), Size(20, 30), Size(8, 8), Size(20, 30)]),
        ("ladder", [Size(8, 8), Size(11, 11), Size(14, 14), Size(20, 20)]),
    ],
)
def test_sizes_of_a_recipe(sizes: Any, expected: list[Size], tmp_path: Path) -> None:
    drawn = draw(recipe(tmp_path, images=4, sizes=sizes), dataset(), PROFILES)
    assert [image.size for image in drawn.images] == expected


def test_an_image_as_the_network_gets_it() -> None:
    pixels = np.arange(0, 144, dtype=np.uint8).reshape(12, 12, 1)
    same = CalibrationImage(pixels=pixels, size=Size(12, 12)).fed((0.0, 255.0), (-1.0, 1.0))
    np.testing.assert_allclose(same, pixels[None] / 255 * 2 - 1, atol=1e-6)
    wide = CalibrationImage(pixels=pixels, size=Size(9, 30)).fed((0.0, 255.0), (0.0, 255.0))
    assert (wide.shape, wide.dtype) == ((1, 9, 30, 1), np.float32)


# The parts of a range


def test_a_profile_has_one_part_more_than_its_side_doubles() -> None:
    assert [str(cell) for cell in cells_of(Profile.parse("28-224"))] == [
        "28-47",
        "47-79",
        "79-133",
        "133-224",
    ]
    assert [str(cell) for cell in cells_of(Profile.parse("64"))] == ["64-64"]
    assert [str(cell) for cell in cells_of(Profile.parse("20x30-40x60"))] == ["20x30-28x42", "28x42-40x60"]
    assert len(cells_of(Profile.parse("1-9999"))) == 8


@pytest.mark.parametrize("low", [1, 8, 28, 100])
@pytest.mark.parametrize("doublings", range(7))
def test_sizes_that_double_lie_in_a_part_each(low: int, doublings: int) -> None:
    profile = Profile.parse(f"{low}-{low * 2**doublings}")
    found = [group_of([profile], Size(low * 2**step, low * 2**step)) for step in range(doublings + 1)]
    assert found == cells_of(profile)


def test_no_part_holds_what_lies_outside() -> None:
    profile = Profile.parse("28-224")
    assert group_of([profile], Size(28, 225)) is None
    assert not any(cell.holds(Size(10, 100)) for cell in cells_of(profile))


# The audit


def test_the_audit_tells_what_was_used(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    drawn = draw(chosen, dataset(), PROFILES)
    told = run(chosen, drawn).audit.as_json()
    assert json.loads(json.dumps(told)) == told
    assert told["recipe"] == chosen.as_json()
    for image, row in zip(drawn.images, told["images"], strict=True):
        digest = hashlib.sha256(b"(12, 12, 1)" + image.pixels.tobytes()).hexdigest()
        assert row == {"sha256": digest, "height": image.size.height, "width": image.size.width}
    assert (told["distinct"], told["blank"], told["held_out"]) == (16, 0, 24)
    assert [row["sizes"] for row in told["coverage"]] == ["8-13", "13-23", "23-38", "38-64"]
    assert [row["images"] for row in told["coverage"]] == [4, 4, 4, 4]
    assert {row["profile"] for row in told["coverage"]} == {str(PROFILES[0])}
    assert [row["tensor"] for row in told["tensors"]] == TENSORS


def test_saturation_is_that_of_held_out_images(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    drawn = draw(chosen, dataset(), PROFILES)
    made = run(chosen, drawn)
    for tensor in made.audit.tensors:
        assert made.ranges[tensor.tensor] == (-tensor.high, tensor.high)
        shares = [
            float(
                (
                    np.abs(values_of(small_net(), image.fed((0, 255), RANGE))[tensor.tensor]) > tensor.high
                ).mean()
            )
            for image in drawn.held_out
        ]
        assert tensor.saturated == pytest.approx(np.mean(shares), abs=1e-4)
        assert tensor.worst == pytest.approx(max(shares), abs=1e-4)
        assert tensor.worst_size in {image.size for image in drawn.held_out}
    assert 0 < made.audit.tensors[0].saturated < 0.03  # at the 99th percentile


def test_leaving_out_the_size_group_that_matters_shows(tmp_path: Path) -> None:
    data = dataset()
    chosen = recipe(tmp_path, method=Method())
    drawn = draw(chosen, data, PROFILES)
    dim = [
        dataclasses.replace(image, pixels=image.pixels if image.size.height > 40 else image.pixels // 4)
        for image in drawn.images
    ]
    audit = run(chosen, dataclasses.replace(drawn, images=dim)).audit
    image = audit.tensors[0]
    assert image.tensor == "image"
    assert image.moves_most is not None
    assert image.moves_most[0] == "38-64"
    assert image.moves_most[1] == pytest.approx(0.25, abs=0.01)
    assert image.without["8-13"] == image.high == image.largest
    told = audit.as_json()
    assert told["moves_most"]["sizes"] == "38-64"
    assert told["tensors"][0]["without"][3] == {
        "sizes": "38-64",
        "high": image.without["38-64"],
        "factor": image.moves_most[1],
    }


def test_one_size_alone_has_no_group_to_leave_out(tmp_path: Path) -> None:
    profiles = [Profile.parse("12")]
    chosen = recipe(tmp_path, sizes="data")
    told = run(chosen, draw(chosen, dataset(), profiles)).audit.as_json()
    assert told["moves_most"] is None
    assert all(row["without"] == [] for row in told["tensors"])


def test_progress_counts_every_image_that_is_read(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    heard: list[tuple[int, int]] = []
    calibrate(
        small_net(),
        chosen,
        draw(chosen, dataset(), PROFILES),
        RANGE,
        progress=lambda done, total, text: heard.append((done, total)),
    )
    assert heard == [(done, 2 * 16 + 24) for done in range(2 * 16 + 24 + 1)]


# What stops the build


def test_one_image_used_again_and_again_is_caught(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    drawn = draw(chosen, dataset(), PROFILES)
    same = [dataclasses.replace(image, pixels=drawn.images[0].pixels) for image in drawn.images]
    sha256 = drawn.images[0].sha256[:12]
    assert refusal(chosen, dataclasses.replace(drawn, images=same)) == (
        f"calibration was to use 16 different images, and used 1: {sha256} 16 times\n"
        "  cause: the same image was used again and again, or there are no more\n"
        "  next:  give more training images, or ask for fewer in the recipe: images = N"
    )


def test_fewer_images_than_asked_for_are_caught(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    drawn = draw(chosen, dataset(), PROFILES)
    assert refusal(chosen, dataclasses.replace(drawn, images=drawn.images[::2])).startswith(
        "calibration was to use 16 different images, and used 8\n"
    )


def test_too_little_data_is_refused(tmp_path: Path) -> None:
    chosen = recipe(tmp_path, images=40)
    with pytest.raises(DataRefused) as caught:
        draw(chosen, dataset(40), PROFILES)
    assert str(caught.value) == (
        "the calibration recipe mine asks for 40 images and some to hold out, "
        "and the training part of made has 40 different ones\n"
        "  cause: the data set is small, or holds the same image many times\n"
        f"  next:  ask for fewer in a copy of {chosen.path}: images = 20"
    )


def test_a_small_calibration_part_is_used_to_its_last_image(tmp_path: Path) -> None:
    """What is held out comes from the training part then: nothing of it has to be spared."""
    data = dataclasses.replace(dataset(), x_calibration=dataset(10, seed=1).x_train)
    chosen = recipe(tmp_path, images=11)
    with pytest.raises(DataRefused) as caught:
        check_enough(chosen, data)
    assert caught.value.what == (
        "the calibration recipe mine asks for 11 images and some to hold out, "
        "and the calibration part of made has 10 different ones"
    )
    assert caught.value.next == f"ask for fewer in a copy of {chosen.path}: images = 10"
    drawn = draw(recipe(tmp_path, images=10), data, PROFILES)
    assert (len(drawn.images), len(drawn.held_out)) == (10, 40)


def test_photos_larger_than_the_profile_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", {"train": 12, "test": 2}, sizes=((65, 20),))
    data = find_data(str(folder)).load()
    shutil.rmtree(folder)
    with pytest.raises(DataRefused) as caught:
        draw(recipe(tmp_path, sizes="data"), data, PROFILES)
    assert caught.value.what == (
        "calibration images have sizes that no profile takes: 65x20 lies outside 8-64"
    )


def test_no_images_are_refused(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    drawn = dataclasses.replace(draw(chosen, dataset(), PROFILES), images=[])
    assert refusal(chosen, drawn) == (
        "there are no calibration images\n"
        "  cause: the training part of the data is empty\n"
        "  next:  give a data set with training images: --data PATH.npz"
    )


def test_black_images_are_refused(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    drawn = draw(chosen, dataset(), PROFILES)
    black = [dataclasses.replace(image, pixels=np.zeros_like(image.pixels)) for image in drawn.images]
    assert refusal(chosen, dataclasses.replace(drawn, images=black)) == (
        "all 16 calibration images are blank: every pixel of an image is the same\n"
        "  cause: the images were lost when the data set was made\n"
        "  next:  look at them, and make the data set again"
    )


def test_one_black_image_is_counted(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    drawn = draw(chosen, dataset(), PROFILES)
    black = dataclasses.replace(drawn.images[3], pixels=np.zeros_like(drawn.images[3].pixels))
    images = [*drawn.images[:3], black, *drawn.images[4:]]
    assert run(chosen, dataclasses.replace(drawn, images=images)).audit.as_json()["blank"] == 1


def test_sizes_outside_the_profile_are_refused(tmp_path: Path) -> None:
    chosen = recipe(tmp_path, sizes=(Size(8, 8), Size(65, 20), Size(16, 16)))
    assert refusal(chosen, draw(chosen, dataset(), PROFILES)) == (
        "calibration images have sizes that no profile takes: 65x20 lies outside 8-64\n"
        "  cause: the recipe names other sizes than --profile, or takes the data as it comes\n"
        "  next:  write sizes = 'profile' into the recipe, or widen --profile"
    )


def test_a_size_between_two_profiles_is_refused(tmp_path: Path) -> None:
    chosen = recipe(tmp_path, sizes=(Size(20, 20),))
    profiles = [Profile.parse("8-16"), Profile.parse("32-64")]
    assert "no profile takes: 20x20 has no profile\n" in refusal(chosen, draw(chosen, dataset(), profiles))


def test_a_part_of_the_range_without_an_image_is_refused(tmp_path: Path) -> None:
    chosen = recipe(tmp_path, sizes="data")
    profile = str(PROFILES[0])
    assert refusal(chosen, draw(chosen, dataset(), PROFILES)) == (
        f"no calibration image has a size in 13-23 of {profile}, 23-38 of {profile}, 38-64 of {profile}\n"
        "  cause: ranges found at other sizes need not hold there\n"
        "  next:  write sizes = 'profile' into the recipe, or ask for more images"
    )


def test_a_test_image_among_them_is_refused(tmp_path: Path) -> None:
    data = dataset()
    overlapping = dataset(
        x_test=np.concatenate([data.x_test, data.x_train])[..., 0], y_test=np.arange(46) % 2
    )
    chosen = recipe(tmp_path)
    drawn = draw(chosen, overlapping, PROFILES)
    message = refusal(chosen, drawn)
    first = drawn.images[0]
    place = next(i for i, pixels in enumerate(overlapping.x_test) if (pixels == first.pixels).all())
    assert message.startswith(
        f"16 calibration images are test images of made too: {first.sha256[:12]} (test image {place}), "
    )
    assert message.endswith(
        " and 11 more\n"
        "  cause: the training and the test part of the data overlap, so that accuracy would be flattered\n"
        "  next:  take these images out of one of the two parts"
    )


def test_held_out_images_that_calibrate_too_are_refused(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    drawn = draw(chosen, dataset(), PROFILES)
    both = dataclasses.replace(drawn, held_out=[*drawn.held_out, drawn.images[2]])
    assert refusal(chosen, both).startswith(
        f"1 held-out images were used to calibrate too: {drawn.images[2].sha256[:12]}\n"
    )


def test_an_image_with_nan_is_refused(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    drawn = draw(chosen, dataset(), PROFILES)
    broken = drawn.images[5].pixels.astype(np.float32)
    broken[0, 0, 0] = np.nan
    images = [*drawn.images]
    images[5] = dataclasses.replace(images[5], pixels=broken)
    size = images[5].size
    message = refusal(chosen, dataclasses.replace(drawn, images=images))
    assert message.startswith(f"calibration image 5, {size}, has NaN or infinity\n")

"""Accuracy over the sizes of a range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcnship.data import collection
from fcnship.data.npz import Dataset, dataset_from_arrays
from fcnship.runners import Unrunnable
from fcnship.sizes import Profile, Size
from fcnship.verify import accuracy
from fcnship.verify.accuracy import accuracy_rows, image_counts, images_for, scores_of
from fcnship.verify.accuracy_grid import accuracy_sizes, curve, grid


def dataset(images: int) -> Dataset:
    """Images of one brightness each, which is a tenth of the label; every fifth label is wrong."""
    labels = np.arange(images) % 3
    x = np.ones((images, 4, 4)) * labels[:, None, None] * 0.4
    shown = np.where(np.arange(images) % 5 == 0, (labels + 1) % 3, labels)
    arrays = {"x_train": x, "y_train": labels, "x_test": x, "y_test": shown}
    return dataset_from_arrays("data", arrays, value_range=(0.0, 1.0))


class ByBrightness:
    """Knows the label from the brightness; keeps the shapes that it was given."""

    def __init__(self, most: int = 10**6, variant: str = "onnx-fp32") -> None:
        self.variant = variant
        self.shapes: list[tuple[int, ...]] = []
        self.brightest = 0.0
        self._most = most

    def prepare(self, images: Any) -> Any:
        if images.shape[1] > self._most:
            raise Unrunnable("no profile serves it")
        self.shapes.append(images.shape)
        self.brightest = max(self.brightest, float(images.max()))
        return images

    def infer(self, images: Any) -> Any:
        label = np.rint(images.mean(axis=(1, 2, 3)) / 255 / 0.4).astype(int)
        return np.eye(3, dtype=np.float32)[label]

    def finish(self, outputs: Any) -> Any:
        return outputs

    def close(self) -> None: ...


def rows(*runners: ByBrightness, data: Dataset, size: Size, batch: int = 512) -> list[dict[str, Any]]:
    batches = {runner.variant: batch for runner in runners}
    return accuracy_rows(runners, data, (0.0, 255.0), size, batches)


def test_the_share_of_images_that_are_classified_rightly() -> None:
    runner = ByBrightness()
    (row,) = rows(runner, data=dataset(100), size=Size(6, 9), batch=32)
    assert row == {"variant": "onnx-fp32", "height": 6, "width": 9, "images": 100, "accuracy": 0.8}
    assert runner.shapes == [(32, 6, 9, 1)] * 3 + [(4, 6, 9, 1)]
    assert runner.brightest == pytest.approx(0.8 * 255)


def test_no_batch_has_more_pixels_than_fit() -> None:
    runner = ByBrightness()
    rows(runner, data=dataset(6), size=Size(512, 512))
    assert [shape[0] for shape in runner.shapes] == [2, 2, 2]


def test_each_variant_takes_its_own_batch_of_images_that_are_resized_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resized: list[Size] = []
    plain = collection.fitted
    monkeypatch.setattr(
        collection, "fitted", lambda x, size, *rest: (resized.append(size), plain(x, size, *rest))[1]
    )
    small, large = ByBrightness(variant="engine-fp32"), ByBrightness(variant="onnx-fp32")
    batches = {"engine-fp32": 2, "onnx-fp32": 512}
    found = accuracy_rows([small, large], dataset(5), (0.0, 255.0), Size(8, 8), batches)
    assert [shape[0] for shape in small.shapes] == [2, 2, 1]
    assert [shape[0] for shape in large.shapes] == [5]
    assert [row["variant"] for row in found] == ["engine-fp32", "onnx-fp32"]
    assert found[0]["accuracy"] == found[1]["accuracy"] == 0.8
    assert resized == [Size(8, 8)]


def test_a_variant_that_does_not_serve_a_size_has_no_row_and_the_others_have() -> None:
    small, large = ByBrightness(most=8, variant="engine-fp32"), ByBrightness()
    assert [row["variant"] for row in rows(small, large, data=dataset(6), size=Size(9, 9))] == ["onnx-fp32"]


def test_of_many_test_images_always_the_same_are_taken() -> None:
    data = dataset(3000)
    first, second = (accuracy.test_images(data, 2000) for _ in range(2))
    assert [len(part) for part in first] == [2000, 2000]
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()
    few, labels = accuracy.test_images(data, 3000)
    assert few is data.x_test
    assert labels is data.y_test


def test_a_costly_network_is_measured_on_fewer() -> None:
    counts = [images_for(adds) for adds in (0, 10**6, 10**9, 10**10, 10**12)]
    assert counts == [2000, 2000, 400, 40, 8]


def test_a_map_of_scores_counts_by_its_mean() -> None:
    maps = np.zeros((1, 2, 2, 3))
    maps[0, 0, 0, 2] = 1
    maps[0, :, :, 1] = 0.3
    assert scores_of(maps).tolist() == [[0, 0.3, 0.25]]
    assert scores_of(maps[0, 0]) is not None
    assert scores_of(maps[0, 0]).shape == (2, 3)


def test_sizes_are_a_curve_of_squares_and_a_grid_of_heights_and_widths() -> None:
    profile = Profile.parse("28-224")
    sides = [28, 47, 79, 133, 224]
    assert grid(profile) == [Size(height, width) for height in sides for width in sides]
    assert [str(size) for size in curve(profile)] == [
        f"{side}x{side}" for side in (28, 36, 47, 61, 79, 103, 133, 173, 224)
    ]
    assert len(accuracy_sizes([profile])) == 25 + 4, "the diagonal of the grid lies on the curve"
    assert accuracy_sizes([Profile.parse("64")]) == [Size(64, 64)]
    both = accuracy_sizes([profile, Profile.parse("28-300")])
    assert accuracy_sizes([profile]) != both == sorted(set(both))


@pytest.mark.parametrize(
    ("profile", "first", "last", "square"),
    [
        ("28x40-224x320", Size(40, 40), Size(224, 224), True),
        ("28x100-90x320", Size(28, 100), Size(90, 320), False),
        ("64x32-64x128", Size(64, 32), Size(64, 128), False),
    ],
)
def test_the_curve_is_of_squares_where_the_profile_has_them(
    profile: str, first: Size, last: Size, square: bool
) -> None:
    wanted = Profile.parse(profile)
    sizes = curve(wanted)
    assert (sizes[0], sizes[-1], len(sizes)) == (first, last, 9)
    assert all(size.height == size.width for size in sizes) is square
    assert all(size.within(wanted.min, wanted.max) for size in (*sizes, *grid(wanted)))


def test_cells_beside_the_curve_share_one_number_of_images() -> None:
    profile = Profile.parse("28-224")
    counts = image_counts([profile], lambda size: 400 * size.pixels, 10_000)
    squares = {size for size in counts if size.height == size.width}
    assert {counts[size] for size in squares} == {2000}
    assert {counts[size] for size in counts.keys() - squares} == {400}
    assert set(image_counts([profile], lambda size: 400 * size.pixels, 90).values()) == {90}
    costly = image_counts([profile], lambda size: 4000 * size.pixels, 10_000)
    cells = {costly[size] for size in costly.keys() - squares}
    assert cells == {135}
    assert set(image_counts([profile], lambda size: 10**15, 10_000).values()) == {8}

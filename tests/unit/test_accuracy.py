"""Accuracy over the sizes of a range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcnship.data.npz import Dataset, dataset_from_arrays
from fcnship.runners import Unrunnable
from fcnship.sizes import Profile, Size
from fcnship.verify import accuracy
from fcnship.verify.accuracy import accuracy_rows, accuracy_sizes, images_for, scores_of


def dataset(images: int) -> Dataset:
    """Images of one brightness each, which is a tenth of the label; every fifth label is wrong."""
    labels = np.arange(images) % 3
    x = np.ones((images, 4, 4)) * labels[:, None, None] * 0.4
    shown = np.where(np.arange(images) % 5 == 0, (labels + 1) % 3, labels)
    arrays = {"x_train": x, "y_train": labels, "x_test": x, "y_test": shown}
    return dataset_from_arrays("data", arrays, value_range=(0.0, 1.0))


class ByBrightness:
    """Knows the label from the brightness; keeps the shapes that it was given."""

    variant = "onnx-fp32"

    def __init__(self, most: int = 10**6) -> None:
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


def test_the_share_of_images_that_are_classified_rightly() -> None:
    runner = ByBrightness()
    row = accuracy_rows(runner, dataset(100), (0.0, 255.0), Size(6, 9), most_batch=32)
    assert row == {"variant": "onnx-fp32", "height": 6, "width": 9, "images": 100, "accuracy": 0.8}
    assert runner.shapes == [(32, 6, 9, 1)] * 3 + [(4, 6, 9, 1)]
    assert runner.brightest == pytest.approx(0.8 * 255)


def test_no_batch_has_more_pixels_than_fit() -> None:
    runner = ByBrightness()
    accuracy_rows(runner, dataset(6), (0.0, 255.0), Size(512, 512), most_batch=512)
    assert [shape[0] for shape in runner.shapes] == [2, 2, 2]


def test_a_size_that_is_not_served_has_no_row() -> None:
    assert accuracy_rows(ByBrightness(most=8), dataset(6), (0.0, 255.0), Size(9, 9), 8) is None


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


def test_sizes_are_a_ladder_and_some_oblong_ones_inside() -> None:
    profile = Profile.parse("28-224")
    sizes = accuracy_sizes([profile])
    assert {profile.min, profile.max, Size(28, 39), Size(224, 160), Size(57, 112)} <= set(sizes)
    assert all(size.within(profile.min, profile.max) for size in sizes)
    assert accuracy_sizes([Profile.parse("64")]) == [Size(64, 64)]
    both = accuracy_sizes([profile, Profile.parse("28-300")])
    assert sizes != both == sorted(set(both))

"""Accuracy of variants on test images, at sizes over the whole range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fcnship.data import Dataset
from fcnship.data.collection import Images, part_of
from fcnship.runners import Runner, Unrunnable, run
from fcnship.sizes import Profile, Size
from fcnship.verify.accuracy_grid import accuracy_sizes, curve

Array = np.ndarray[Any, Any]
MOST_IMAGES, _LEAST_IMAGES, _MOST_IMAGES_A_CELL = 2000, 8, 400
_MULTIPLY_ADDS_A_SIZE = 4 * 10**11
_MULTIPLY_ADDS_OF_CELLS = 10**11
_PIXELS_A_BATCH = 1 << 19


def image_counts(
    profiles: Iterable[Profile], multiply_adds: Callable[[Size], int], images: int
) -> dict[Size, int]:
    """How many of the test images are measured at each size.

    As many on the curve as its own cost allows. The cells of the grid that are not on it have all one number,
    which the cost of them together allows: they are compared with each other.
    """
    profiles = tuple(profiles)
    on_curve = {size for profile in profiles for size in curve(profile)}
    costs = {size: multiply_adds(size) for size in accuracy_sizes(profiles)}
    cells = sum(cost for size, cost in costs.items() if size not in on_curve)
    in_a_cell = max(_LEAST_IMAGES, min(_MOST_IMAGES_A_CELL, _MULTIPLY_ADDS_OF_CELLS // max(cells, 1)))
    return {
        size: min(images, images_for(cost) if size in on_curve else in_a_cell) for size, cost in costs.items()
    }


def scores_of(outputs: Array) -> Array:
    """(batch, classes) scores: a map of scores is averaged over its cells."""
    return outputs.mean(axis=(1, 2)) if outputs.ndim == 4 else outputs


def images_for(multiply_adds: int) -> int:
    """How many test images a pass of so many multiply-adds allows, in some ten seconds on two cores."""
    return max(_LEAST_IMAGES, min(MOST_IMAGES, _MULTIPLY_ADDS_A_SIZE // max(multiply_adds, 1)))


def test_images(data: Dataset, most: int) -> tuple[Images, Array]:
    """The test images and labels; of a larger test set the same ``most`` always."""
    if len(data.x_test) <= most:
        return data.x_test, data.y_test
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.x_test))[:most])
    return part_of(data.x_test, chosen), data.y_test[chosen]


def accuracy_rows(
    runners: Sequence[Runner],
    data: Dataset,
    value_range: tuple[float, float],
    size: Size,
    batches: Mapping[str, int],
    most_images: int = MOST_IMAGES,
) -> list[dict[str, Any]]:
    """The report's rows of a size: each variant's share of test images that it classifies rightly.

    Every image is brought to ``size`` once, for all of them, stretched no more than the data allow.
    ``batches`` says for each variant how many it takes at once. A variant that does not serve this size has
    no row.
    """
    images, labels = test_images(data, most_images)
    served, right = list(runners), Counter[str]()
    together = max(1, min(_PIXELS_A_BATCH // size.pixels, len(images)))
    for start in range(0, len(images), together):
        places = np.arange(start, min(start + together, len(images)))
        part = data.at_size(images, places, size, value_range)
        for runner in tuple(served):
            try:
                found = _decisions(runner, part, batches[runner.variant])
            except Unrunnable:
                served.remove(runner)
            else:
                right[runner.variant] += int((found == labels[places]).sum())
    return [_row(runner.variant, size, len(images), right[runner.variant]) for runner in served]


def _decisions(runner: Runner, images: Array, batch: int) -> Array:
    """The class of each image."""
    parts = [run(runner, images[at : at + batch]) for at in range(0, len(images), batch)]
    return np.concatenate([scores_of(part).argmax(axis=1) for part in parts])


def _row(variant: str, size: Size, images: int, right: int) -> dict[str, Any]:
    return {
        "variant": variant,
        "height": size.height,
        "width": size.width,
        "images": images,
        "accuracy": right / images,
    }

"""Accuracy of a variant on test images, at sizes over the whole range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fcnship.data import Dataset
from fcnship.data.images import resize, to_range
from fcnship.runners import Runner, Unrunnable, run
from fcnship.sizes import Profile, Size, ladder

Array = np.ndarray[Any, Any]
MOST_IMAGES, _LEAST_IMAGES = 2000, 8
_MULTIPLY_ADDS_A_SIZE = 4 * 10**11
_PIXELS_A_BATCH = 1 << 19
_OBLONG = 1.4


def accuracy_sizes(profiles: Sequence[Profile]) -> list[Size]:
    """A ladder of sizes over each profile, and some oblong ones."""
    return sorted({size for profile in profiles for size in (*ladder(profile), *_oblong(profile))})


def _oblong(profile: Profile) -> list[Size]:
    low, opt, high = profile.min, profile.opt, profile.max
    wanted = [
        Size(low.height, round(low.width * _OBLONG)),
        Size(round(opt.height / _OBLONG), round(opt.width * _OBLONG)),
        Size(high.height, round(high.width / _OBLONG)),
    ]
    return [size for size in wanted if size.within(low, high)]


def scores_of(outputs: Array) -> Array:
    """(batch, classes) scores: a map of scores is averaged over its cells."""
    return outputs.mean(axis=(1, 2)) if outputs.ndim == 4 else outputs


def images_for(multiply_adds: int) -> int:
    """How many test images a pass of so many multiply-adds allows, in some ten seconds on two cores."""
    return max(_LEAST_IMAGES, min(MOST_IMAGES, _MULTIPLY_ADDS_A_SIZE // max(multiply_adds, 1)))


def test_images(data: Dataset, most: int) -> tuple[Array, Array]:
    """The test images and labels; of a larger test set the same ``most`` always."""
    if len(data.x_test) <= most:
        return data.x_test, data.y_test
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.x_test))[:most])
    return data.x_test[chosen], data.y_test[chosen]


def accuracy_rows(
    runner: Runner,
    data: Dataset,
    value_range: tuple[float, float],
    size: Size,
    most_batch: int,
    most_images: int = MOST_IMAGES,
) -> dict[str, Any] | None:
    """One row of the report: the share of test images, resized to ``size``, that are classified rightly.

    None where the runner does not serve this size.
    """
    images, labels = test_images(data, most_images)
    batch = max(1, min(_PIXELS_A_BATCH // size.pixels, most_batch))
    right = 0
    try:
        for start in range(0, len(images), batch):
            part = resize(images[start : start + batch], size)
            outputs = run(runner, to_range(part, data.value_range, value_range))
            right += int((scores_of(outputs).argmax(axis=1) == labels[start : start + batch]).sum())
    except Unrunnable:
        return None
    return {
        "variant": runner.variant,
        "height": size.height,
        "width": size.width,
        "images": len(images),
        "accuracy": right / len(images),
    }

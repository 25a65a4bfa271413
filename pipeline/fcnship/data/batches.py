"""Batches of one size each, sizes drawn from profiles, about the same number of pixels a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fcnship.data.buckets import Buckets
from fcnship.data.collection import FolderImages, sides_of
from fcnship.data.dataset import Dataset
from fcnship.data.drawn_size import draw_any_shape, draw_size, growing_reach
from fcnship.data.images import augmented, fitted, random_affine, to_range
from fcnship.errors import DataRefused
from fcnship.recipe import Augment, Recipe, Training
from fcnship.sizes import Profile, Size

Array = np.ndarray[Any, Any]
Range = tuple[float, float]
Batch = tuple[Array, Array]
# The batch of a step. It hangs on the seed and the step alone, so that a training can go on at any step, and
# several threads may ask at once.
Batches = Callable[[int], Batch]


def training_batches(data: Dataset, recipe: Recipe, profiles: Sequence[Profile], seed: int) -> Batches:
    """The batches that a recipe trains on: of one size, of buckets, or of sizes drawn from the profiles.

    Raises:
        DataRefused: the recipe wants one size, and the images have several that nobody asked to letterbox.
    """
    training, augment, value_range = recipe.training, recipe.augment, recipe.value_range
    if training.epochs:
        size = _one_size(data, recipe, profiles)
        return fixed_batches(data, size, training, augment, value_range, seed)
    mixed = bucketed_batches if data.bucketed else mixed_batches
    return mixed(data, profiles, training, augment, value_range, seed)


def _one_size(data: Dataset, recipe: Recipe, profiles: Sequence[Profile]) -> Size:
    if data.own_size is None and data.fit == "bucket":
        different = len(np.unique(sides_of(data.x_train), axis=0))
        raise DataRefused(
            f"{recipe.name} is trained on images of one size, those of {data.name} have {different} sizes",
            cause="bringing them all to one size would change their shapes",
            next="add --fit letterbox, which lays each on a background, its shape kept; "
            "or train models/multiscale.py, which takes any size",
        )
    return recipe.size or data.own_size or profiles[0].opt


def mixed_batches(
    data: Dataset,
    profiles: Sequence[Profile],
    training: Training,
    augment: Augment,
    value_range: Range,
    seed: int,
) -> Batches:
    """Training batches: images (n, height, width, channels) float32 and labels (n,) int32.

    Sizes grow from the minimum over the recipe's ``growth``: small images teach what a digit is for little.
    """
    growing = training.growth * training.steps_for(len(data.x_train))

    def batch(step: int) -> Batch:
        rng = np.random.default_rng((seed, step))
        size = draw_size(profiles, rng, training, growing_reach(step, growing))
        chosen = rng.choice(len(data.x_train), _count(size, training, data), replace=False)
        return _batch(data, chosen, size, augment, value_range, rng)

    return batch


def bucketed_batches(
    data: Dataset,
    profiles: Sequence[Profile],
    training: Training,
    augment: Augment,
    value_range: Range,
    seed: int,
) -> Batches:
    """As ``mixed_batches``, but a batch's images have nearly one shape, and its size has that shape too.

    ``training.any_shape`` of the batches, and those of images whose shape no profile holds, have a size of
    another shape: each image keeps its own there, and lies somewhere on a background.
    """
    growing = training.growth * training.steps_for(len(data.x_train))
    buckets = Buckets(sides_of(data.x_train), profiles)

    def batch(step: int) -> Batch:
        rng = np.random.default_rng((seed, step))
        reach = growing_reach(step, growing)
        first = int(rng.integers(len(data.x_train)))
        if rng.random() < training.any_shape:
            size = draw_any_shape(profiles, rng, reach)
            chosen = rng.choice(len(data.x_train), _count(size, training, data), replace=False)
        else:
            size = buckets.draw_size(first, rng, training, reach)
            chosen = buckets.neighbours(first, _count(size, training, data), rng)
        return _batch(data, chosen, size, augment, value_range, rng)

    return batch


def fixed_batches(
    data: Dataset,
    size: Size,
    training: Training,
    augment: Augment,
    value_range: Range,
    seed: int,
) -> Batches:
    """Training batches of one size: each epoch every image once, in an order of its own."""
    per_epoch = training.steps_for(len(data.x_train)) // training.epochs

    def batch(step: int) -> Batch:
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((seed, epoch)).permutation(len(data.x_train))
        chosen = order[place * training.batch : (place + 1) * training.batch]
        rng = np.random.default_rng((seed, epoch, place))
        return _batch(data, chosen, size, augment, value_range, rng)

    return batch


def _count(size: Size, training: Training, data: Dataset) -> int:
    return min(max(training.pixels // size.pixels, 1), training.most_images, len(data.x_train))


def _batch(
    data: Dataset, chosen: Array, size: Size, augment: Augment, value_range: Range, rng: np.random.Generator
) -> Batch:
    fill, stretch = data.value_range[0], data.most_stretch
    at = rng.random((len(chosen), 2)) if data.keeps_shape else None
    if isinstance(data.x_train, FolderImages):
        affine = None if augment == Augment() else random_affine(len(chosen), augment, rng)
        images = data.x_train.at_size(chosen, size, fill=fill, most_stretch=stretch, at=at, affine=affine)
    elif data.keeps_shape:
        placed = fitted(data.x_train[chosen], size, fill, stretch, at)
        images = augmented(placed, size, augment, rng, fill=fill)
    else:
        images = augmented(data.x_train[chosen], size, augment, rng, fill=fill)
    return to_range(images, data.value_range, value_range), data.y_train[chosen].astype(np.int32)

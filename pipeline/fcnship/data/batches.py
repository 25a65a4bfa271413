"""Batches of one size each, sizes drawn from profiles, about the same number of pixels a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fcnship.data.images import augmented, to_range
from fcnship.data.npz import Dataset
from fcnship.recipe import Augment, Training
from fcnship.sizes import Profile, Size

Batch = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
# The batch of a step. It hangs on the seed and the step alone, so that a training can go on at any step, and
# several threads may ask at once.
Batches = Callable[[int], Batch]
_EDGE = 1.3
_ASPECT, _MOST_ASPECT = 1.2, 2.2
_STRETCHED_SHARE = 0.4
_FIRST_REACH = 0.25


def draw_size(
    profiles: Sequence[Profile], rng: np.random.Generator, training: Training, reach: float = 1.0
) -> Size:
    """A size from a profile drawn at random; ``reach`` is the share of its (logarithmic) range in use.

    Half of them lie evenly in the logarithm, the others near the minimum and near the maximum: the edges have
    neighbours on one side only and would be learnt worst. Most have nearly the profile's own aspect; others
    are stretched up to 2.2 to 1 as far as the profile allows, and ``training.any_shape`` of all have any.
    """
    profile = profiles[int(rng.integers(len(profiles)))]
    low = np.log([profile.min.height, profile.min.width])
    high = low + (np.log([profile.max.height, profile.max.width]) - low) * reach
    if training.any_shape and rng.random() < training.any_shape:
        height, width = np.exp(rng.uniform(low, high))
        return Size(round(float(height)), round(float(width)))
    middle = low + (high - low) * _share(float(np.max(high - low)), rng, training.near_largest)
    aspect = _ASPECT if rng.random() > _STRETCHED_SHARE else _MOST_ASPECT
    half = rng.uniform(-0.5, 0.5) * math.log(aspect)
    height, width = np.exp(np.clip(middle + np.array([half, -half]), low, high))
    return Size(round(float(height)), round(float(width)))


def _share(span: float, rng: np.random.Generator, near_largest: float) -> float:
    """A place between min (0) and max (1)."""
    if span == 0:
        return 0.0
    edge = min(math.log(_EDGE) / span, 1.0)
    kind = rng.random()
    if kind < 0.5:
        return float(rng.uniform(0, 1))
    return float(rng.uniform(0, edge) if kind < 1 - near_largest else 1 - rng.uniform(0, edge))


def mixed_batches(
    data: Dataset,
    profiles: Sequence[Profile],
    training: Training,
    augment: Augment,
    value_range: tuple[float, float],
    seed: int,
) -> Batches:
    """Training batches: images (n, height, width, channels) float32 and labels (n,) int32.

    Sizes grow from the minimum over the recipe's ``growth``: small images teach what a digit is for little.
    """
    growing = training.growth * training.steps_for(len(data.x_train))

    def batch(step: int) -> Batch:
        rng = np.random.default_rng((seed, step))
        reach = 1.0 if step >= growing else _FIRST_REACH + (1 - _FIRST_REACH) * step / growing
        size = draw_size(profiles, rng, training, reach)
        count = min(max(training.pixels // size.pixels, 1), training.most_images, len(data.x_train))
        chosen = rng.choice(len(data.x_train), count, replace=False)
        images = augmented(data.x_train[chosen], size, augment, rng, fill=data.value_range[0])
        return to_range(images, data.value_range, value_range), data.y_train[chosen].astype(np.int32)

    return batch


def fixed_batches(
    data: Dataset,
    size: Size,
    training: Training,
    augment: Augment,
    value_range: tuple[float, float],
    seed: int,
) -> Batches:
    """Training batches of one size: each epoch every image once, in an order of its own."""
    per_epoch = training.steps_for(len(data.x_train)) // training.epochs

    def batch(step: int) -> Batch:
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((seed, epoch)).permutation(len(data.x_train))
        chosen = order[place * training.batch : (place + 1) * training.batch]
        rng = np.random.default_rng((seed, epoch, place))
        images = augmented(data.x_train[chosen], size, augment, rng, fill=data.value_range[0])
        return to_range(images, data.value_range, value_range), data.y_train[chosen].astype(np.int32)

    return batch

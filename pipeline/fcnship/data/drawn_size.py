"""Sizes drawn from profiles: which sizes and shapes a training meets, and how often."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fcnship.recipe import Training
from fcnship.sizes import Profile, Size

Array = np.ndarray[Any, Any]
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
    low, high = _range(profile, reach)
    if training.any_shape and rng.random() < training.any_shape:
        return _size(rng.uniform(low, high))
    middle = low + (high - low) * share_of_range(float(np.max(high - low)), rng, training.near_largest)
    aspect = _ASPECT if rng.random() > _STRETCHED_SHARE else _MOST_ASPECT
    half = rng.uniform(-0.5, 0.5) * math.log(aspect)
    return _size(np.clip(middle + np.array([half, -half]), low, high))


def draw_any_shape(profiles: Sequence[Profile], rng: np.random.Generator, reach: float = 1.0) -> Size:
    """A size from a profile drawn at random, its height and its width independent of each other."""
    return _size(rng.uniform(*_range(profiles[int(rng.integers(len(profiles)))], reach)))


def growing_reach(step: int, growing: float) -> float:
    """The share of the range in use at a step, if it grows over so many steps."""
    return 1.0 if step >= growing else _FIRST_REACH + (1 - _FIRST_REACH) * step / growing


def _range(profile: Profile, reach: float) -> tuple[Array, Array]:
    """The logarithms of the sides of the smallest size, and of the largest in use."""
    low = np.log([profile.min.height, profile.min.width])
    return low, low + (np.log([profile.max.height, profile.max.width]) - low) * reach


def _size(logs: Array) -> Size:
    height, width = np.exp(logs)
    return Size(round(float(height)), round(float(width)))


def share_of_range(span: float, rng: np.random.Generator, near_largest: float) -> float:
    """A place between min (0) and max (1) of a range that is ``span`` wide in its logarithm."""
    if span == 0:
        return 0.0
    edge = min(math.log(_EDGE) / span, 1.0)
    kind = rng.random()
    if kind < 0.5:
        return float(rng.uniform(0, 1))
    return float(rng.uniform(0, edge) if kind < 1 - near_largest else 1 - rng.uniform(0, edge))

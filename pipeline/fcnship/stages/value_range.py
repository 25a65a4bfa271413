"""Finds out in which range a saved model wants its pixels, where nobody has said so."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcnship.data import Dataset
from fcnship.data.collection import typical_size
from fcnship.data.images import to_range
from fcnship.graph.facts import ModelFacts
from fcnship.sizes import Size
from fcnship.verify.accuracy import scores_of

CANDIDATES = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
_IMAGES, _IMAGES_ELSEWHERE, _BATCH = 256, 64, 16
_SIDES = (16, 256)
_PIXELS = 1 << 24
_CLEARLY = 0.98


def measured_value_range(model: Any, facts: ModelFacts, data: Dataset) -> tuple[float, float]:
    """The range in which the model's cross-entropy on training images is lowest, at the size where it is.

    The data's own range, unless another one is clearly lower: accuracy would hardly tell them apart, because
    a network without normalisation ranks the classes much the same for an image of any brightness.
    """
    own = data.value_range
    found: dict[tuple[float, float], float] = {}
    for size, images in _sizes(facts, data).items():
        for candidate, lost in _lost_at(model, data, size, images).items():
            found[candidate] = min(lost, found.get(candidate, lost))
    best = min(found, key=lambda candidate: found[candidate])
    return best if found[best] < found[own] * _CLEARLY else own


def _sizes(facts: ModelFacts, data: Dataset) -> dict[Size, int]:
    """Where to ask, and of how many images.

    A network that takes any size was trained at one that nobody knows: where it is wrong in every range, the
    range that makes it least sure would win. So it is asked at several, each twice as long as the last.
    """
    if facts.geometry.input_size:
        return {facts.geometry.input_size: _IMAGES}
    least, usual = facts.geometry.minimum_size, typical_size(data.x_train)
    sizes = {Size(max(usual.height, least.height), max(usual.width, least.width)): _IMAGES}
    for power in range(-10, 11):
        height, width = (round(side * 2.0**power) for side in (usual.height, usual.width))
        if height < least.height or width < least.width:
            continue
        if _SIDES[0] <= min(height, width) and max(height, width) <= _SIDES[1]:
            sizes.setdefault(Size(height, width), _IMAGES_ELSEWHERE)
    return sizes


def _lost_at(model: Any, data: Dataset, size: Size, most: int) -> dict[tuple[float, float], float]:
    """The cross-entropy of each range at a size."""
    count = min(most, max(_PIXELS // size.pixels, 1))
    chosen = np.random.default_rng(0).permutation(len(data.x_train))[:count]
    own, labels = data.value_range, data.y_train[chosen]
    images = data.at_size(data.x_train, chosen, size, own)
    found = {}
    for candidate in dict.fromkeys((own, *CANDIDATES)):
        batches = np.array_split(to_range(images, own, candidate), -(-len(images) // _BATCH))
        outputs = np.concatenate([np.asarray(model(batch, training=False)) for batch in batches])
        found[candidate] = _cross_entropy(scores_of(outputs), labels)
    return found


def _cross_entropy(scores: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """Of probabilities, or of scores that a softmax has not seen yet."""
    scores = scores.astype(np.float64)
    if scores.min() < 0 or not np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
    return float(-np.log(np.maximum(scores[np.arange(len(labels)), labels], 1e-12)).mean())

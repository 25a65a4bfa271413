"""Finds out in which range a saved model wants its pixels, where nobody has said so."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcnship.data import Dataset
from fcnship.data.images import resize, to_range
from fcnship.graph.facts import ModelFacts
from fcnship.sizes import Size
from fcnship.verify.accuracy import scores_of

CANDIDATES = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
_IMAGES = 256
_CLEARLY = 0.05


def measured_value_range(model: Any, facts: ModelFacts, data: Dataset) -> tuple[float, float]:
    """The range in which the model is most accurate on training images; the data's own range, unless
    another one is better by five points or more.
    """
    chosen = np.random.default_rng(0).permutation(len(data.x_train))[:_IMAGES]
    size = facts.geometry.input_size or Size(*data.x_train.shape[1:3])
    minimum = facts.geometry.minimum_size
    size = Size(max(size.height, minimum.height), max(size.width, minimum.width))
    images, labels = resize(data.x_train[chosen], size), data.y_train[chosen]
    own = data.value_range
    found = {}
    for candidate in dict.fromkeys((own, *CANDIDATES)):
        outputs = np.asarray(model(to_range(images, own, candidate), training=False))
        found[candidate] = float((scores_of(outputs).argmax(axis=1) == labels).mean())
    best = max(found, key=lambda candidate: found[candidate])
    return best if found[best] >= found[own] + _CLEARLY else own

"""Compares a converted network with its original: at the trained size, and cell by cell on crops."""

from __future__ import annotations

from itertools import product
from typing import Any

import keras
import numpy as np

# Sums of up to 1,000 float32 products in another order: a few units in the seventh place.
TOLERANCE = 5e-6


def images(model: Any, shape: tuple[int, ...], count: int = 2, seed: int = 1) -> Any:
    """Random images in the model's dtype and channel order."""
    rng = np.random.default_rng(seed)
    if model.inputs[0].dtype == "uint8":
        return rng.integers(0, 256, (count, *shape)).astype("uint8")
    return rng.normal(size=(count, *shape)).astype(model.inputs[0].dtype)


def answers(model: Any, batch: Any) -> list[Any]:
    """The model's outputs as arrays."""
    return [np.asarray(output) for output in keras.tree.flatten(model(batch, training=False))]


def largest_difference(original: Any, converted: Any) -> float:
    """Over all outputs, at the size that the original was trained at."""
    batch = images(original, tuple(original.inputs[0].shape[1:]))
    pairs = zip(answers(original, batch), answers(converted, batch), strict=True)
    return max(float(np.abs(old - new.reshape(old.shape)).max()) for old, new in pairs)


def largest_difference_on_crops(original: Any, converted: Any, stride: tuple[int, int]) -> float:
    """Cell (i, j) of a larger image against the original on the crop at (i, j) times the stride."""
    first = _channels_first(original)
    rows, columns = _sides(original.inputs[0].shape, first)
    cells = (3, 4)
    grown = (rows + (cells[0] - 1) * stride[0], columns + (cells[1] - 1) * stride[1])
    channels = original.inputs[0].shape[1 if first else -1]
    shape = (channels, *grown) if first else (*grown, channels)
    batch = images(original, shape)
    maps = [new if not first else np.moveaxis(new, 1, -1) for new in answers(converted, batch)]
    assert all(new.shape[1:3] == cells for new in maps), [new.shape for new in maps]
    worst = 0.0
    for i, j in product(range(cells[0]), range(cells[1])):
        top, left = i * stride[0], j * stride[1]
        at = (slice(top, top + rows), slice(left, left + columns))
        crop = batch[:, :, at[0], at[1]] if first else batch[:, at[0], at[1]]
        for old, new in zip(answers(original, crop), maps, strict=True):
            worst = max(worst, float(np.abs(old.reshape(len(old), -1) - new[:, i, j]).max()))
    return worst


def _channels_first(model: Any) -> bool:
    return any(getattr(layer, "data_format", "") == "channels_first" for layer in model.layers
               if isinstance(layer, keras.layers.Conv2D))  # fmt: skip


def _sides(shape: tuple[int, ...], first: bool) -> tuple[int, int]:
    return (shape[2], shape[3]) if first else (shape[1], shape[2])

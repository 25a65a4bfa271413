"""The outputs of an original and of its conversion, side by side: as maps, with their heads taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.errors import ModelRefused
from fcnship.graph.surgery.walk import graph_of, operations

Array = np.ndarray[Any, Any]
_POOLS = {"GlobalAveragePooling2D": "average", "GlobalMaxPooling2D": "max"}


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output of a converted model: ``tensor`` is its map, ``head`` what the conversion pools it to.

    ``activation`` stands after the pool (where scores are averaged) and belongs to each cell of the map.
    """

    name: str
    tensor: Any
    head: str
    activation: Any = None

    def cells(self, raw: Array) -> Array:
        """The map as the original would answer: with the activation where it stands behind the pool."""
        return np.asarray(self.activation(raw)) if self.activation else raw

    def pooled(self, raw: Array) -> Array:
        """The head, done anew in float64."""
        wide = raw.astype(np.float64)
        vector = wide.max(axis=(1, 2)) if self.head == "max" else wide.mean(axis=(1, 2))
        vector = vector.astype(raw.dtype)
        return np.asarray(self.activation(vector)) if self.activation else vector


def outputs_of(original: Any, converted: Any) -> list[Output]:
    """The converted model's outputs, in the order of the original's.

    Raises:
        ModelRefused: the two do not have the same number of outputs.
    """
    known = {op.name for op in operations(graph_of(original))}
    names = [tensor._keras_history.operation.name for tensor in graph_of(original).outputs]
    tensors = graph_of(converted).outputs
    if len(tensors) != len(names):
        raise ModelRefused(
            f"{converted.name!r} has {len(tensors)} outputs, {original.name!r} has {len(names)}",
            cause="it is not the conversion of that model",
            next="prove a model against the one that it was converted from",
        )
    return [_output(name, tensor, known) for name, tensor in zip(names, tensors, strict=True)]


def _output(name: str, tensor: Any, known: set[str]) -> Output:
    """A pool that the original does not have is the head that the conversion put there."""
    op = tensor._keras_history.operation
    if op.name not in known and type(op).__name__ in _POOLS:
        return Output(name=name, tensor=_into(tensor), head=_POOLS[type(op).__name__])
    if op.name not in known and type(op).__name__ == "Activation":
        pool = _into(tensor)._keras_history.operation
        if pool.name not in known and type(pool).__name__ in _POOLS:
            map_, kind = _into(_into(tensor)), _POOLS[type(pool).__name__]
            return Output(name=name, tensor=map_, head=kind, activation=op.activation)
    return Output(name=name, tensor=tensor, head="map" if len(tensor.shape) == 4 else "vector")


def _into(tensor: Any) -> Any:
    """The tensor that went into the layer which made this one."""
    operation, node, _ = tensor._keras_history
    return operation._inbound_nodes[node].input_tensors[0]


def maps_model(converted: Any, outputs: Sequence[Output]) -> Any:
    """The converted model with its maps as outputs, a list."""
    import keras

    return keras.Model(graph_of(converted).inputs[0], [output.tensor for output in outputs])


def answers(model: Any, images: Array, batch: int, channels_first: bool) -> list[Array]:
    """Every output, in batches; maps come channels last."""
    import keras

    parts: list[list[Array]] = []
    for start in range(0, len(images), batch):
        found = model(images[start : start + batch], training=False)
        parts.append([channels_last(np.asarray(one), channels_first) for one in keras.tree.flatten(found)])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def channels_last(array: Array, channels_first: bool) -> Array:
    """A map with its channels at the end; a vector as it is."""
    return np.moveaxis(array, 1, -1) if channels_first and array.ndim == 4 else array


def first_cell(array: Array) -> Array:
    """What an original answers about a crop: its vector, or cell (0, 0) of its map; (batch, classes)."""
    return array[:, 0, 0] if array.ndim == 4 else array.reshape(len(array), -1)


def error_of(outputs: Array, expected: Array) -> Array:
    """Absolute differences in float64; infinite where one is no number or the shapes do not fit."""
    if outputs.shape != expected.shape:
        return np.full(expected.shape, np.inf)
    error = np.abs(outputs.astype(np.float64) - expected.astype(np.float64))
    return np.where(np.isfinite(error), error, np.inf)


def fitted(new: Array, old: Array) -> Array:
    """A map of one cell is the vector that it carries."""
    same = new.size == old.size and 4 in (new.ndim, old.ndim)
    cell = all(side == 1 for array in (new, old) if array.ndim == 4 for side in array.shape[1:3])
    return new.reshape(old.shape) if same and cell else new

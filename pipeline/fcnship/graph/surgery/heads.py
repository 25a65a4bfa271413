"""What the converted model answers with: the map of class scores, its average or its maximum."""

from __future__ import annotations

from typing import Any, Literal

from fcnship.errors import ModelRefused
from fcnship.graph.surgery.surgeon import Surgeon
from fcnship.graph.surgery.values import Value

Head = Literal["map", "average", "max"]
AverageOf = Literal["probabilities", "scores"]


def with_head(surgeon: Surgeon, value: Value, name: str, head: Head, average_of: AverageOf) -> Any:
    """The output tensor for one output of the original.

    ``average`` averages what the model answers (its probabilities), or, with ``scores``, what stands before
    its last activation, which then runs on the average. What does not grow with the image stays as it is,
    and so does an output that was a map of several cells at the trained size.
    """
    import keras

    if value.window and not value.window.one_cell:
        raise ModelRefused(
            f"output {name!r} is a flattened map",
            cause="no Dense follows the Flatten, so there is no class score for each cell",
            next="end the model before the Flatten, or behind a Dense",
        )
    if head == "map" or value.fixed or _is_map_by_nature(surgeon, value):
        return value.tensor
    layer = keras.layers.GlobalMaxPooling2D if head == "max" else keras.layers.GlobalAveragePooling2D
    settings = {"data_format": surgeon.data_format, "dtype": value.tensor.dtype}
    pooled = layer(name=surgeon.free_name(f"{name}_{head}"), **settings)
    if head == "average" and average_of == "scores" and value.scores:
        activation = value.scores.activation
        last = keras.layers.Activation(activation, name=surgeon.free_name(f"{name}_of_average"))
        return last(pooled(value.scores.tensor))
    return pooled(value.tensor)


def _is_map_by_nature(surgeon: Surgeon, value: Value) -> bool:
    if value.window:
        return False
    return len(value.trained.shape) != 4 or surgeon.sides(value.trained.shape) not in ((1, 1), (None, None))

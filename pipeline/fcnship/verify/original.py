"""The original's own layers on an image larger than it was built for, its dense head window by window.

This is what a conversion means, done without converting: the layers before the head run on the whole image
(no layer before it knows its size), and the head runs on each window of the map that it was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fcnship.graph.surgery.values import Value, tensors_in
from fcnship.graph.surgery.walk import graph_of, walk
from fcnship.verify.outputs import Array, channels_last
from fcnship.verify.sampling import Cell

_FLATTENING = {"Flatten", "Reshape"}
_POOLING = {"MaxPooling2D", "AveragePooling2D"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One output of the original on a larger image.

    ``cells`` tells whether it is one vector for each cell that was asked for, (cells, images, classes);
    otherwise it is the output for the whole image. ``values`` is None where neither can be had.
    """

    values: Array | None
    cells: bool


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A tensor of the original: for whole images, or for the windows of every cell; None is out of reach."""

    tensor: Any
    cells: bool = False


class _Walker:
    def __init__(self, cells: Sequence[Cell], channels_first: bool) -> None:
        self.cells, self.axes = cells, ((2, 3) if channels_first else (1, 2))

    def visit(self, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Value]:
        import keras

        old_args, old_kwargs = tensors_in((args, dict(kwargs)), lambda value: value.trained)
        trained = keras.tree.flatten(op.compute_output_spec(*old_args, **old_kwargs))
        values = [leaf for leaf in keras.tree.flatten((args, dict(kwargs))) if isinstance(leaf, Value)]
        held = [self._entering(op, value, trained[0]) for value in values]
        out = self._called(op, args, kwargs, values, held)
        if out is None:
            return [Value(tensor=_Held(tensor=None), trained=spec) for spec in trained]
        several = any(one.cells for one in held)
        return [
            Value(tensor=_Held(tensor=tensor, cells=several), trained=spec)
            for tensor, spec in zip(keras.tree.flatten(out), trained, strict=True)
        ]

    def _called(
        self, op: Any, args: Any, kwargs: Mapping[str, Any], values: list[Value], held: list[_Held]
    ) -> Any:
        if any(one.tensor is None for one in held):
            return None
        if any(one.cells for one in held):
            held = [one if one.cells else _repeated(one, len(self.cells)) for one in held]
        known = {id(value): one.tensor for value, one in zip(values, held, strict=True)}
        new_args, new_kwargs = tensors_in((args, dict(kwargs)), lambda value: known[id(value)])
        if getattr(op, "_call_has_training_arg", False):  # RandomFlip and its kin train where nothing is said
            new_kwargs = {**new_kwargs, "training": False}
        try:
            return op(*new_args, **new_kwargs)
        except Exception:  # noqa: BLE001 - a layer that is tied to its size raises in its own way
            return None

    def _entering(self, op: Any, value: Value, trained_output: Any) -> _Held:
        """What a layer is called on: windows of the map from the first layer on that is tied to its size."""
        held: _Held = value.tensor
        shape = value.trained.shape
        if held.cells or held.tensor is None or len(shape) != 4:
            return held
        kind, out = type(op).__name__, tuple(trained_output.shape)
        whole = kind in _POOLING and len(out) == 4 and tuple(out[a] for a in self.axes) == (1, 1)
        if not whole and (kind not in _FLATTENING or len(out) == 4):
            return held
        window = int(shape[self.axes[0]]), int(shape[self.axes[1]])
        if tuple(held.tensor.shape[axis] for axis in self.axes) == window:
            return held
        return self._windows(held, window)

    def _windows(self, held: _Held, window: tuple[int, int]) -> _Held:
        import keras

        sides = tuple(int(held.tensor.shape[axis]) for axis in self.axes)
        outside = any(i + window[0] > sides[0] or j + window[1] > sides[1] for i, j in self.cells)
        if outside or not self.cells:
            return replace(held, tensor=None)
        parts = []
        for i, j in self.cells:
            at: list[Any] = [slice(None)] * 4
            at[self.axes[0]], at[self.axes[1]] = slice(i, i + window[0]), slice(j, j + window[1])
            parts.append(held.tensor[tuple(at)])
        return _Held(tensor=keras.ops.concatenate(parts, axis=0), cells=True)


def original_at(original: Any, images: Array, cells: Sequence[Cell], channels_first: bool) -> list[Answer]:
    """Each output of the original on images of any size; maps come channels last.

    ``cells`` are cells (i, j) of the converted network's map: windows of the flattened map start there.
    """
    import keras

    graph = graph_of(original)
    walker = _Walker(cells, channels_first)
    image = Value(tensor=_Held(tensor=keras.ops.convert_to_tensor(images)), trained=_trained(graph))
    answers = []
    for value in walk(graph, [image], lambda op, args, kwargs: walker.visit(op, args, kwargs)):
        held: _Held = value.tensor
        found = None if held.tensor is None else channels_last(np.asarray(held.tensor), channels_first)
        if found is not None and held.cells:
            found = found.reshape(len(cells), len(images), -1)
        answers.append(Answer(values=found, cells=held.cells))
    return answers


def _trained(graph: Any) -> Any:
    import keras

    return keras.KerasTensor((None, *graph.inputs[0].shape[1:]), dtype=graph.inputs[0].dtype)


def _repeated(held: _Held, times: int) -> _Held:
    import keras

    return _Held(tensor=keras.ops.concatenate([held.tensor] * times, axis=0), cells=True)

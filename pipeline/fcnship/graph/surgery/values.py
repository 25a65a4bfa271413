"""What a tensor of the original model has become in the converted one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fcnship.errors import ModelRefused

Stride = tuple[Fraction, Fraction]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that the conversion changed, in the words of a report."""

    layer: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Affine:
    """A scale and a shift for each place of a flattened map, waiting for the Dense that takes them in."""

    scale: Any
    shift: Any


@dataclass(frozen=True, kw_only=True)
class Window:
    """The flattened map that a vector of the original was, at the trained size.

    ``order`` names the axes in the order in which they were flattened: ``hwc``, ``chw``, ... A vector behind
    a Dense is a window of one cell.
    """

    rows: int
    columns: int
    channels: int
    order: str

    @property
    def one_cell(self) -> bool:
        """Whether the map was 1x1, so that the vector holds its channels and nothing else."""
        return self.rows == self.columns == 1

    @property
    def extents(self) -> tuple[int, ...]:
        """The sizes of the axes in the flattened order."""
        sizes = {"h": self.rows, "w": self.columns, "c": self.channels}
        return tuple(sizes[axis] for axis in self.order)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What stood before a last activation, and that activation."""

    tensor: Any
    activation: Any


@dataclass(frozen=True, kw_only=True)
class Value:
    """A tensor of the original, as the converted model has it.

    ``tensor`` is the new symbolic tensor, ``trained`` the original's shape at the trained size (a symbolic
    tensor without a graph). Where ``window`` is set, the original had a vector and the new tensor is a map of
    which each cell carries what that vector carried.
    """

    tensor: Any
    trained: Any
    window: Window | None = None
    affine: Affine | None = None
    convolved: bool = False
    stride: Stride = (Fraction(1), Fraction(1))
    scores: Scores | None = None

    @property
    def fixed(self) -> bool:
        """Whether the tensor has the original's shape at every image size."""
        return self.window is None and None not in self.tensor.shape[1:]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a layer or Keras operation, with the values that it is called on."""

    op: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    values: Sequence[Value]
    trained: Sequence[Any]

    @property
    def kind(self) -> str:
        """The name of the layer's class."""
        return type(self.op).__name__

    @property
    def value(self) -> Value:
        """The first value that the layer is called on."""
        return self.values[0]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The first output's shape in the original at the trained size, without the batch."""
        return tuple(self.trained[0].shape[1:])


def refusal(op: Any, cause: str, way_out: str) -> ModelRefused:
    """The error for a layer that cannot be converted: its name, the reason and the way out."""
    return ModelRefused(
        f"layer {op.name!r} ({type(op).__name__}) cannot be made convolutional", cause=cause, next=way_out
    )


def names(text: str) -> frozenset[str]:
    """A set of class names, written with spaces between."""
    return frozenset(text.split())


def array_of(weight: Any) -> Any:
    """A weight as a numpy array; ``keras.ops.convert_to_numpy`` of a variable warns under numpy 2."""
    import keras
    import numpy as np

    return np.asarray(keras.ops.convert_to_tensor(weight))


def tensors_in(structure: Any, of: Callable[[Value], Any]) -> Any:
    """The call's arguments with each Value replaced by one of its tensors."""
    import keras

    return keras.tree.map_structure(lambda leaf: of(leaf) if isinstance(leaf, Value) else leaf, structure)


def widest_stride(values: Sequence[Value]) -> Stride:
    """The larger total stride of several branches, along each axis."""
    return max(v.stride[0] for v in values), max(v.stride[1] for v in values)


def whole_steps(strides: Sequence[Stride]) -> int:
    """The fewest pixels by which an image can grow so that every map grows by whole cells."""
    return math.lcm(1, *(math.ceil(side) for stride in strides for side in stride))

"""One call of a Keras layer or operation, as the graph's reader sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fcnship.errors import ModelRefused
from fcnship.graph.nodes import Node

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a Keras layer or operation while the graph is read."""

    path: str
    op: Any
    inputs: Sequence[Node]
    input_shapes: Sequence[tuple[int | None, ...]]
    output_shape: tuple[int | None, ...]
    constants: Sequence[Any]
    channels_first: bool

    @property
    def kind(self) -> str:
        """The class's name."""
        return type(self.op).__name__

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """Where rows and columns stand in a map's shape."""
        return (2, 3) if self.channels_first else (1, 2)

    @property
    def on_map(self) -> bool:
        """Whether the first input is a map whose size follows the image's."""
        return self.inputs[0].spatial

    def refuse(self, why: str, way_out: str) -> ModelRefused:
        """The error that names this layer."""
        return ModelRefused(f"layer {self.path!r} ({self.kind}) cannot be used", cause=why, next=way_out)

    @property
    def softmax_over_space(self) -> bool:
        """Whether a softmax activation (along the last axis, in Keras) runs over the columns of a map."""
        name = getattr(getattr(self.op, "activation", None), "__name__", "")
        return self.channels_first and self.on_map and name in ("softmax", "log_softmax")

"""A Keras model run layer by layer, nested models opened, each tensor dropped after its last reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.frameworks import import_keras
from fcnship.graph.onnx_layers import Layer
from fcnship.graph.surgery.walk import graph_of

Array = np.ndarray[Any, Any]
# At inference they hand on what they get.
IDENTITIES = (
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout"),
    *("GaussianDropout", "GaussianNoise", "ActivityRegularization", "Identity", "InputLayer"),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of one layer or operation: ``reads`` and ``makes`` are places of tensors, the image at 0.

    ``given`` are the call's arguments as Keras keeps them, ``known`` their symbolic tensors by place.
    """

    layer: Layer
    op: Any
    given: Any
    known: dict[int, int]
    makes: tuple[int, ...]

    @property
    def reads(self) -> set[int]:
        """The tensors that the call needs."""
        return set(self.known.values())

    @property
    def is_identity(self) -> bool:
        """Whether it hands on what it gets."""
        name = type(self.op).__name__
        linear = name == "Activation" and getattr(self.op.activation, "__name__", "") == "linear"
        return linear or name in IDENTITIES


@dataclass(frozen=True, kw_only=True)
class Steps:
    """A model's calls in topological order, and the place of its output."""

    steps: tuple[Step, ...]
    output: int


def steps_of(model: Any) -> Steps:
    """Read a model of one image.

    Raises:
        ModelRefused: it has no graph of layers.
    """
    walk = _Walk()
    (output, *_) = walk.through(graph_of(model), (), [0])
    return Steps(steps=tuple(walk.steps), output=output)


def tensors(steps: Steps, images: Array, wanted: set[int]) -> Iterator[tuple[int, Array]]:
    """Run the calls one by one; gives (place, tensor) for each wanted place as soon as it is there."""
    tf = _tensorflow()
    last = {place: index for index, step in enumerate(steps.steps) for place in step.reads}
    held = {0: tf.constant(images)}
    for index, step in enumerate(steps.steps):
        made = _called(step, held)
        for place in [place for place in held if last.get(place, -1) <= index]:
            del held[place]
        for place, tensor in zip(step.makes, made, strict=True):
            if last.get(place, -1) > index:
                held[place] = tensor
            if place in wanted:
                yield place, np.asarray(tensor.numpy())
        del made


class _Walk:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.calls: dict[str, int] = {}
        self.places = 1

    def through(self, graph: Any, above: Sequence[str], entering: Sequence[int]) -> list[int]:
        """Add the graph's calls in Keras's own order (``Function._run_through_graph``)."""
        known = dict(zip(map(id, graph.inputs), entering, strict=True))
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if node.is_input or any(id(tensor) not in known for tensor in node.input_tensors):
                    continue
                places = [known[id(tensor)] for tensor in node.input_tensors]
                names = (*above, node.operation.name)
                if isinstance(node.operation, import_keras().Model):
                    made = self.through(graph_of(node.operation), names, places)
                else:
                    made = self._add(node, "/".join(names), places)
                known.update(zip(map(id, node.outputs), made, strict=True))
        return [known[id(tensor)] for tensor in graph.outputs]

    def _add(self, node: Any, path: str, places: Sequence[int]) -> list[int]:
        self.calls[path] = self.calls.get(path, 0) + 1
        made = list(range(self.places, self.places + len(node.outputs)))
        self.places += len(made)
        self.steps.append(
            Step(
                layer=Layer(path, self.calls[path]),
                op=node.operation,
                given=node.arguments,
                known=dict(zip(map(id, node.input_tensors), places, strict=True)),
                makes=tuple(made),
            )
        )
        return made


def _called(step: Step, held: dict[int, Any]) -> list[Any]:
    args, kwargs = step.given.fill_in({key: held[place] for key, place in step.known.items()})
    if getattr(step.op, "_call_has_training_arg", False):
        kwargs = {**kwargs, "training": False}
    return list(import_keras().tree.flatten(step.op(*args, **kwargs)))


def _tensorflow() -> Any:
    from fcnship.frameworks import import_tensorflow

    return import_tensorflow()

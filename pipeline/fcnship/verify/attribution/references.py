"""What layers are held against: a Keras model, or another ONNX graph cut at the same tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from fcnship.options import Layout
from fcnship.runners import to_layout
from fcnship.verify.attribution.cut_graph import CutGraph
from fcnship.verify.attribution.cuts import Cut, cuts_of_keras, cuts_of_onnx
from fcnship.verify.attribution.keras_steps import steps_of, tensors

Array = np.ndarray[Any, Any]


class Reference(Protocol):
    """Gives the right tensors one by one, in the order of the cuts; ``order`` is that of a map's axes."""

    @property
    def order(self) -> Layout:
        """Where channels stand in its maps."""
        ...

    def cuts(self, graph: CutGraph) -> list[Cut]:
        """Where the candidate is cut."""
        ...

    def tensors(self, cuts: Sequence[Cut], images: Array) -> Iterator[Array]:
        """The reference's tensor at each cut, in its own order of axes."""
        ...


class KerasReference:
    """A Keras model, run layer by layer."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.order: Layout = "nhwc"
        self._steps = steps_of(model)

    def cuts(self, graph: CutGraph) -> list[Cut]:
        """At the layers' outputs."""
        return cuts_of_keras(graph, self._steps)

    def tensors(self, cuts: Sequence[Cut], images: Array) -> Iterator[Array]:
        """The layers' outputs in Keras's order of axes."""
        for _, tensor in tensors(self._steps, images, {cut.place for cut in cuts}):
            yield tensor


class OnnxReference:
    """Another ONNX graph whose tensors have the same names."""

    def __init__(self, graph: CutGraph, layout: Layout) -> None:
        self.graph = graph
        self.order: Layout = layout
        self._computed = graph.as_computed()

    def cuts(self, graph: CutGraph) -> list[Cut]:
        """At the layers' outputs by their tensors' names."""
        return cuts_of_onnx(graph, self.graph)

    def tensors(self, cuts: Sequence[Cut], images: Array) -> Iterator[Array]:
        """Its own tensors, each made from those before."""
        graph = self._computed
        image = to_layout(images, self.order).astype(graph.input_type, copy=False)
        held, done = {graph.input: image}, {graph.input}
        needed = []
        for cut in cuts:
            _, edges = graph.between(done, cut.place)
            needed.append(edges)
            done.add(cut.place)
        last = {name: index for index, edges in enumerate(needed) for name in edges}
        for index, (cut, edges) in enumerate(zip(cuts, needed, strict=True)):
            given = {name: held[name] for name in edges}
            held[cut.place] = graph.piece(given, cut.place)(given)
            found = held[cut.place]
            for name in [name for name in held if last.get(name, -1) <= index]:
                del held[name]
            yield found

"""Which layer of a variant its error comes from, as the report tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.graph.onnx_layers import layers_of
from fcnship.options import Layout
from fcnship.runners import precision_of
from fcnship.sizes import Size
from fcnship.verify.attribution.attributed import Attributed, Candidate, Place
from fcnship.verify.attribution.cut_graph import CutGraph
from fcnship.verify.attribution.layer_errors import STEPS, LayerError, OnLayer, layer_errors, ranked
from fcnship.verify.attribution.layer_faults import layer_fault
from fcnship.verify.attribution.references import KerasReference, OnnxReference, Reference
from fcnship.verify.attribution.trial import Trial

Array = np.ndarray[Any, Any]
# A layer's sum of products is rounded many times, and so errs by some steps; a fault by thousands.
_STEPS_OF_A_FAULT = 64
_MOST_FAULTS = 3


class Attribution:
    """Takes candidates apart and holds them against one reference, which is opened once."""

    def __init__(
        self, reference: str, path: Path, layout: Layout, images: Callable[[Size, int], Array]
    ) -> None:
        self._name, self._path, self._images = reference, path, images
        self._layout: Layout = layout
        self._opened: Reference | None = None

    def of(
        self, candidate: Candidate, place: Place, on_layer: OnLayer = lambda done, total: None
    ) -> Attributed:
        """Rank the candidate's layers; ``Attributed`` can be asked for trials and for the report's object."""
        graph = CutGraph.read(candidate.path)
        reference = self.reference()
        if isinstance(reference, KerasReference) and not layers_of(graph.model):
            raise NotCut(
                "the file does not say which layers its nodes belong to: fcnship export writes that into it"
            )
        images = self._images(place.size, place.batch)
        errors = layer_errors(reference, graph, candidate.layout, images, on_layer)
        return Attributed(
            self, candidate, place, errors, _kept_paths(graph, errors), self._faults(graph, candidate, errors)
        )

    def reference(self) -> Reference:
        """The reference, opened."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> Reference:
        if self._path.suffix.lower() == ".onnx":
            return OnnxReference(CutGraph.read(self._path), self._layout)
        from fcnship.graph.loading import load_model

        return KerasReference(load_model(self._path))

    @property
    def name(self) -> str:
        """The reference's name in the report."""
        return self._name

    def _faults(self, graph: CutGraph, candidate: Candidate, errors: Sequence[LayerError]) -> dict[int, str]:
        """In words, for the worst layers that err by more than rounding."""
        precision, reference = precision_of(candidate.variant), self.reference()
        step = STEPS.get(precision, STEPS["fp32"])
        wrong = [error for error in ranked(errors) if error.local > _STEPS_OF_A_FAULT * step]
        other = reference.graph if isinstance(reference, OnnxReference) else None
        return {error.place: layer_fault(error, graph, other, precision) for error in wrong[:_MOST_FAULTS]}

    def trial(self, candidate: Candidate, fp32: Path, cases: Sequence[tuple[Size, int]]) -> Trial:
        """Trials of a candidate that was made from ``fp32``."""
        return Trial(
            variant=candidate.variant,
            candidate=candidate.path,
            layout=candidate.layout,
            fp32=fp32,
            reference=self._answers(),
            images=self._images,
            cases=cases,
        )

    def _answers(self) -> Callable[[Array], Array]:
        reference = self.reference()
        if isinstance(reference, KerasReference):
            model = reference.model
            return lambda images: np.asarray(model(images, training=False), np.float32)
        from fcnship.runners import run
        from fcnship.runners.onnxruntime import OnnxRunner

        runner = OnnxRunner(self._name, self._path, self._layout)
        return lambda images: run(runner, images)

    def fp32_of(self, folder: Path, layout: Layout) -> Path:
        """The FP32 graph of the reference: itself, or an export of it into a folder."""
        reference = self.reference()
        if isinstance(reference, OnnxReference):
            return self._path
        from fcnship.graph.onnx_export import export

        assert isinstance(reference, KerasReference)
        export(reference.model, folder / "fp32.onnx", layout, {})
        return folder / "fp32.onnx"


class NotCut(Exception):
    """A variant cannot be taken apart; the text says why."""


def _kept_paths(graph: CutGraph, errors: Sequence[LayerError]) -> dict[int, tuple[str, ...]]:
    labels = layers_of(graph.model)
    found = {}
    for error in errors:
        nodes = [graph.nodes[place] for cut in error.cuts for place in cut.nodes]
        # A cast is named after the layer before, which has no part in this one's error.
        names = [node.name for node in nodes if node.op_type != "Cast"]
        found[error.place] = tuple(dict.fromkeys(labels[name].path for name in names if name in labels))
    return found

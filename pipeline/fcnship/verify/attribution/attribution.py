"""Which layer of a variant its error comes from, as the report tells it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.graph.onnx_layers import layers_of
from fcnship.options import Layout
from fcnship.runners import precision_of
from fcnship.sizes import Size
from fcnship.verify.attribution.cut_graph import CutGraph
from fcnship.verify.attribution.layer_errors import MOST, STEPS, LayerError, OnLayer, layer_errors, ranked
from fcnship.verify.attribution.layer_faults import layer_fault
from fcnship.verify.attribution.references import KerasReference, OnnxReference, Reference
from fcnship.verify.attribution.suggestion import MOST_LAYERS, next_suggested, suggested, suggestion
from fcnship.verify.attribution.trial import Trial

Array = np.ndarray[Any, Any]
# A layer's sum of products is rounded many times, and so errs by some steps; a fault by thousands.
_STEPS_OF_A_FAULT = 64
_MOST_FAULTS = 3
_ENOUGH = 0.5  # of the error before: a trial that leaves less is not widened


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where layers are compared."""

    size: Size
    batch: int


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A variant that is taken apart. ``error``: of its outputs at the place, where it was measured whole."""

    variant: str
    path: Path
    layout: Layout
    error: float | None = None


class Attribution:
    """Takes candidates apart and holds them against one reference, which is opened once."""

    def __init__(
        self, reference: str, path: Path, layout: Layout, images: Callable[[Size, int], Array]
    ) -> None:
        self._name, self._path, self._layout, self._images = reference, path, layout, images
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
            if self._path.suffix.lower() == ".onnx":
                self._opened = OnnxReference(CutGraph.read(self._path), self._layout)
            else:
                from fcnship.graph.loading import load_model

                self._opened = KerasReference(load_model(self._path))
        return self._opened

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


@dataclass(frozen=True)
class Attributed:
    """A candidate's layers, measured."""

    attribution: Attribution
    candidate: Candidate
    place: Place
    errors: Sequence[LayerError]
    paths: dict[int, tuple[str, ...]]
    faults: dict[int, str]

    @property
    def layers(self) -> list[str]:
        """The layers to keep in FP32."""
        most = MOST.get(precision_of(self.candidate.variant), math.inf)
        return suggested(self.errors, self.paths, most)

    def tried(self, cases: Sequence[tuple[Size, int]], fp32: Path | None) -> list[dict[str, Any]]:
        """The suggestion tried; a wider one, three times at most, while half of the error or more is left."""
        precision, layers = precision_of(self.candidate.variant), self.layers
        if suggestion(self.candidate.variant, precision, layers) is None:
            return []
        with tempfile.TemporaryDirectory(prefix="fcnship-") as folder:
            source = fp32 or self.attribution.fp32_of(Path(folder), self.candidate.layout)
            trial = self.attribution.trial(self.candidate, source, cases)
            found = [trial.measured(precision, layers)]
            while len(found) < MOST_LAYERS and not _helps(found[-1]):
                wider = next_suggested(self.errors, self.paths, layers)
                if wider == layers:
                    break
                layers = wider
                found.append(trial.measured(precision, layers))
        return found

    def as_json(self, trials: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """The report's object."""
        variant = self.candidate.variant
        precision = precision_of(variant)
        step = STEPS.get(precision, STEPS["fp32"])
        rows = [self._row(error, step) for error in ranked(self.errors)]
        best = min(trials, key=_left, default=None)
        kept = best["layers"] if best and _left(best) < 1 else self.layers
        found = {
            **_head(variant, self.attribution.name, "done", ""),
            "height": self.place.size.height,
            "width": self.place.size.width,
            "batch": self.place.batch,
            "step": step,
            "finding": self._finding(step),
            "rows": rows,
            "trials": list(trials),
        }
        advice = suggestion(variant, precision, kept)
        return {**found, "suggestion": advice} if advice else found

    def _row(self, error: LayerError, step: float) -> dict[str, Any]:
        return {
            "place": error.place,
            "layer": error.name,
            "local": error.local,
            "local_max": error.local_max,
            "steps": error.local / step,
            "total": error.total,
            "total_max": error.total_max,
            "scale": error.scale,
            "fault": self.faults.get(error.place, ""),
        }

    def _finding(self, step: float) -> str:
        """The sentence that stands above the table."""
        worst = ranked(self.errors)[0]
        told = self.faults.get(worst.place, "")
        if worst.place in self.faults:
            return f"{worst.name} computes something else: {told}" if told else (
                f"{worst.name} adds the most by far: {_share(worst.local)} of its output"
                if math.isfinite(worst.local) else f"{worst.name} gives NaN or infinity"
            )  # fmt: skip
        whole, last = self.candidate.error, self.errors[-1]
        if whole is not None and whole > 10 * max(last.total_max, step * last.largest):
            return (
                "no layer by itself shows the error of the whole: it comes from how ONNX Runtime merges "
                "layers, or from the images"
            )
        most = f"{worst.name} adds the most, {_share(worst.local)} of its output"
        return f"no layer adds more than rounding does; {most}"


def skipped(variant: str, reference: str, reason: str) -> dict[str, Any]:
    """The report's object for a variant that was not taken apart."""
    return {**_head(variant, reference, "skipped", reason), "rows": [], "trials": []}


def _head(variant: str, reference: str, status: str, reason: str) -> dict[str, Any]:
    return {"variant": variant, "reference": reference, "status": status, "reason": reason}


def _kept_paths(graph: CutGraph, errors: Sequence[LayerError]) -> dict[int, tuple[str, ...]]:
    labels = layers_of(graph.model)
    found = {}
    for error in errors:
        names = [graph.nodes[place].name for cut in error.cuts for place in cut.nodes]
        found[error.place] = tuple(dict.fromkeys(labels[name].path for name in names if name in labels))
    return found


def _left(trial: dict[str, Any]) -> float:
    """The share of the error that a trial left, over its cases."""
    before = max(row["before_max_abs"] for row in trial["rows"])
    after = max(row["after_max_abs"] for row in trial["rows"])
    if not math.isfinite(before):
        return 0.0 if math.isfinite(after) else 1.0
    return after / before if before else 1.0


def _helps(trial: dict[str, Any]) -> bool:
    return _left(trial) <= _ENOUGH


def _share(value: float) -> str:
    return f"{value:.2g}" if value < 1e-3 else f"{value:.2%}".replace("%", " %")

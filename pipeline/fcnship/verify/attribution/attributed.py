"""A candidate's layers, measured: the report's object, and the trials of what is suggested."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcnship.options import Layout
from fcnship.runners import precision_of
from fcnship.sizes import Size
from fcnship.verify.attribution.layer_errors import MOST, STEPS, LayerError, ranked
from fcnship.verify.attribution.suggestion import MOST_LAYERS, next_suggested, suggested, suggestion

if TYPE_CHECKING:
    from fcnship.verify.attribution.attribution import Attribution

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
        if suggestion(self.candidate.variant, precision, layers, self.errors) is None:
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
        advice = suggestion(variant, precision, kept, self.errors)
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

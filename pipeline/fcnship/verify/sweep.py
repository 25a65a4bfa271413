"""Runs every variant over sizes and batches on the same images, and gathers what the report says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from fcnship.runners import Runner, Unrunnable, precision_of, run
from fcnship.sizes import Size
from fcnship.verify.bounds import Bounds, FixedBounds, Prediction, tolerance_of
from fcnship.verify.budget import budget_rows
from fcnship.verify.parity import CONSTANT, Array, as_shaped, parity_row

Outputs = Mapping[str, "Array | str"]
OnCase = Callable[[Size, int, Array, Outputs], None]
DOES_NOT_RUN = "it does not run"
REFUSED = "no profile of the engine serves it"


@runtime_checkable
class Refusing(Protocol):
    """A runner that can say whether it takes a size: an engine, or what was saved of one."""

    def refuses(self, images: Array) -> bool:
        """Whether no profile of the engine takes these images."""
        ...


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is compared: the reference's runner, the others, the images for a case, and what is tolerated.

    ``served``: whether a profile serves a size and batch, so that an engine has to run there.
    ``predictions``: by precision, how far its steps may move the outputs.
    """

    reference: Runner
    candidates: Sequence[Runner]
    images: Callable[[Size, int], Array]
    bounds: Bounds
    served: Callable[[Size, int], bool]
    affordable: Callable[[Size, int], int] = lambda size, batch: batch
    predictions: Mapping[str, Prediction] = field(default_factory=dict)

    def predicted(self, size: Size, images: Array, expected: Array) -> dict[str, float]:
        """For each precision whose error is predicted, the error on these images."""
        return {precision: found.at(size, images, expected) for precision, found in self.predictions.items()}

    def allowed(self, variant: str, tolerance: float, predicted: Mapping[str, float]) -> float:
        """What is tolerated of a variant; where a tolerance was asked for, that of every precision."""
        if isinstance(self.bounds, FixedBounds):
            return tolerance
        return tolerance_of(variant, tolerance, predicted.get(precision_of(variant)))

    def row(self, candidate: Runner, size: Size, batch: int) -> dict[str, Any]:
        """One parity row, from scratch."""
        images = self.images(size, batch)
        expected = run(self.reference, images)
        tolerance, noise = self.bounds.at(size, images, expected)
        allowed = self.allowed(candidate.variant, tolerance, self.predicted(size, images, expected))
        answer = answer_of(candidate, images)
        named = candidate.variant, self.reference.variant
        return parity_row(*named, images, answer, expected, allowed, noise)


@dataclass
class Swept:
    """The rows of a sweep, for the report."""

    parity: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    budget: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def sweep(
    subject: Subject,
    cases: Sequence[tuple[Size, int]],
    on_step: Callable[[str], None] = lambda text: None,
    on_case: OnCase | None = None,
) -> Swept:
    """Compare at every case, one after the other, so that no more than one case's outputs are held."""
    found, variety = Swept(), _Variety(subject.reference.variant)
    for size, wanted in cases:
        batch = subject.affordable(size, wanted)
        images = subject.images(size, batch)
        expected = run(subject.reference, images)
        tolerance, noise = subject.bounds.at(size, images, expected)
        answers = {candidate.variant: answer_of(candidate, images) for candidate in subject.candidates}
        served = subject.served(size, batch)
        predicted = subject.predicted(size, images, expected)
        for candidate in subject.candidates:
            answer = answers[candidate.variant]
            if not served and isinstance(candidate, Refusing) and candidate.variant.startswith("engine-"):
                found.refusals.append(_refusal(candidate.variant, images, candidate.refuses(images)))
            elif served or answer is not REFUSED:
                named = candidate.variant, subject.reference.variant
                allowed = subject.allowed(candidate.variant, tolerance, predicted)
                found.parity.append(parity_row(*named, images, answer, expected, allowed, noise))
        arrays = {subject.reference.variant: expected, **_arrays(answers)}
        found.budget += budget_rows(images, subject.reference.variant, arrays)
        variety.see(arrays, tolerance)
        if on_case:
            on_case(size, batch, images, {subject.reference.variant: expected, **answers})
        on_step(f"parity at {size}")
    variety.judge(found)
    return found


def answer_of(candidate: Runner, images: Array) -> Array | str:
    """A variant's outputs, or why it gave none: that is a finding about the variant and not an accident."""
    try:
        return run(candidate, images)
    except Unrunnable:
        return REFUSED
    except Exception as error:
        from fcnship.errors import FcnshipError

        if isinstance(error, FcnshipError | MemoryError):
            raise
        lines = str(error).strip().splitlines() or [""]
        return f"{DOES_NOT_RUN}: {type(error).__name__}: {lines[0][:200]}"


class _Variety:
    """Whether outputs depend on the image at all, seen over all cases: each has images of its own."""

    def __init__(self, reference: str) -> None:
        self._reference, self._tolerance = reference, 0.0
        self._low: dict[str, Array] = {}
        self._high: dict[str, Array] = {}
        self._seen = 0

    def see(self, outputs: Mapping[str, Array], tolerance: float) -> None:
        """Take note of a case's outputs."""
        self._tolerance = max(self._tolerance, tolerance)
        expected = outputs[self._reference]
        self._seen += len(expected)
        for variant, array in outputs.items():
            if as_shaped(array, expected).shape == expected.shape and np.isfinite(array).all():
                cells = array.reshape(-1, array.shape[-1])
                low, high = cells.min(axis=0), cells.max(axis=0)
                if variant in self._low:
                    low, high = np.minimum(self._low[variant], low), np.maximum(self._high[variant], high)
                self._low[variant], self._high[variant] = low, high

    def judge(self, found: Swept) -> None:
        """Fail variants that answer all images alike where the original does not; warn where it does too."""
        spread = {variant: float((self._high[variant] - self._low[variant]).max()) for variant in self._low}
        original = spread.get(self._reference)
        if original is None or self._seen < 2:
            return
        if original <= 4 * self._tolerance:
            found.warnings.append(
                f"the outputs of {self._reference} hardly depend on the image: over {self._seen} images they "
                f"move by {original:.2g}, and the tolerance is {self._tolerance:.2g}. "
                "That other variants agree with it proves little"
            )
        else:
            found.warnings += _loose(found.parity, original)
        for row in found.parity:
            if spread.get(row["variant"]) == 0.0 and original > (row["noise_floor"] or 0.0) and row["passed"]:
                row |= {"passed": False, "fault": CONSTANT}


def _loose(rows: Sequence[Mapping[str, Any]], spread: float) -> list[str]:
    """For each variant that may differ by more than half of what the original's outputs move, where most."""
    loose = sorted((row for row in rows if row["tolerance"] > spread / 2), key=lambda row: row["tolerance"])
    worst = {row["variant"]: row for row in loose}
    return [
        f"{variant} may differ by {row['tolerance']:.2g} at {row['height']}x{row['width']}, where outputs "
        f"of {row['reference']} move by {spread:.2g} over all images: that it agrees proves little. Its "
        "accuracy counts"
        for variant, row in worst.items()
    ]


def _arrays(answers: Outputs) -> dict[str, Array]:
    return {variant: answer for variant, answer in answers.items() if not isinstance(answer, str)}


def _refusal(variant: str, images: Array, refused: bool) -> dict[str, Any]:
    batch, height, width, _ = images.shape
    where = {"variant": variant, "height": height, "width": width, "batch": batch}
    return {**where, "refused": refused, "passed": refused}

"""Numeric agreement of a variant's outputs with the reference's on the same images, and what never agrees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
NO_NUMBER = "the output has NaN or infinity in it"
# Of the largest output: what moves less may be rounding.
_RESOLUTION = 2.0**-20
CONSTANT = "the output is the same for different images"


def parity_row(
    variant: str,
    reference: str,
    images: Array,
    outputs: Array | str,
    expected: Array,
    tolerance: float,
    noise: float | None,
) -> dict[str, Any]:
    """One row of the report: how a variant's outputs differ from the reference's on these images.

    ``outputs`` may be a text instead: why there are none, which is a failure too.
    """
    batch, height, width, _ = images.shape
    compared = (
        _nothing(len(expected), tolerance, outputs)
        if isinstance(outputs, str)
        else compare(outputs, expected, tolerance, noise)
    )
    floors = compared["max_abs"] / noise if noise else None
    where = {"variant": variant, "reference": reference, "height": height, "width": width, "batch": batch}
    return {**where, **compared, "noise_floor": noise, "floors": floors}


def compare(outputs: Array, expected: Array, tolerance: float, noise: float | None = None) -> dict[str, Any]:
    """Largest and mean absolute error, cosine, changed decisions, and the fault ('' where it passed).

    A fault are NaN, infinity, another shape, an output that is the same for all images of a batch where the
    reference's is not, an error above the tolerance, and a changed decision where the reference's best class
    led the next by more than the tolerance (``flip_margin_max`` is the largest such lead).
    A map of one cell, (batch, 1, 1, classes), is compared with (batch, classes) as what it is: the same.
    """
    outputs = as_shaped(outputs, expected)
    if outputs.shape != expected.shape:
        told = f"the output has the shape {outputs.shape}, not {expected.shape}"
        return _nothing(len(expected), tolerance, told)
    ours, theirs = outputs.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity less infinity is no number, and no agreement
        error = np.abs(ours - theirs)
        product, norms = float(np.vdot(ours, theirs)), float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    finite = bool(np.isfinite(error).all())
    flipped = ours.argmax(-1) != theirs.argmax(-1)
    found = {
        "max_abs": float(error.max(initial=0.0)) if finite else math.inf,
        "mean_abs": float(error.mean()) if finite else math.inf,
        "cosine": product / norms if norms and math.isfinite(norms) else 0.0,
        "argmax_flips": int(flipped.sum()),
        "flip_margin_max": float(_margins(theirs)[flipped].max(initial=0.0)) if finite else math.inf,
        "tolerance": tolerance,
    }
    fault = _fault(found, ours, theirs, noise)
    return {**found, "passed": not fault, "fault": fault}


def as_shaped(outputs: Array, expected: Array) -> Array:
    """A map of one cell as the vector that it is compared with."""
    if outputs.ndim == 4 and outputs.shape[1:3] == (1, 1) and expected.ndim == 2:
        return outputs[:, 0, 0]
    return outputs


def is_constant(outputs: Array, expected: Array, noise: float) -> bool:
    """Whether all images (axis 0) have the same outputs while the reference's differ by more than noise."""
    if len(outputs) < 2:
        return False
    return bool(np.ptp(outputs, axis=0).max() == 0.0 and np.ptp(expected, axis=0).max() > noise)


def _fault(found: dict[str, Any], ours: Array, theirs: Array, noise: float | None) -> str:
    tolerance, error, margin = found["tolerance"], found["max_abs"], found["flip_margin_max"]
    if not math.isfinite(error):
        return NO_NUMBER
    if is_constant(ours, theirs, noise if noise is not None else _RESOLUTION * float(np.abs(theirs).max())):
        return CONSTANT
    if not error <= tolerance:
        return f"the largest error {error:.3g} is above the tolerance {tolerance:.3g}"
    if margin > tolerance:
        return f"a decision changed that the original made with a margin of {margin:.3g}"
    return ""


def _margins(expected: Array) -> Array:
    """How far the best class leads the next, for each image or cell."""
    if expected.shape[-1] < 2:
        return np.zeros(expected.shape[:-1])
    best = np.partition(expected, -2, axis=-1)
    return np.asarray(best[..., -1] - best[..., -2])


def _nothing(count: int, tolerance: float, fault: str) -> dict[str, Any]:
    """The figures of outputs that cannot be compared."""
    worst = {"max_abs": math.inf, "mean_abs": math.inf, "cosine": 0.0, "argmax_flips": count}
    return {**worst, "flip_margin_max": math.inf, "tolerance": tolerance, "passed": False, "fault": fault}

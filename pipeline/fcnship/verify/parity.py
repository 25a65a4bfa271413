"""Numeric agreement of variants with the original, on the same images, size by size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fcnship.graph.nodes import Network
from fcnship.graph.propagate import is_legal
from fcnship.runners import Runner, Unrunnable, run
from fcnship.sizes import Profile, Size

Array = np.ndarray[Any, Any]
_ODD_BETWEEN = (0.31, 0.57, 0.83)


def parity_sizes(profile: Profile) -> list[Size]:
    """Min, opt and max, each edge one pixel in and out, odd sizes between, non-square and transposed."""
    low, opt, high = profile.min, profile.opt, profile.max
    edges = [Size(s.height + d, s.width + d) for s in (low, high) for d in (-1, 1)]
    odd = [_odd(low, high, share, share) for share in _ODD_BETWEEN]
    oblong = [_odd(low, high, 0.2, 0.7), _odd(low, high, 0.9, 0.4)]
    corners = [Size(low.height, high.width), Size(high.height, low.width)]
    found = [low, opt, high, *edges, *odd, *oblong, *(s.transposed for s in oblong), *corners]
    return sorted({size for size in found if size.height > 0 and size.width > 0})


def parity_cases(network: Network, profiles: Sequence[Profile]) -> list[tuple[Size, int]]:
    """Sizes and batches: one image everywhere, the largest batch too at min, opt and max.

    A size outside every profile is left out where the network cannot run at it.
    """
    cases = {(size, 1) for profile in profiles for size in parity_sizes(profile) if is_legal(network, size)}
    for profile in profiles:
        cases |= {(size, profile.batch[2]) for size in (profile.min, profile.opt, profile.max)}
    return sorted(cases)


def parity_row(
    candidate: Runner,
    reference: str,
    images: Array,
    expected: Array,
    tolerance: float,
    noise: float | None,
) -> dict[str, Any] | None:
    """One row of the report: how a candidate's outputs differ from the reference's on these images.

    None where the candidate says that it does not serve this size (an engine outside its profiles).
    """
    try:
        outputs = run(candidate, images)
    except Unrunnable:
        return None
    batch, height, width, _ = images.shape
    return {
        "variant": candidate.variant,
        "reference": reference,
        "height": height,
        "width": width,
        "batch": batch,
        **compare(outputs, expected, tolerance),
        "noise_floor": noise,
    }


def compare(outputs: Array, expected: Array, tolerance: float) -> dict[str, Any]:
    """Largest and mean absolute error, cosine, changed decisions; a wrong shape or NaN never passes.

    A map of one cell, (batch, 1, 1, classes), is compared with (batch, classes) as what it is: the same.
    """
    if outputs.ndim == 4 and outputs.shape[1:3] == (1, 1) and expected.ndim == 2:
        outputs = outputs[:, 0, 0]
    if outputs.shape != expected.shape:
        worst = {"max_abs": math.inf, "mean_abs": math.inf, "cosine": 0.0, "argmax_flips": len(expected)}
        return {**worst, "tolerance": tolerance, "passed": False}
    error = np.abs(outputs.astype(np.float64) - expected.astype(np.float64))
    norms = float(np.linalg.norm(outputs) * np.linalg.norm(expected))
    max_abs = float(error.max()) if np.isfinite(error).all() else math.inf
    return {
        "max_abs": max_abs,
        "mean_abs": float(error.mean()) if math.isfinite(max_abs) else math.inf,
        "cosine": float(np.vdot(outputs, expected)) / norms if norms and math.isfinite(norms) else 0.0,
        "argmax_flips": int((outputs.argmax(-1) != expected.argmax(-1)).sum()),
        "tolerance": tolerance,
        "passed": max_abs <= tolerance,
    }


def _odd(low: Size, high: Size, down: float, across: float) -> Size:
    """A size with odd sides at these shares of the range (its even neighbour where the range has no odd)."""
    height = round(low.height + (high.height - low.height) * down) | 1
    width = round(low.width + (high.width - low.width) * across) | 1
    return Size(min(height, high.height), min(width, high.width))

"""The error budget: along a chain of variants, what each step added to the error against the original.

For outputs o0 (the original), o1, ... on: the step of variant k is ``ok - ok-1``, its total ``ok - o0``. The
largest total is at most the sum of the largest steps up to it. ``contribution`` is exact: the mean of the
step times the sign of the last variant's total; over the chain the contributions add up to that total's mean
absolute value. A negative one took away what other steps had added.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from fcnship.reports.order import variant_key
from fcnship.verify.parity import as_shaped

Array = np.ndarray[Any, Any]


def budget_rows(images: Array, reference: str, outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    """One row for each variant of the chain on these images; ``outputs`` has the reference's too.

    Variants whose outputs have another shape or are not finite are left out: parity has said so.
    """
    expected = outputs[reference]
    if not np.isfinite(expected).all():
        return []
    chain = [
        (variant, as_shaped(outputs[variant], expected).astype(np.float64))
        for variant in chain_of(reference, outputs)
        if comparable(outputs[variant], expected)
    ]
    if len(chain) < 2:
        return []
    start, end = chain[0][1], chain[-1][1]
    direction = np.sign(end - start)
    batch, height, width, _ = images.shape
    rows = []
    for (before, earlier), (variant, later) in pairwise(chain):
        step, total = later - earlier, later - start
        rows.append(
            {
                "variant": variant,
                "reference": reference,
                "before": before,
                "height": height,
                "width": width,
                "batch": batch,
                "step_max": float(np.abs(step).max()),
                "step_mean": float(np.abs(step).mean()),
                "total_max": float(np.abs(total).max()),
                "total_mean": float(np.abs(total).mean()),
                "contribution": float((direction * step).mean()),
            }
        )
    return rows


def chain_of(reference: str, variants: Mapping[str, Any]) -> list[str]:
    """The reference, then keras, savedmodel, onnx and engines, wide precision before narrow."""
    return [reference, *sorted((name for name in variants if name != reference), key=variant_key)]


def comparable(outputs: Array, expected: Array) -> bool:
    """Whether a difference of the two means anything."""
    return bool(as_shaped(outputs, expected).shape == expected.shape and np.isfinite(outputs).all())

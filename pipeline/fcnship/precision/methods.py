"""From a histogram of a tensor's values to the threshold at which INT8 ends: four methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from typing_extensions import assert_never

Array = np.ndarray[Any, Any]
MethodName = Literal["minmax", "percentile", "entropy", "mse"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)
LEVELS = 127  # of a signed, symmetric byte on each side of zero
BINS = 2048
_QUANTIZED_BINS = 128
_SMOOTHING = 1e-4


@dataclass(frozen=True, kw_only=True)
class Method:
    """How a threshold is chosen. ``percentile`` counts for the method of that name alone."""

    name: MethodName = "minmax"
    percentile: float = 99.99
    bins: int = BINS

    def __str__(self) -> str:
        return f"percentile {self.percentile:g}" if self.name == "percentile" else self.name

    @property
    def needs_histogram(self) -> bool:
        """Whether the images must be read a second time, once each tensor's largest value is known."""
        return self.name != "minmax"

    @property
    def signed(self) -> bool:
        """Whether the histogram's bins lie from -largest to largest, and not from 0 on: entropy sees both."""
        return self.name == "entropy"

    def threshold(self, histogram: Array, edges: Array, largest: float) -> float:
        """The value beyond which activations saturate; never above ``largest``.

        ``histogram`` (bins,) holds weights, whole numbers where every image has the same size; ``edges``
        (bins + 1,) are those of the absolute values, or of the values where ``signed``.
        """
        if largest == 0 or not histogram.any():
            return largest
        match self.name:
            case "minmax":
                found = largest
            case "percentile":
                found = percentile_threshold(histogram, edges, self.percentile)
            case "entropy":
                found = entropy_threshold(histogram, edges)
            case "mse":
                found = mse_threshold(histogram, edges)
            case _:
                assert_never(self.name)
        return min(found, largest)


def percentile_threshold(histogram: Array, edges: Array, percentile: float) -> float:
    """The left edge of the bin of absolute values in which the percentile lies, as ONNX Runtime takes it."""
    shares = np.cumsum(histogram / histogram.sum())
    # Rounding leaves the last sum a little below 1, and the 100th percentile would lie behind all bins.
    place = min(int(np.searchsorted(shares, percentile / 100)), len(histogram) - 1)
    # An edge of 0 would make the scale 0: a tensor that is zero nearly everywhere keeps one bin.
    return float(edges[place] if edges[place] > 0 else edges[place + 1])


def mse_threshold(histogram: Array, edges: Array) -> float:
    """The edge that makes the mean squared error of rounding and clipping smallest.

    Each bin of absolute values stands for its centre; the candidates are all edges but 0.
    """
    filled = np.flatnonzero(histogram)
    weights, centres = histogram[filled], (edges[:-1] + edges[1:])[filled] / 2
    errors = [float(weights @ _squared_errors(centres, edge)) for edge in edges[1:]]
    return float(edges[1 + int(np.argmin(errors))])


def _squared_errors(values: Array, threshold: float) -> Array:
    scale = threshold / LEVELS
    rounded: Array = np.minimum(np.rint(values / scale), LEVELS) * scale
    return np.asarray((values - rounded) ** 2)


def entropy_threshold(histogram: Array, edges: Array, quantized_bins: int = _QUANTIZED_BINS) -> float:
    """The threshold at which clipping and merging into 128 bins loses the least information.

    The Kullback-Leibler divergence of S. Migacz, 8-bit inference with TensorRT (GTC 2017), with ONNX
    Runtime's details (``onnxruntime.quantization.calibrate``), whole numbers and smoothing included.
    """
    zero, half = len(histogram) // 2, quantized_bins // 2
    if zero < half:
        return float(edges[-1])
    best, least = float(edges[-1]), np.inf
    for reach in range(half, zero + 1):
        start, end = zero - reach, min(zero + reach + 1, len(histogram))
        divergence = _divergence(histogram, start, end, quantized_bins)
        if divergence < least:
            best, least = float(max(abs(edges[start]), abs(edges[end]))), divergence
    return best


def _divergence(histogram: Array, start: int, end: int, quantized_bins: int) -> float:
    """Between the values clipped to bins ``start`` to ``end`` and the same in ``quantized_bins`` bins."""
    inside = histogram[start:end]
    clipped = inside.copy()
    clipped[0] += histogram[:start].sum()
    clipped[-1] += histogram[end:].sum()
    filled = clipped != 0
    merged = len(inside) // quantized_bins
    whole = quantized_bins * merged
    sums = inside[:whole].reshape(quantized_bins, merged).sum(axis=1)
    sums[-1] += inside[whole:].sum()
    counts = filled[:whole].reshape(quantized_bins, merged).sum(axis=1)
    spread = np.zeros(len(inside))
    spread[:whole] = np.repeat(np.floor(sums / np.maximum(counts, 1)) * (counts > 0), merged)
    smooth, coarse = _smoothed(clipped), _smoothed(spread)
    if smooth is None or coarse is None:
        return float("inf")
    smooth, coarse = smooth / smooth.sum(), coarse / coarse.sum()
    return float((smooth * np.log(smooth / coarse)).sum())


def _smoothed(weights: Array) -> Array | None:
    """Empty bins get a little, and filled ones give it; None where all bins are empty."""
    empty = weights == 0
    filled = len(weights) - int(empty.sum())
    if not filled:
        return None
    given = _SMOOTHING * (len(weights) - filled) / filled
    return None if given >= 1 else np.where(empty, _SMOOTHING, weights - given)

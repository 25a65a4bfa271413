"""What is kept of one tensor over all calibration images: its span, and a histogram for each size group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fcnship.precision.methods import Method

Array = np.ndarray[Any, Any]
_CHUNK = 1 << 20  # values that are put into bins at once


@dataclass
class Spread:
    """The values of one tensor, seen in two passes: ``widen`` in the first, ``count`` in the second."""

    lows: dict[str, float] = field(default_factory=dict)
    highs: dict[str, float] = field(default_factory=dict)
    most_values: int = 0
    histograms: dict[str, Array] = field(default_factory=dict)

    def widen(self, values: Array, group: str) -> None:
        """Take in an image's lowest and highest value."""
        low, high = float(values.min()), float(values.max())
        self.lows[group] = min(low, self.lows.get(group, low))
        self.highs[group] = max(high, self.highs.get(group, high))
        self.most_values = max(self.most_values, values.size)

    def count(self, values: Array, group: str, method: Method) -> None:
        """Take in an image's histogram, scaled as if the image were as large as the largest."""
        if self.largest == 0:
            return
        counts = counted(values, self.largest, method) * (self.most_values / values.size)
        kept = self.histograms.get(group)
        self.histograms[group] = counts if kept is None else kept + counts

    @cached_property
    def largest(self) -> float:
        """The largest absolute value of all images; fixed from the second pass on."""
        return self._largest(self.lows)

    def threshold(self, method: Method, without: str | None = None) -> float:
        """Where INT8 ends by this method; 0 where every value was 0."""
        groups = [group for group in self.lows if group != without]
        largest = self._largest(groups)
        if not method.needs_histogram:
            return largest
        kept = [self.histograms[group] for group in groups if group in self.histograms]
        histogram = np.sum(kept, axis=0) if kept else np.zeros(method.bins)
        low = -self.largest if method.signed else 0.0
        return method.threshold(histogram, np.linspace(low, self.largest, method.bins + 1), largest)

    def _largest(self, groups: Iterable[str]) -> float:
        return max((max(abs(self.lows[group]), abs(self.highs[group])) for group in groups), default=0.0)


def counted(values: Array, largest: float, method: Method) -> Array:
    """How many values lie in each bin, of their absolute values unless the method is signed; float64 (bins,).

    A few times as fast as ``numpy.histogram``, from which it differs where rounding moves a value on an edge.
    """
    flat = values.reshape(-1)
    low = -largest if method.signed else 0.0
    factor = method.bins / (largest - low)
    total = np.zeros(method.bins)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK].astype(np.float64)
        places = ((part if method.signed else np.abs(part)) - low) * factor
        total += np.bincount(np.clip(places, 0, method.bins - 1).astype(np.int64), minlength=method.bins)
    return total

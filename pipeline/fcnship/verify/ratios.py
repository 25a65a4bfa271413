"""Paired ratios of times: their interval, the verdict, and what a run could have seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Verdict = Literal["faster", "slower", "inconclusive"]
# A file that is opened twice gives two copies that differ a little for good, by where their weights came to
# lie in memory. Of 180 rows of like against like, on two busy cores, 99 % intervals alone decided 10, with a
# zone of 1 % it was 4, with this one 1. Since ONNX Runtime's threads rest after a call: of 36 rows on idle
# cores none, of 90 on cores that others kept busy to four fifths 2 (tests/benchmarks/latency_noise.py).
ZONE = 0.015
_TAILS = (0.5, 99.5)
_RESAMPLES = 2000
# A 99 % interval is 2.58 standard errors to a side; another 0.84 of them make it miss the zone 4 times in 5.
_POWER = (2.58 + 0.84) / 2.58


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The median of paired ratios, and the 99 % interval around it."""

    low: float
    middle: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Faster or slower only where the whole interval lies beyond the zone of no practical difference."""
        if self.high < 1 - ZONE:
            return "faster"
        return "slower" if self.low > 1 + ZONE else "inconclusive"

    @property
    def smallest_effect(self) -> float:
        """The change, as a share, that a run with this much noise calls faster or slower 4 times in 5."""
        side = math.log(self.high / self.low) / 2
        return ZONE + math.expm1(side * _POWER)


def interval_of(ratios: Array) -> Interval:
    """The median of ratios, (rounds,) in the order of time, with its 99 % interval.

    A circular block bootstrap: stretches of the cube root of the rounds are drawn, so that a machine that was
    slow for a while does not count once for each round (Politis and Romano 1992). The same ratios give the
    same interval; five rounds, the fewest, give the smallest and the largest of them, which is 94 %.
    """
    count = len(ratios)
    block = round(count ** (1 / 3)) if count >= 16 else 1
    rng = np.random.default_rng(0)
    starts = rng.integers(count, size=(_RESAMPLES, -(-count // block), 1))
    places = ((starts + np.arange(block)) % count).reshape(_RESAMPLES, -1)[:, :count]
    low, high = np.percentile(np.median(ratios[places], axis=1), _TAILS)
    return Interval(low=float(low), middle=float(np.median(ratios)), high=float(high))


def drift_of(reference: Array) -> Interval:
    """Late over early: what became of the original's times, (rounds, cases), during the measurement.

    Each case is divided by its own median; then the last third of the rounds is held against the first.
    """
    pace = np.median(reference / np.median(reference, axis=0), axis=1)
    third = max(1, len(pace) // 3)
    rng = np.random.default_rng(0)
    early, late = (
        np.median(rng.choice(part, (_RESAMPLES, third)), axis=1) for part in (pace[:third], pace[-third:])
    )
    low, high = np.percentile(late / early, _TAILS)
    middle = np.median(pace[-third:]) / np.median(pace[:third])
    return Interval(low=float(low), middle=float(middle), high=float(high))

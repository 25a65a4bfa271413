"""Latency of variants against the original, in one interleaved and shuffled run for each size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fcnship.runners import ORIGINAL, Runner

Array = np.ndarray[Any, Any]
_WARM_UP, _WARM_UP_SECONDS = 5, 2.0
_SECONDS_A_SIZE = 3.0
# A round of slow networks may take many seconds: five must do then, and the interval shows their worth.
_LEAST_ROUNDS, _MOST_ROUNDS = 5, 60
_RESAMPLES = 2000


def latency_rows(runners: Sequence[Runner], images: Array) -> list[dict[str, Any]]:
    """Rows of the report for one batch; the first runner is the original.

    Each round runs every variant once, in a new random order, so that a slow moment of the machine hits all
    alike. ``ratio`` is the median over the rounds of a variant's time over the original's in the same round,
    with a 95 % bootstrap interval. Timed is inference alone: images lie ready in the runtime's own form.
    """
    prepared = [runner.prepare(images) for runner in runners]
    _warm_up(runners, prepared)
    seconds = _measured(runners, prepared)
    return [
        _row(runner.variant, images, seconds[:, index], seconds[:, 0]) for index, runner in enumerate(runners)
    ]


def _warm_up(runners: Sequence[Runner], prepared: Sequence[Any]) -> None:
    end = time.perf_counter() + _WARM_UP_SECONDS
    for done in range(_WARM_UP):
        if done and time.perf_counter() > end:
            return
        for runner, feed in zip(runners, prepared, strict=True):
            runner.infer(feed)


def _measured(runners: Sequence[Runner], prepared: Sequence[Any]) -> Array:
    """Seconds, (rounds, runners)."""
    rng = np.random.default_rng(0)
    rounds: list[Array] = []
    end = time.perf_counter() + _SECONDS_A_SIZE
    while len(rounds) < _LEAST_ROUNDS or (len(rounds) < _MOST_ROUNDS and time.perf_counter() < end):
        row = np.zeros(len(runners))
        for index in rng.permutation(len(runners)):
            start = time.perf_counter()
            runners[index].infer(prepared[index])
            row[index] = time.perf_counter() - start
        rounds.append(row)
    return np.array(rounds)


def _row(variant: str, images: Array, seconds: Array, reference: Array) -> dict[str, Any]:
    batch, height, width, _ = images.shape
    low, middle, high = ratio_interval(seconds / reference)
    return {
        "variant": variant,
        "height": height,
        "width": width,
        "batch": batch,
        "p50_ms": float(np.median(seconds) * 1e3),
        "p95_ms": float(np.percentile(seconds, 95) * 1e3),
        "runs": len(seconds),
        "ratio": middle,
        "ratio_low": low,
        "ratio_high": high,
        "verdict": "reference" if variant == ORIGINAL else verdict_of(low, high),
    }


def ratio_interval(ratios: Array) -> tuple[float, float, float]:
    """The median of paired ratios and its 95 % percentile-bootstrap interval: (low, median, high)."""
    rng = np.random.default_rng(0)
    drawn = np.median(rng.choice(ratios, (_RESAMPLES, len(ratios))), axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(np.median(ratios)), float(high)


def verdict_of(low: float, high: float) -> str:
    """Faster or slower only where the whole interval says so."""
    if high < 1:
        return "faster"
    return "slower" if low > 1 else "inconclusive"

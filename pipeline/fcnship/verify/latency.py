"""Latency of variants against the original: the cases, one interleaved run of all of them, and its rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fcnship.machine import available_bytes
from fcnship.runners import ORIGINAL, Runner
from fcnship.runners import timed as timed_runner
from fcnship.sizes import Profile
from fcnship.verify.ratios import drift_of, interval_of
from fcnship.verify.schedule import Array, Case, Feeds, Schedule, Timed
from fcnship.verify.timing import Surroundings, timing_facts

_SECONDS = 8.0
_SHARE_OF_MEMORY = 8
_DRIFT = 0.05


def latency_cases(profiles: Iterable[Profile]) -> list[Case]:
    """Min, opt and max of the profiles at the smallest batch; the other batches at opt, if time allows."""
    profiles = tuple(profiles)
    sizes = {Case(size=s, batch=p.batch[0]) for p in profiles for s in (p.min, p.opt, p.max)}
    more = {Case(size=p.opt, batch=batch) for p in profiles for batch in p.batch[1:]} - sizes
    return sorted(sizes, key=_order) + [
        Case(size=c.size, batch=c.batch, optional=True) for c in sorted(more, key=_order)
    ]


def latency_rows(
    runners: Sequence[Runner],
    cases: Sequence[Case],
    images: Callable[[Case], Array],
    *,
    seconds: float = _SECONDS,
    progress: Callable[[float], None] = lambda share: None,
    seed: int = 0,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The report's ``latency`` rows and its ``timing``; the first runner, the original, takes every case.

    Each round runs every variant at every case, in a new random order, so that a slow moment of the machine
    hits all alike. ``ratio`` is the median over the rounds of a variant's time over the original's in the
    same round. What is timed is said in ``timing``. ``seconds`` bounds the rounds, of which there are at
    least five.
    """
    around, start = Surroundings(), time.perf_counter()
    runners = [timed_runner(runner) for runner in runners]
    schedule = Schedule(runners, Feeds(runners, images, available_bytes() // _SHARE_OF_MEMORY), seconds, seed)
    timed = schedule.run(cases, progress)
    rows = [
        _row(runners[place].variant, case, timed, place) for case in cases for place in _places(timed, case)
    ]
    return rows, {
        **timing_facts([runner.variant for runner in runners]),
        "rounds": len(next(iter(timed.seconds.values()))),
        "seconds": round(time.perf_counter() - start, 3),
        "steady": timed.steady,
        "drift": _drift(timed),
        "throttled": around.throttled(),
        "other_load": around.other_load(),
        "left_out": list(timed.left_out),
    }


def timing_warnings(timing: dict[str, Any]) -> list[str]:
    """What of the surroundings makes the times doubtful, a sentence each."""
    found = []
    drift = timing["drift"]
    if drift["low"] > 1 + _DRIFT or drift["high"] < 1 - _DRIFT:
        became = "slower" if drift["ratio"] > 1 else "faster"
        found.append(
            f"the machine became {became} while latency was measured: the original took {drift['ratio']:.2f} "
            "times as long at the end as at the beginning. Measure again when it is cool and quiet"
        )
    if timing["throttled"]:
        found.append(
            f"a processor was slowed by its heat {timing['throttled']} times while latency was measured"
        )
    return found


def _places(timed: Timed, case: Case) -> list[int]:
    return sorted(place for place, measured in timed.seconds if measured == case)


def _row(variant: str, case: Case, timed: Timed, place: int) -> dict[str, Any]:
    calls = timed.seconds[place, case].ravel() * 1e3
    found = interval_of(timed.rounds(place, case) / timed.rounds(0, case))
    p50, p95, p99 = np.percentile(calls, [50, 95, 99])
    original = variant == ORIGINAL and place == 0
    return {
        "variant": variant,
        "height": case.size.height,
        "width": case.size.width,
        "batch": case.batch,
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "runs": len(calls),
        "images_per_second": case.batch * 1e3 / float(p50),
        "ratio": found.middle,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "smallest_effect": None if original else found.smallest_effect,
        "verdict": "reference" if original else found.verdict,
    }


def _drift(timed: Timed) -> dict[str, float]:
    reference = [timed.rounds(place, case) for place, case in timed.seconds if place == 0]
    found = drift_of(np.stack(reference, axis=1))
    return {"ratio": found.middle, "low": found.low, "high": found.high}


def _order(case: Case) -> tuple[int, int, int, int]:
    height, width = case.size.height, case.size.width
    return height * width, height, width, case.batch

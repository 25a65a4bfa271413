"""The interval of paired ratios, the verdict, the smallest effect, and drift."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fcnship.verify.ratios import ZONE, Interval, drift_of, interval_of

Array = np.ndarray[Any, Any]


def paired(seed: int, effect: float, rounds: int = 120, noise: float = 0.05) -> Array:
    """Ratios of two models whose medians differ by ``effect``, with the spikes of a busy machine."""
    rng = np.random.default_rng(seed)
    ratios = (1 + effect) * np.exp(rng.normal(0, noise, rounds))
    ratios[rng.random(rounds) < 0.05] *= 3
    return np.asarray(ratios)


def test_a_constant_ratio_has_no_spread() -> None:
    found = interval_of(np.full(12, 0.25))
    assert (found.low, found.middle, found.high) == (0.25, 0.25, 0.25)
    assert found.smallest_effect == ZONE


def test_the_interval_holds_the_median_and_is_always_the_same() -> None:
    ratios = np.random.default_rng(1).lognormal(0, 0.3, 40)
    found = interval_of(ratios)
    assert found.middle == np.median(ratios)
    assert ratios.min() <= found.low < found.middle < found.high <= ratios.max()
    assert interval_of(ratios) == found


@pytest.mark.parametrize("rounds", [5, 12, 30, 200])
def test_the_interval_covers_the_true_median_about_99_times_in_100(rounds: int) -> None:
    found = [interval_of(np.random.default_rng(s).lognormal(0, 0.5, rounds)) for s in range(100)]
    covered = sum(interval.low <= 1 <= interval.high for interval in found)
    assert covered >= (88 if rounds == 5 else 95)


def test_slow_stretches_of_time_widen_the_interval() -> None:
    """Rounds that follow each other are alike: as many draws of single rounds would claim too much."""
    rng = np.random.default_rng(3)
    stretches = np.repeat(rng.lognormal(0, 0.2, 20), 10)
    together, mixed = interval_of(stretches), interval_of(rng.permutation(stretches))
    assert math.log(together.high / together.low) > 1.2 * math.log(mixed.high / mixed.low)


def test_more_rounds_make_it_narrower() -> None:
    rng = np.random.default_rng(2)
    few, many = (interval_of(rng.lognormal(0, 0.3, count)) for count in (10, 1000))
    assert many.high - many.low < (few.high - few.low) / 3


def test_one_slow_round_does_not_decide() -> None:
    ratios = np.full(20, 0.5)
    ratios[3] = 400
    assert interval_of(ratios).verdict == "faster"
    assert interval_of(ratios).high == 0.5


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.4, 0.9, "faster"),
        (1.1, 1.2, "slower"),
        (0.9, 1.1, "inconclusive"),
        (0.9, 0.995, "inconclusive"),
        (1.005, 1.1, "inconclusive"),
        (1.0, 1.0, "inconclusive"),
    ],
)
def test_a_verdict_needs_the_whole_interval_beyond_the_zone(low: float, high: float, verdict: str) -> None:
    assert Interval(low=low, middle=math.sqrt(low * high), high=high).verdict == verdict


def test_like_and_like_are_inconclusive() -> None:
    verdicts = [interval_of(paired(seed, 0.0)).verdict for seed in range(100)]
    assert verdicts.count("inconclusive") >= 97


def test_the_smallest_effect_is_seen_about_4_times_in_5() -> None:
    """By construction: take the effect that runs without one state, and give it to other runs."""
    effect = float(np.median([interval_of(paired(seed, 0.0)).smallest_effect for seed in range(50)]))
    seen = [interval_of(paired(1000 + seed, effect)).verdict for seed in range(200)]
    assert 0.7 < seen.count("slower") / len(seen) < 0.95
    half = [interval_of(paired(2000 + seed, effect / 2)).verdict for seed in range(200)]
    assert half.count("slower") < seen.count("slower") / 2


def reference(pace: Array, seed: int = 0) -> Array:
    """Times of the original, (rounds, 3 cases), of a machine that keeps that pace."""
    noise = np.random.default_rng(seed).lognormal(0, 0.1, (len(pace), 3))
    return np.asarray(pace[:, None] * np.array([0.001, 0.004, 0.1]) * noise)


def test_a_machine_that_slows_down_is_noticed() -> None:
    found = drift_of(reference(np.linspace(1, 1.3, 60)))
    assert found.low > 1.05
    assert found.middle == pytest.approx(1.2, abs=0.06)


def test_a_steady_machine_does_not_drift() -> None:
    found = [drift_of(reference(np.ones(60), seed)) for seed in range(50)]
    assert sum(interval.low > 1.05 or interval.high < 0.95 for interval in found) <= 1


def test_the_fewest_rounds_are_enough_for_an_answer() -> None:
    found = drift_of(reference(np.ones(5)))
    assert found.low <= found.middle <= found.high

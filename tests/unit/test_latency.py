"""Latency: what is timed at which size, how the rounds are run, and what the rows say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fcnship.runners import Unrunnable
from fcnship.sizes import Profile, Size
from fcnship.verify import schedule
from fcnship.verify.latency import latency_cases, latency_rows, timing_warnings
from fcnship.verify.schedule import Case, Feeds, Schedule

Array = np.ndarray[Any, Any]
NAMES, MS = ("keras", "slow", "fast"), (1.0, 3.0, 0.2)


class Clock:
    """A clock that goes on only while a runner works: the tests do not depend on what else runs here."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    """The clock of the schedule, in place of the machine's."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "time", clock)
        yield clock


class Working:
    """A runner that takes its time, more or less, and writes down its turns."""

    def __init__(self, variant: str, ms: float, clock: Clock, largest: int = 99) -> None:
        self.variant, self.seconds, self._clock, self._largest = variant, ms / 1e3, clock, largest
        self.prepared = 0
        self.turns: list[tuple[str, int]] = []
        self._noise = np.random.default_rng(len(variant))

    def prepare(self, images: Any) -> Any:
        if images.shape[1] > self._largest:
            raise Unrunnable("no profile serves it")
        self.prepared += 1
        return images

    def infer(self, prepared: Any) -> Any:
        self.turns.append((self.variant, prepared.shape[1]))
        self._clock.now += self.seconds * len(prepared) * self._noise.lognormal(0, 0.05)
        return prepared

    def finish(self, outputs: Any) -> Any:
        return outputs

    def close(self) -> None: ...


def images_of(case: Case) -> Array:
    return np.zeros((case.batch, case.size.height, case.size.width, 1), np.float32)


def runners_of(clock: Clock) -> tuple[list[Working], list[tuple[str, int]]]:
    """The three runners, and the one list of their turns."""
    runners = [Working(name, ms, clock) for name, ms in zip(NAMES, MS, strict=True)]
    for runner in runners:
        runner.turns = runners[0].turns
    return runners, runners[0].turns


SMALL, LARGE = Case(size=Size(9, 11)), Case(size=Size(20, 20))


@pytest.fixture(scope="module")
def measured(clock: Clock) -> tuple[list[dict[str, Any]], dict[str, Any], list[tuple[str, int]]]:
    runners, turns = runners_of(clock)
    rows, timing = latency_rows(runners, [SMALL, LARGE], images_of, seconds=1.0)
    return rows, timing, turns


def test_rows_say_what_was_timed_and_how_it_compares(measured: Any) -> None:
    rows, timing, _ = measured
    assert [(row["variant"], row["height"], row["verdict"]) for row in rows] == [
        (name, size, verdict)
        for size in (9, 20)
        for name, verdict in zip(NAMES, ("reference", "slower", "faster"), strict=True)
    ]
    for row, ms in zip(rows, MS * 2, strict=True):
        assert row["p50_ms"] == pytest.approx(ms, rel=0.05)
        assert row["p50_ms"] < row["p95_ms"] < row["p99_ms"]
        assert row["images_per_second"] == pytest.approx(1e3 / row["p50_ms"])
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["ratio"] == pytest.approx(ms, rel=0.05)
    assert rows[0]["ratio"] == rows[0]["ratio_low"] == rows[0]["ratio_high"] == 1
    assert rows[0]["smallest_effect"] is None
    assert 0.015 < rows[1]["smallest_effect"] < 0.1
    assert timing["rounds"] >= 50
    assert timing["threads"].keys() == set(NAMES)


def test_fast_variants_are_called_several_times_at_a_visit(measured: Any) -> None:
    rows, timing, turns = measured
    calls = {row["variant"]: row["runs"] // timing["rounds"] for row in rows}
    assert calls["keras"] in (1, 2)
    assert calls["slow"] == 1
    assert 8 <= calls["fast"] <= 10
    # One more than those counted: a visit's first call finds cold caches.
    assert turns.count(("fast", 9)) >= timing["rounds"] * (calls["fast"] + 1)


def test_every_variant_and_size_once_a_round_in_shuffled_order(measured: Any) -> None:
    _, timing, turns = measured
    visits = [turn for place, turn in enumerate(turns) if place == 0 or turn != turns[place - 1]]
    # Two visits that meet at the border of two rounds read as one, so that single rounds cannot be cut out.
    for name in NAMES:
        assert timing["rounds"] * 0.7 < visits.count((name, 9)) < timing["rounds"] * 1.3 + 10
    assert len({tuple(visits[i : i + 6]) for i in range(len(visits) - 60, len(visits) - 6, 6)}) > 5
    following = {(a[0], b[0]) for a, b in pairwise(visits)}
    assert len(following) == 9, "every variant has followed every other, and itself at the other size"


def test_a_variant_that_does_not_take_a_size_is_left_out_there(clock: Clock) -> None:
    runners = [Working("keras", 1, clock), Working("slow", 3, clock, largest=10)]
    rows, _ = latency_rows(runners, [SMALL, LARGE], images_of, seconds=0.1)
    assert [(row["variant"], row["height"]) for row in rows] == [("keras", 9), ("slow", 9), ("keras", 20)]


def test_time_is_bounded_and_five_rounds_are_made_all_the_same(clock: Clock) -> None:
    start = clock.now
    rows, timing = latency_rows([Working("keras", 50, clock)], [SMALL], images_of, seconds=0.05)
    assert rows[0]["runs"] == timing["rounds"] == 5
    assert clock.now - start < 0.6
    start = clock.now
    latency_rows([Working("keras", 5, clock)], [SMALL], images_of, seconds=1.0)
    assert 0.9 < clock.now - start < 1.5


def test_large_batches_are_left_out_where_there_is_no_time_for_them(clock: Clock) -> None:
    many = Case(size=Size(9, 11), batch=100, optional=True)
    rows, timing = latency_rows([Working("keras", 20, clock)], [SMALL, many], images_of, seconds=0.5)
    assert [row["batch"] for row in rows] == [1]
    (told,) = timing["left_out"]
    assert re.fullmatch("9x11, batch 100: it would have taken 1[2-6] s", told)
    few = Case(size=Size(9, 11), batch=2, optional=True)
    rows, timing = latency_rows([Working("keras", 1, clock)], [SMALL, few], images_of, seconds=0.5)
    assert [row["batch"] for row in rows] == [1, 2]
    assert timing["left_out"] == []
    assert rows[1]["images_per_second"] == pytest.approx(2e3 / rows[1]["p50_ms"])


def test_inputs_are_prepared_beforehand_within_a_bound(clock: Clock) -> None:
    for most_bytes, second_is_kept in ((10**6, True), (9 * 11 * 4, False)):
        pair = [Working("keras", 0.1, clock), Working("fast", 0.1, clock)]
        Schedule(pair, Feeds(pair, images_of, most_bytes), 0.1).run([SMALL])
        assert pair[0].prepared == 1
        assert (pair[1].prepared == 1) is second_is_kept


def test_the_warm_up_ends_when_times_agree() -> None:
    assert not schedule._is_steady(np.ones((5, 2)))
    assert schedule._is_steady(np.ones((6, 2)))
    falling = np.linspace(2, 1, 6)[:, None]
    assert not schedule._is_steady(np.hstack([np.ones((6, 1)), falling]))


def test_a_runner_that_never_settles_is_said_to_be_unsteady(clock: Clock) -> None:
    class Warming(Working):
        def infer(self, prepared: Any) -> Any:
            self.seconds *= 0.9
            return super().infer(prepared)

    _, timing = latency_rows([Warming("keras", 100, clock)], [SMALL], images_of, seconds=0.5)
    assert timing["steady"] is False
    _, timing = latency_rows([Working("keras", 1, clock)], [SMALL], images_of, seconds=0.5)
    assert timing["steady"] is True


def test_progress_goes_from_nothing_to_all(clock: Clock) -> None:
    told: list[float] = []
    latency_rows([Working("keras", 1, clock)], [SMALL], images_of, seconds=0.1, progress=told.append)
    assert told == sorted(told)
    assert 0.5 < told[-1] <= 1


def test_cases_are_the_ends_at_the_smallest_batch_and_the_batches_at_opt() -> None:
    cases = latency_cases([Profile.parse("28,80,224@1,4,16"), Profile.parse("28,64,80@2")])
    told = [(str(case), case.optional) for case in cases]
    assert told == [
        ("28x28, batch 1", False),
        ("64x64, batch 1", False),
        ("80x80, batch 1", False),
        ("224x224, batch 1", False),
        ("64x64, batch 2", True),
        ("80x80, batch 4", True),
        ("80x80, batch 16", True),
    ]
    assert [case.batch for case in latency_cases([Profile.parse("28@4,4,8")])] == [4, 8]


def facts(low: float = 0.98, middle: float = 1.0, high: float = 1.02, throttled: int | None = None) -> Any:
    return {"drift": {"ratio": middle, "low": low, "high": high}, "throttled": throttled}


def test_drift_and_throttling_are_said() -> None:
    assert timing_warnings(facts()) == []
    assert timing_warnings(facts(1.04, 1.2, 1.4)) == []
    assert timing_warnings(facts(1.1, 1.234, 1.3)) == [
        "the machine became slower while latency was measured: the original took 1.23 times as long at the "
        "end as at the beginning. Measure again when it is cool and quiet"
    ]
    assert "became faster" in timing_warnings(facts(0.8, 0.85, 0.9))[0]
    assert timing_warnings(facts(throttled=3)) == [
        "a processor was slowed by its heat 3 times while latency was measured"
    ]
    assert timing_warnings(facts(throttled=0)) == []


def test_a_machine_that_becomes_slow_meanwhile_is_warned_of(clock: Clock) -> None:
    class Tiring(Working):
        def infer(self, prepared: Any) -> Any:
            self.seconds *= 1.005
            return super().infer(prepared)

    _, timing = latency_rows([Tiring("keras", 1, clock)], [SMALL], images_of, seconds=0.6)
    assert timing["drift"]["low"] > 1.05
    assert len(timing_warnings(timing)) == 1
    _, timing = latency_rows([Working("keras", 1, clock)], [SMALL], images_of, seconds=0.6)
    assert timing_warnings(timing) == []

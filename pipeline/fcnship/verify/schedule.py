"""When what is timed: every variant at every size in shuffled rounds of one run."""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.runners import Runner, Unrunnable
from fcnship.sizes import Size

Array = np.ndarray[Any, Any]
# A round of slow networks may take many seconds: five must do then, and the interval shows their worth.
_LEAST_ROUNDS, _MOST_ROUNDS = 5, 400
# A visit to a fast variant makes several calls, and the first, with cold caches, does not count.
_VISIT_SECONDS, _MOST_CALLS = 0.002, 10
_WARM_UP_SHARE = 0.2
_STEADY, _STEADY_CALLS = 0.1, 3


@dataclass(frozen=True, kw_only=True)
class Case:
    """One size and batch at which every variant is timed; an optional one is left out if time is short."""

    size: Size
    batch: int = 1
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.size}, batch {self.batch}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One variant at one case: the place of its runner, and how many of its calls count at each visit."""

    runner: int
    case: Case
    calls: int = 1


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds of every counted call of each cell, (rounds, calls), and how the run went."""

    seconds: dict[tuple[int, Case], Array]
    steady: bool
    left_out: tuple[str, ...]

    def rounds(self, runner: int, case: Case) -> Array:
        """One value a round, (rounds,): the median of its calls."""
        return np.asarray(np.median(self.seconds[runner, case], axis=1))


class Feeds:
    """Images in each runtime's form: made beforehand as far as ``most_bytes`` go, the rest at each visit."""

    def __init__(self, runners: Sequence[Runner], images: Callable[[Case], Array], most_bytes: int) -> None:
        self._runners, self._images, self._left = runners, images, most_bytes
        self._kept: dict[tuple[int, Case], Any] = {}

    def served(self, case: Case) -> list[int]:
        """Prepare a case for every runner; returns those that take it."""
        images, found = self._images(case), []
        for place, runner in enumerate(self._runners):
            with contextlib.suppress(Unrunnable):
                feed = runner.prepare(images)
                found.append(place)
                if images.nbytes <= self._left:
                    self._left -= images.nbytes
                    self._kept[place, case] = feed
        return found

    def of(self, cell: Cell) -> Any:
        """What the cell's runner is given."""
        key = cell.runner, cell.case
        return (
            self._kept[key]
            if key in self._kept
            else self._runners[cell.runner].prepare(self._images(cell.case))
        )


class Schedule:
    """Times every cell once a round, in a new random order each round."""

    def __init__(self, runners: Sequence[Runner], feeds: Feeds, seconds: float, seed: int = 0) -> None:
        self._runners, self._feeds, self._seconds = runners, feeds, seconds
        self._rng = np.random.default_rng(seed)

    def run(self, cases: Sequence[Case], progress: Callable[[float], None] = lambda share: None) -> Timed:
        """Warm up until steady, then go round until the time is over; ``progress`` hears the share done."""
        with _without_collector():
            cells, left_out = self._cells(cases)
            cells, steady = self._warm_up(cells)
            rounds = self._measured(cells, progress)
        seconds = {
            (cell.runner, cell.case): np.array(calls) for cell, calls in zip(cells, rounds, strict=True)
        }
        return Timed(seconds=seconds, steady=steady, left_out=left_out)

    def _cells(self, cases: Sequence[Case]) -> tuple[list[Cell], tuple[str, ...]]:
        """The cells that there are, each run once; optional cases only where there is time for them."""
        cells: list[Cell] = []
        left_out = []
        seconds_an_image: dict[Size, float] = {}
        for case in sorted(cases, key=lambda case: case.optional):
            expected = seconds_an_image.get(case.size, 0.0) * case.batch * (_LEAST_ROUNDS + 2)
            if case.optional and expected > self._seconds:
                left_out.append(f"{case}: it would have taken {expected:.0f} s")
                continue
            found = [Cell(runner=place, case=case) for place in self._feeds.served(case)]
            for cell in found:  # the first call of a size builds what later ones use
                self._visit(cell)
            taken = sum(float(np.median(self._visit(cell))) for cell in found)
            seconds_an_image.setdefault(case.size, taken / case.batch)
            cells += found
        return cells, tuple(left_out)

    def _warm_up(self, cells: Sequence[Cell]) -> tuple[list[Cell], bool]:
        """Rounds until the last medians agree with those before, or a share of the time is over."""
        end = time.perf_counter() + self._seconds * _WARM_UP_SHARE
        rows: list[Array] = []
        steady = False
        while not steady and (not rows or time.perf_counter() < end):
            row = np.zeros(len(cells))
            for place in self._rng.permutation(len(cells)):
                row[place] = np.median(self._visit(cells[place]))
            rows.append(row)
            steady = _is_steady(np.array(rows))
        usual = np.median(np.array(rows), axis=0)
        return [
            Cell(runner=cell.runner, case=cell.case, calls=_calls(seconds))
            for cell, seconds in zip(cells, usual, strict=True)
        ], steady

    def _measured(self, cells: Sequence[Cell], progress: Callable[[float], None]) -> list[list[Array]]:
        """For each cell its rounds, each (calls,)."""
        found: list[list[Array]] = [[] for _ in cells]
        start = time.perf_counter()
        for done in range(_MOST_ROUNDS):
            share = (time.perf_counter() - start) / self._seconds
            if done >= _LEAST_ROUNDS and share >= 1:
                break
            for place in self._rng.permutation(len(cells)):
                found[place].append(self._visit(cells[place]))
            gc.collect(0)
            progress(min(1.0, max(share, done / _MOST_ROUNDS)))
        return found

    def _visit(self, cell: Cell) -> Array:
        """Seconds of the counted calls, (calls,)."""
        runner, feed = self._runners[cell.runner], self._feeds.of(cell)
        if cell.calls > 1:
            runner.infer(feed)
        seconds = np.zeros(cell.calls)
        for call in range(cell.calls):
            start = time.perf_counter()
            runner.infer(feed)
            seconds[call] = time.perf_counter() - start
        return seconds


def _calls(seconds: float) -> int:
    return min(_MOST_CALLS, max(1, math.floor(_VISIT_SECONDS / max(seconds, 1e-9))))


def _is_steady(rows: Array) -> bool:
    """Whether the medians of the last calls and of as many before agree, (rounds, cells)."""
    if len(rows) < 2 * _STEADY_CALLS:
        return False
    last, before = (
        np.median(part, axis=0) for part in (rows[-_STEADY_CALLS:], rows[-2 * _STEADY_CALLS : -_STEADY_CALLS])
    )
    return bool(np.all(np.abs(last / before - 1) < _STEADY))


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Python's garbage collector would fall into some calls and not into others, as in ``timeit``."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()

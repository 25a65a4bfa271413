"""What stands beside every time, read from a made-up /sys where this machine has none."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fcnship.verify import timing
from fcnship.verify.timing import TIMED, Surroundings, governor, throttle_count, timing_facts


def processors(folder: Path, governors: list[str], counts: list[str]) -> Path:
    for place, text in enumerate(governors):
        (folder / f"cpu{place}/cpufreq").mkdir(parents=True)
        (folder / f"cpu{place}/cpufreq/scaling_governor").write_text(f"{text}\n")
    for place, text in enumerate(counts):
        (folder / f"cpu{place}/thermal_throttle").mkdir(parents=True)
        (folder / f"cpu{place}/thermal_throttle/core_throttle_count").write_text(f"{text}\n")
    return folder


def test_the_governor_of_all_processors(tmp_path: Path) -> None:
    assert governor(tmp_path) is None
    assert governor(processors(tmp_path / "a", ["performance"] * 2, [])) == "performance"
    mixed = processors(tmp_path / "b", ["schedutil", "performance", "schedutil"], [])
    assert governor(mixed) == "performance, schedutil"


def test_throttling_is_counted_over_the_processors(tmp_path: Path) -> None:
    assert throttle_count(tmp_path) is None
    assert throttle_count(processors(tmp_path, [], ["3", "0", "4"])) == 7


def test_facts_name_everything_that_must_agree() -> None:
    facts = timing_facts(["keras", "onnx-fp32", "engine-fp16"])
    assert facts["timed"] == TIMED
    assert facts["clock"].startswith("clock_gettime(CLOCK_MONOTONIC), resolution")
    cores = len(os.sched_getaffinity(0))
    assert facts["cores"] == cores
    assert facts["threads"] == {"keras": cores, "onnx-fp32": cores, "engine-fp16": None}
    assert {"keras", "numpy", "onnxruntime", "tensorflow"} <= facts["libraries"].keys()


class Machine:
    """Stands in for the clock, /proc/stat and the processor time of this process."""

    def __init__(self, patch: pytest.MonkeyPatch, *, busy: list[float | None], own: list[float]) -> None:
        self._seconds = iter([0.0, 10.0])
        all_busy, all_own = iter(busy), iter(own)
        patch.setattr(timing, "_busy_seconds", lambda: next(all_busy))
        patch.setattr(timing, "_own_seconds", lambda: next(all_own))
        patch.setattr(timing, "time", self)
        patch.setattr(os, "cpu_count", lambda: 4)

    def perf_counter(self) -> float:
        return next(self._seconds)


@pytest.mark.parametrize(
    ("busy", "own", "load"),
    [
        ([100.0, 130.0], [1.0, 11.0], 0.5),
        ([100.0, 110.0], [1.0, 11.0], 0.0),
        ([100.0, 109.0], [1.0, 11.0], 0.0),
        ([100.0, 150.0], [1.0, 1.0], 1.0),
        ([None, None], [1.0, 11.0], None),
    ],
)
def test_the_load_of_others_is_what_we_did_not_take(
    monkeypatch: pytest.MonkeyPatch, busy: list[float | None], own: list[float], load: float | None
) -> None:
    Machine(monkeypatch, busy=busy, own=own)
    assert Surroundings().other_load() == load


def test_this_machine_tells_its_load() -> None:
    around = Surroundings()
    end = time.perf_counter() + 0.2
    while time.perf_counter() < end:
        pass
    load = around.other_load()
    assert load is not None
    assert 0 <= load <= 1

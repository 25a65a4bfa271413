"""What stands beside every time, read from a made-up /sys where this machine has none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

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


def test_the_load_of_others_is_seen_and_our_own_is_not() -> None:
    def busy(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    def load_with(others: int) -> float:
        around = Surroundings()
        spin = [sys.executable, "-c", "while True: pass"]
        running = [subprocess.Popen(spin) for _ in range(others)]
        busy(1.0)
        load = around.other_load()
        for one in running:
            one.kill()
            one.wait()
        assert load is not None
        return load

    alone = min(load_with(0) for _ in range(2))
    assert 0 <= alone <= 1
    # Others may be at work on this machine already; two more are seen unless it was full before.
    assert load_with(2) > min(alone + 0.05, 0.3)

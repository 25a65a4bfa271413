"""What stands beside every time: clock, threads, governor, versions, and what else went on meanwhile."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcnship.machine import cores, version_of

# Every runner starts from images in the host's memory, in the runtime's own form, and ends with outputs in
# the host's memory. Times of another kind (device only, through a server) must say so in other words.
TIMED = "one call, from images in host memory to outputs in host memory; copies to and from a GPU included"
_LIBRARIES = ("keras", "numpy", "onnxruntime", "tensorflow", "tensorrt", "tensorrt-rtx")
_PROCESSORS = Path("/sys/devices/system/cpu")
_BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal: man 5 proc_stat


class Surroundings:
    """Watches the machine while something is timed."""

    def __init__(self) -> None:
        self._busy, self._own, self._start = _busy_seconds(), _own_seconds(), time.perf_counter()
        self._throttled = throttle_count()

    def other_load(self) -> float | None:
        """The share of the processors that other programs took so far, 0 to 1; None where it is not told."""
        busy, elapsed = _busy_seconds(), time.perf_counter() - self._start
        if busy is None or self._busy is None or elapsed <= 0:
            return None
        others = busy - self._busy - (_own_seconds() - self._own)
        return round(min(1.0, max(0.0, others / elapsed / (os.cpu_count() or 1))), 2)

    def throttled(self) -> int | None:
        """How often a processor was slowed because of its heat so far; None where it is not told."""
        now = throttle_count()
        return None if now is None or self._throttled is None else now - self._throttled


def timing_facts(variants: Sequence[str]) -> dict[str, Any]:
    """How times are taken here: the part of ``timing`` that must agree before any two compare."""
    clock = time.get_clock_info("perf_counter")
    versions = {name: version_of(name) for name in _LIBRARIES}
    return {
        "timed": TIMED,
        "clock": f"{clock.implementation}, resolution {clock.resolution:g} s",
        "cores": cores(),
        "threads": {variant: _threads(variant) for variant in variants},
        "governor": governor(),
        "libraries": {name: version for name, version in versions.items() if version},
    }


def governor(processors: Path = _PROCESSORS) -> str | None:
    """How the system sets the processors' clock, like ``performance``; None where it does not say."""
    found = {_text(path) for path in processors.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""}
    return ", ".join(sorted(found)) or None


def throttle_count(processors: Path = _PROCESSORS) -> int | None:
    """How often the processors were slowed because of heat since the system was started; None: not told."""
    counts = [_text(path) for path in processors.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")]
    return sum(map(int, filter(str.isdigit, counts))) if counts else None


def _threads(variant: str) -> int | None:
    """Threads that one call may use; None on a GPU. Both CPU runtimes take a thread a core unless told."""
    if variant.startswith("engine-"):
        return None
    if variant in ("keras", "savedmodel") and "tensorflow" in sys.modules:
        asked: int = sys.modules["tensorflow"].config.threading.get_intra_op_parallelism_threads()
        return asked or cores()
    return cores()


def _busy_seconds() -> float | None:
    """Processor seconds that all programs of this machine took since it was started."""
    fields = _text(Path("/proc/stat")).partition("\n")[0].split()[1:]
    if len(fields) <= max(_BUSY):
        return None
    return float(sum(int(fields[place]) for place in _BUSY)) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    taken = os.times()
    return taken.user + taken.system


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""

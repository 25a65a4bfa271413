"""How long one inference of the live release takes on this device, and in what state the device was."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fcnship.device.backends import Backend, Unrunnable
from fcnship.device.golden import read_golden
from fcnship.device.live import Live
from fcnship.device.power import locked_clocks, power_state
from fcnship.errors import DeviceError

_WARM_RUNS, _WARM_SECONDS = 10, 0.5
_FEWEST, _MOST = 20, 20_000
# A device so slow that the fewest runs take this many times what was asked for stops sooner.
_PATIENCE = 10


def bench(
    live: Live, *, seconds: float, lock_clocks: bool, say: Callable[[str], None], system: Path = Path("/")
) -> dict[str, Any]:
    """A row for each golden size: median and 95th percentile in ms, copies to and from the GPU included.

    ``seconds`` is spent on each. The state of the device is read before and after, and changed only with
    ``lock_clocks``, for as long as it takes.

    Raises:
        DeviceError, ArtifactError: it does not run, or is damaged.
        EnvironmentLacks: the clocks cannot be locked.
    """
    with locked_clocks() if lock_clocks else contextlib.nullcontext(), live.opened() as network:
        before = power_state(system)
        rows = [_row(live, network, index, seconds, say) for index in range(len(live.manifest.golden))]
        after = power_state(system)
    return {"latency": rows, "clocks_locked_for_it": lock_clocks, "power": {"before": before, "after": after}}


def _row(
    live: Live, network: Backend, index: int, seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    import numpy as np

    golden, precision = live.manifest.golden[index], live.record.precision
    live.check(golden.file)
    images, _ = read_golden(live.folder, live.manifest, golden)
    try:
        times = durations_ms(network, network.prepare(images, golden.profile), seconds)
    except Unrunnable as error:
        raise DeviceError(
            f"{live.record.backend} fails at {golden.height}x{golden.width}: {error}",
            cause="the device lacks memory, or has changed since the release proved itself",
            next="install the drop again: fcnship-device install DROP",
        ) from error
    p50, p95 = (float(value) for value in np.percentile(times, (50, 95)))
    say(f"{golden.height}x{golden.width}, batch {golden.batch}: {p50:.3f} ms, 95 %: {p95:.3f} ms")
    return {
        "variant": f"device-{precision}",
        "profile": golden.profile,
        "height": golden.height,
        "width": golden.width,
        "batch": golden.batch,
        "p50_ms": p50,
        "p95_ms": p95,
        "runs": len(times),
    }


def durations_ms(network: Backend, prepared: Any, seconds: float) -> list[float]:
    """Times of single inferences, after some that do not count."""
    begun = time.perf_counter()
    for _ in range(_WARM_RUNS):
        network.infer(prepared)
        if time.perf_counter() - begun > _WARM_SECONDS:
            break
    times: list[float] = []
    begun = time.perf_counter()
    while not _enough(len(times), time.perf_counter() - begun, seconds):
        start = time.perf_counter_ns()
        network.infer(prepared)
        times.append((time.perf_counter_ns() - start) / 1e6)
    return times


def _enough(runs: int, spent: float, seconds: float) -> bool:
    if runs == 0 or spent < seconds:
        return runs >= _MOST
    return runs >= _FEWEST or spent > _PATIENCE * seconds

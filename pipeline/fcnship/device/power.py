"""Power mode, clocks and temperatures, on which a Jetson's latencies depend: read, changed only on request.

``nvpmodel`` and ``jetson_clocks`` are NVIDIA's programs for it; other boards have neither.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fcnship.device.stopping import ignore_signals, stopped_by_signals
from fcnship.errors import DeviceError, EnvironmentLacks

_SECONDS = 20


def power_state(system: Path = Path("/")) -> dict[str, Any]:
    """The power mode, each clock in Hz with its range, and each temperature in degrees Celsius.

    ``clocks_locked``: whether every clock that has a range is held at one value; None: there is none.
    None and empty where the system does not say.
    """
    clocks = [*_devfreq(system), *_cpufreq(system)]
    ranged = [clock for clock in clocks if clock["min_hz"] and clock["max_hz"]]
    return {
        "power_mode": _power_mode(),
        "jetson_clocks": _told("jetson_clocks", "--show"),
        "clocks": clocks,
        "clocks_locked": all(c["min_hz"] == c["max_hz"] for c in ranged) if ranged else None,
        "temperatures_c": _temperatures(system),
    }


def _power_mode() -> str | None:
    """``nvpmodel -q`` says ``NV Power Mode: 15W``, and its number on the next line."""
    match = re.search(r"NV Power Mode:\s*(\S.*)", _told("nvpmodel", "-q") or "")
    return match[1].strip() if match else None


def _told(program: str, *arguments: str) -> str | None:
    """What a program says; None if it is not there, fails (some need root) or does not end."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = _ran([path, *arguments])
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )


def _devfreq(system: Path) -> Iterator[dict[str, Any]]:
    for folder in sorted((system / "sys/class/devfreq").glob("*")):
        yield _clock(folder.name, folder, ("cur_freq", "min_freq", "max_freq"), 1)


def _cpufreq(system: Path) -> Iterator[dict[str, Any]]:
    names = ("scaling_cur_freq", "scaling_min_freq", "scaling_max_freq")
    for folder in sorted((system / "sys/devices/system/cpu/cpufreq").glob("policy*")):
        yield _clock(f"cpu {folder.name}", folder, names, 1000)  # cpufreq counts in kHz


def _clock(name: str, folder: Path, files: tuple[str, str, str], unit: int) -> dict[str, Any]:
    current, low, high = (_number(folder / file) for file in files)
    values = {"current_hz": current, "min_hz": low, "max_hz": high}
    return {"name": name, **{key: value and value * unit for key, value in values.items()}}


def _temperatures(system: Path) -> dict[str, float]:
    found = {}
    for zone in sorted((system / "sys/class/thermal").glob("thermal_zone*")):
        value = _number(zone / "temp")
        if value is not None:
            found[_text(zone / "type") or zone.name] = value / 1000
    return found


def _number(path: Path) -> int | None:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # a zone that is switched off answers EAGAIN
        return None


@contextlib.contextmanager
def locked_clocks() -> Iterator[None]:
    """Hold the clocks at their maximum for the block, and give them back however it ends.

    SIGTERM and SIGHUP (a lost connection) end the block as Ctrl-C does; a second one is not listened to.

    Raises:
        EnvironmentLacks: jetson_clocks is not there, or may not be used.
        DeviceError: the clocks could not be given back; the message says how to do it by hand.
    """
    program = shutil.which("jetson_clocks")
    if program is None:
        raise EnvironmentLacks(
            "--lock-clocks needs jetson_clocks, which is not here",
            cause="only Jetsons have it, in /usr/bin",
            next="leave out --lock-clocks",
        )
    kept = Path(tempfile.mkdtemp(prefix="fcnship-clocks-")) / "clocks.txt"
    with stopped_by_signals():
        _must([program, "--store", str(kept)])
        try:
            _must([program])
            yield
        finally:
            ignore_signals()
            _give_back(program, kept)


def _must(command: list[str]) -> None:
    try:
        done = _ran(command)
        fault = "" if done.returncode == 0 else (done.stdout + done.stderr).strip() or "it said nothing"
    except (OSError, subprocess.TimeoutExpired) as error:
        fault = str(error)
    if fault:
        raise EnvironmentLacks(
            f"{' '.join(command)} failed: {fault.splitlines()[-1]}",
            cause="clocks are locked by root alone",
            next="run it with sudo, or leave out --lock-clocks",
        )


def _give_back(program: str, kept: Path) -> None:
    try:
        _must([program, "--restore", str(kept)])
    except EnvironmentLacks as error:
        raise DeviceError(
            f"the clocks are still locked: {error.what}",
            cause="jetson_clocks did not give them back",
            next=f"sudo {program} --restore {kept}, or restart the device",
        ) from error
    shutil.rmtree(kept.parent)

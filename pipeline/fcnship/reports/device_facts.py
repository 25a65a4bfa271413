"""What a report says of the devices that it was deployed to: what each is, and its state around the timing.

A device says what it likes: every value may be missing or of another kind than it should be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fcnship.reports.figures import ABSENT, bytes_text, seconds_text
from fcnship.reports.order import Report
from fcnship.reports.printable import one_line

TITLE = "Devices"
EXPLANATION = (
    "A device times its release by itself, copies to and from its GPU included. It is not timed in turns "
    "with the original: it has no ratio, and its power mode, clocks and temperature belong to its times."
)
HEADS = ("device", "release", "runs with", "board", "power mode", "hottest, before and after")
STATE_HEADS = ("state of the device", "before the bench", "after")
_SHORT_SHA, _LONGEST = 12, 200
_RUNTIMES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX", "onnxruntime": "ONNX Runtime"}

Pairs = Sequence[tuple[str, str]]
Change = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class DeviceFacts:
    """A device: its host, a line of the overview (HEADS after the host), all facts, and its state.

    A ``Change`` is what it is about, then how it was before the bench and after it. Without a bench there is
    none.
    """

    host: str
    variant: str
    overview: Sequence[str]
    facts: Pairs
    power: Sequence[Change]
    clocks: Sequence[Change]
    temperatures: Sequence[Change]

    @property
    def state(self) -> list[Change]:
        """All changes, as rows of STATE_HEADS."""
        named = (("Clock", self.clocks), ("Temperature", self.temperatures))
        more = [(f"{kind} {name}", before, after) for kind, rows in named for name, before, after in rows]
        return [*self.power, *more]


def device_facts(report: Report) -> list[DeviceFacts]:
    """Every device of a report, by its host; none where nothing was deployed."""
    return [_facts(device) for device in report.get("devices", ())]


def _facts(device: Mapping[str, Any]) -> DeviceFacts:
    probe, power = _object(device["probe"]), _object(device["power"])
    before, after = _object(power.get("before")), _object(power.get("after"))
    board = _text(probe.get("board"), _text(probe.get("gpu"), _text(probe.get("machine"))))
    heats = [_hottest(before), _hottest(after)]
    hottest = ", ".join(heats) if set(heats) != {ABSENT} else ABSENT if power else "not timed"
    return DeviceFacts(
        host=_text(device["host"]),
        variant=f"device-{device['precision']}@{device['host']}",
        overview=(
            _release(device),
            _runs_with(device, probe),
            board,
            _text(before.get("power_mode")),
            hottest,
        ),
        facts=[
            ("Release", _release(device)),
            ("Runs with", _runs_with(device, probe)),
            *_engine(_object(device["engine"])),
            *_machine(probe),
        ],
        power=_power(before, after) if power else (),
        clocks=_changes(_clocks(before), _clocks(after)),
        temperatures=_changes(_temperatures(before), _temperatures(after)),
    )


def _release(device: Mapping[str, Any]) -> str:
    failed = "" if device["installed"] else ", its install failed"
    return f"{_text(device['version'])} ({_text(device['release'])[:_SHORT_SHA]}){failed}"


def _runs_with(device: Mapping[str, Any], probe: Mapping[str, Any]) -> str:
    """``fp16, TensorRT 10.3.0``: what was asked for, and the library that runs it."""
    backend = device["backend"]
    if not backend:
        return _text(device["precision"])
    library = probe.get("tensorrt_flavour") or "tensorrt" if backend == "tensorrt" else backend
    version = probe.get("onnxruntime" if backend == "onnxruntime" else "tensorrt")
    told = _RUNTIMES.get(str(library), _text(library))
    return f"{_text(device['precision'])}, {told} {_text(version, '')}".rstrip()


def _engine(engine: Mapping[str, Any]) -> Pairs:
    if not engine:
        return []
    built = engine.get("built")
    seconds = _finite(engine.get("seconds"))
    took = f"built there in {seconds_text(seconds)}" if seconds else "built there"
    return [
        ("Engine key", _text(engine.get("key"))),
        ("Engine", took if built else "one with this key was there"),
    ]


def _machine(probe: Mapping[str, Any]) -> Pairs:
    """What it is made of and what is installed; what does not answer is said, with the device's reason."""
    if not probe:
        return []
    gpu = _listed(
        probe.get("gpu"),
        ("compute capability ", probe.get("compute_capability")),
        ("", probe.get("sm_count"), " SMs"),
    )
    l4t = _listed(probe.get("l4t"), ("JetPack ", probe.get("jetpack")))
    driver = _listed(probe.get("driver"), ("CUDA ", probe.get("cuda")))
    return [
        ("Board", _text(probe.get("board"))),
        ("L4T", l4t),
        ("GPU", gpu if probe.get("gpu") else _none(probe.get("gpu_fault"))),
        ("GPU driver", driver),
        ("TensorRT", _tensorrt(probe)),
        ("ONNX Runtime", _onnxruntime(probe)),
        ("System", _listed(probe.get("machine"), ("Python ", probe.get("python")))),
        ("Free memory", _bytes(probe.get("memory_bytes"))),
        ("Free disk", _bytes(probe.get("disk_bytes"))),
    ]


def _tensorrt(probe: Mapping[str, Any]) -> str:
    if not probe.get("tensorrt"):
        return _none(probe.get("tensorrt_fault"))
    flavour = " (TensorRT-RTX)" if probe.get("tensorrt_flavour") == "tensorrt_rtx" else ""
    return _text(probe["tensorrt"]) + flavour


def _onnxruntime(probe: Mapping[str, Any]) -> str:
    version, providers = probe.get("onnxruntime"), probe.get("onnxruntime_providers")
    if not version:
        return "none"
    names = [_text(name) for name in providers] if isinstance(providers, list) else []
    return f"{_text(version)} ({', '.join(names)})" if names else _text(version)


def _power(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    named = {"Power mode": "power_mode", "Clocks held at one value": "clocks_locked"}
    return [(name, _text(before.get(key)), _text(after.get(key))) for name, key in named.items()]


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    names = dict.fromkeys([*before, *after])
    return [(name, before.get(name, ABSENT), after.get(name, ABSENT)) for name in names]


def _clocks(state: Mapping[str, Any]) -> dict[str, str]:
    """Each clock that tells what it runs at, by its name: ``918 MHz (306 to 918)``."""
    listed = state.get("clocks")
    found = {}
    for clock in map(_object, listed if isinstance(listed, list) else ()):
        now, low, high = (_finite(clock.get(key)) for key in ("current_hz", "min_hz", "max_hz"))
        span = f" ({_mhz(low)} to {_mhz(high)})" if low is not None and high is not None else ""
        if now is not None:
            found[_text(clock.get("name"))] = f"{_mhz(now)} MHz{span}"
    return found


def _temperatures(state: Mapping[str, Any]) -> dict[str, str]:
    return {_text(name): _celsius(heat) for name, heat in _object(state.get("temperatures_c")).items()}


def _hottest(state: Mapping[str, Any]) -> str:
    known = [heat for heat in map(_finite, _object(state.get("temperatures_c")).values()) if heat is not None]
    return _celsius(max(known, default=None))


def _celsius(value: Any) -> str:
    heat = _finite(value)
    return ABSENT if heat is None else f"{heat:.1f} \u00b0C"


def _mhz(hertz: float) -> str:
    return f"{hertz / 1e6:,.0f}"


def _bytes(value: Any) -> str:
    count = _finite(value)
    return bytes_text(int(count)) if count and count > 0 else ABSENT


def _none(fault: Any) -> str:
    return f"none: {_text(fault)}" if fault else "none"


def _listed(first: Any, *more: tuple[Any, ...]) -> str:
    """``Orin, compute capability 8.7, 8 SMs``: what is not known is left out."""
    known = [_text(first)] if first is not None else []
    for before, value, *after in more:
        if value is not None:
            known.append(f"{before}{_text(value)}{''.join(after)}")
    return ", ".join(known) or ABSENT


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _finite(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and abs(value) < 1e18 and math.isfinite(value) else None


def _text(value: Any, absent: str = ABSENT) -> str:
    """A value on one line, cut where it is absurdly long."""
    if value is None or value == "":
        return absent
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = one_line(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

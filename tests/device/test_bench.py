"""Latency of the live release, and the state of the device around it.

``nvpmodel`` and ``jetson_clocks`` exist on Jetsons alone: here doubles of them, shell scripts that write down
how they were called, stand in PATH.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drops import DEVICE, Made

import fcnship.device
from fcnship.device.backends.onnxruntime import OnnxBackend
from fcnship.device.bench import _enough, bench, durations_ms
from fcnship.device.golden import read_golden
from fcnship.device.install import InstallRequest, install
from fcnship.device.live import Live, live_release
from fcnship.device.power import locked_clocks, power_state
from fcnship.errors import ArtifactError, DeviceError, EnvironmentLacks, UsageError

PACKAGE = Path(fcnship.device.__file__).parents[2]
DOUBLE_OF_JETSON_CLOCKS = """#!/bin/sh
echo "jetson_clocks $*" >>"$CALLS"
case "$1" in
--store) [ -e "$2" ] && exit 9; echo kept >"$2" ;;
--restore) [ -e "$2" ] || exit 9; [ -z "$GATE" ] || { cat "$GATE"; echo "- given-back" >>"$CALLS"; } ;;
--show) echo "GPU MinFreq=306000000 MaxFreq=1020000000 CurrentFreq=306000000" ;;
"") exit ${LOCKING_FAILS:-0} ;;
esac
"""
DOUBLE_OF_NVPMODEL = """#!/bin/sh
echo "nvpmodel $*" >>"$CALLS"
printf 'NV Power Mode: 15W\\n2\\n'
"""


@pytest.fixture
def jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Doubles in PATH; the file in which they write down their calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("jetson_clocks", DOUBLE_OF_JETSON_CLOCKS), ("nvpmodel", DOUBLE_OF_NVPMODEL)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path / "calls"


@pytest.fixture(scope="module")
def root(drops: tuple[Made, Made], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in which the first drop is live."""
    path = tmp_path_factory.mktemp("bench") / "root"
    install(InstallRequest(drop=drops[0].folder, root=path), DEVICE, lambda line: None)
    return path


@pytest.fixture
def live(root: Path) -> Live:
    return live_release(root, DEVICE)


def calls(file: Path) -> list[str]:
    return [line.split(" ")[1] for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_row_for_each_golden_size(live: Live, tmp_path: Path) -> None:
    told: list[str] = []
    facts = bench(live, seconds=0.05, lock_clocks=False, say=told.append, system=tmp_path)
    rows = facts["latency"]
    assert [(row["height"], row["width"], row["batch"]) for row in rows] == [(8, 8, 2), (16, 12, 2)]
    for row in rows:
        assert row["variant"] == "device-fp32"
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["runs"] >= 20
    assert told[0].startswith("8x8, batch 2: ")
    assert facts["clocks_locked_for_it"] is False


class Counting(OnnxBackend):
    """ONNX Runtime, its runs counted."""

    runs = 0

    def infer(self, prepared: Any) -> Any:
        self.runs += 1
        return super().infer(prepared)


def test_runs_to_warm_up_do_not_count(live: Live) -> None:
    network = Counting(live.folder / "onnx/fp32.onnx", live.manifest.profiles, "nchw")
    images, _ = read_golden(live.folder, live.manifest, live.manifest.golden[0])
    times = durations_ms(network, network.prepare(images), 0.01)
    assert len(times) == network.runs - 10
    assert min(times) > 0


@pytest.mark.parametrize(
    ("runs", "spent", "enough"),
    [
        (0, 99.0, False),  # one run at least
        (19, 1.0, False),
        (20, 1.0, True),
        (20, 0.99, False),
        (3, 10.1, True),  # so slow that it is given up on
        (20_000, 0.5, True),
    ],
)
def test_when_it_has_run_often_enough(runs: int, spent: float, enough: bool) -> None:
    assert _enough(runs, spent, 1.0) is enough


def test_the_state_before_and_after(live: Live, jetson: Path, tmp_path: Path) -> None:
    for name, text in {
        "sys/class/devfreq/17000000.gpu/cur_freq": "306000000",
        "sys/class/devfreq/17000000.gpu/min_freq": "306000000",
        "sys/class/devfreq/17000000.gpu/max_freq": "1020000000",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "729600",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "729600",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "729600",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "48125",
        "sys/class/thermal/thermal_zone1/type": "cv0-thermal",  # switched off: no temperature
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")
    power = bench(live, seconds=0.01, lock_clocks=False, say=print, system=tmp_path)["power"]
    assert power["before"] == power["after"]
    assert power["before"] == {
        "power_mode": "15W",
        "jetson_clocks": "GPU MinFreq=306000000 MaxFreq=1020000000 CurrentFreq=306000000",
        "clocks": [
            {
                "name": "17000000.gpu",
                "current_hz": 306000000,
                "min_hz": 306000000,
                "max_hz": 1020000000,
            },
            {"name": "cpu policy0", "current_hz": 729600000, "min_hz": 729600000, "max_hz": 729600000},
        ],
        "clocks_locked": False,
        "temperatures_c": {"cpu-thermal": 48.125},
    }
    assert set(calls(jetson)) == {"-q", "--show"}  # looked at, and never changed


def test_no_such_programs_and_files_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert power_state(tmp_path) == {
        "power_mode": None,
        "jetson_clocks": None,
        "clocks": [],
        "clocks_locked": None,
        "temperatures_c": {},
    }
    with (
        pytest.raises(EnvironmentLacks, match=r"^--lock-clocks needs jetson_clocks, which is not here"),
        locked_clocks(),
    ):
        pytest.fail("it went on")


def test_clocks_are_locked_when_asked_for_and_given_back(live: Live, jetson: Path, tmp_path: Path) -> None:
    facts = bench(live, seconds=0.01, lock_clocks=True, say=print, system=tmp_path)
    assert facts["clocks_locked_for_it"] is True
    assert calls(jetson) == ["--store", "", "-q", "--show", "-q", "--show", "--restore"]
    assert not list(tmp_path.glob("fcnship-clocks-*"))


def test_clocks_are_given_back_when_it_fails(jetson: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked_clocks():
        raise ZeroDivisionError
    assert calls(jetson) == ["--store", "", "--restore"]


def test_clocks_that_cannot_be_locked_are_given_back_and_told(
    jetson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKING_FAILS", "1")
    with pytest.raises(EnvironmentLacks) as refused, locked_clocks():
        pytest.fail("it went on")
    assert refused.value.what.endswith("bin/jetson_clocks failed: it said nothing")
    assert calls(jetson) == ["--store", "", "--restore"]


def test_clocks_that_cannot_be_given_back_are_told(jetson: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as refused, locked_clocks():
        next(tmp_path.glob("fcnship-clocks-*/clocks.txt")).unlink()
    assert refused.value.what.startswith("the clocks are still locked: ")
    assert "jetson_clocks --restore " in refused.value.next


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_clocks_are_given_back_when_it_is_ended(
    number: signal.Signals, status: int, root: Path, jetson: Path, tmp_path: Path
) -> None:
    """The real command, ended in the middle, as by a lost connection, Ctrl-C or a service manager; and once
    more while it gives them back, which waits at a pipe until that is done.
    """
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = [sys.executable, "-m", "fcnship.device", "bench", "--lock-clocks", "--seconds", "600"]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "GATE": str(gate)}
    with subprocess.Popen(
        [*command, "--root", str(root)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as running:
        while not (jetson.exists() and "--show" in calls(jetson)):  # until the clocks are locked
            assert running.poll() is None, running.communicate()
        running.send_signal(number)
        with gate.open("wb"):  # goes on when jetson_clocks --restore reads it
            running.send_signal(number)
        running.communicate(timeout=60)
        assert running.returncode == status
    assert calls(jetson) == ["--store", "", "-q", "--show", "--restore", "given-back"]


def test_what_was_damaged_is_not_timed(drop: Made, tmp_path: Path) -> None:
    path = tmp_path / "root"
    install(InstallRequest(drop=drop.folder, root=path), DEVICE, lambda line: None)
    live = live_release(path, DEVICE)
    (live.folder / "golden/p0-8x8-b2.npz").write_bytes(b"changed")
    with pytest.raises(ArtifactError, match=r"p0-8x8-b2\.npz is not what was installed"):
        bench(live, seconds=0.01, lock_clocks=False, say=print, system=tmp_path)
    (live.folder / "onnx/fp32.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"fp32\.onnx is not what was installed\n  cause: No such file"):
        bench(live, seconds=0.01, lock_clocks=False, say=print, system=tmp_path)
    (live.folder / "install.json").unlink()
    with pytest.raises(ArtifactError, match=r"its install\.json is missing"):
        live_release(path, DEVICE)


def test_nothing_is_live(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^nothing is installed in "):
        live_release(tmp_path / "root", DEVICE)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "x", "1e9"])
def test_a_time_that_makes_no_sense(seconds: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fcnship.device.cli import main

    assert main(["bench", "--root", str(root), "--seconds", seconds]) == 2
    facts = json.loads(capsys.readouterr().out)
    assert f"{seconds!r} is not between 0 and 3600 seconds" in facts["error"]["what"]

"""What a device is, read from files laid out as they lie on real boards."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fcnship.device import probe as probes
from fcnship.device.cuda import Gpu, first_gpu
from fcnship.device.probe import free_disk_bytes, gpu_hardware, jetpack_of, probe

ORIN = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
    "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  "
    "Release Build  (buildbrain@mobile-u64-6519-d7000)  Tue Jan  7 17:33:11 PST 2025\nGCC version: x\n",
    "proc/meminfo": "MemTotal:        7802400 kB\nMemFree:          302400 kB\nMemAvailable:    5120000 kB\n",
}


def laid_out(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_jetson(tmp_path: Path) -> None:
    found = probe(tmp_path, system=laid_out(tmp_path, ORIN))
    assert found.board == "NVIDIA Jetson Orin Nano Developer Kit"
    assert (found.l4t, found.jetpack, found.driver) == ("36.4.3", "6.2", "540.4.0")
    assert found.memory_bytes == 5120000 * 1024
    assert found.gpu_hardware == found.board
    assert found.disk_bytes > 0
    assert json.loads(json.dumps(found.as_json())) == found.as_json()


def test_an_empty_system_is_none_everywhere(tmp_path: Path) -> None:
    found = probe(tmp_path / "not/there/yet", system=tmp_path)
    empty = (found.board, found.l4t, found.jetpack, found.driver, found.gpu_hardware)
    assert empty == (None,) * 5
    assert found.memory_bytes == 0
    assert found.disk_bytes == free_disk_bytes(tmp_path) or found.disk_bytes > 0


def test_files_that_make_no_sense_are_none(tmp_path: Path) -> None:
    garbage = dict.fromkeys(ORIN, "\0\0 \xff R (release), REVISION: x MemAvailable: many")
    found = probe(tmp_path, system=laid_out(tmp_path, garbage))
    assert (found.l4t, found.jetpack, found.driver, found.memory_bytes) == (None, None, None, 0)
    (tmp_path / "empty/proc").mkdir(parents=True)
    (tmp_path / "empty/proc/meminfo").mkdir()  # a folder where a file should be
    assert probe(tmp_path, system=tmp_path / "empty").memory_bytes == 0


@pytest.mark.parametrize(
    ("line", "l4t", "jetpack"),
    [
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64", "35.4.1", "5"),
        ("# R36 (release), REVISION: 3.0, GCID: 36106755, BOARD: generic", "36.3.0", "6.0"),
        ("# R36 (release), REVISION: 4.0, GCID: 37537400, BOARD: generic", "36.4.0", "6.1"),
        ("# R36 (release), REVISION: 4.4, GCID: 41062509, BOARD: generic", "36.4.4", "6.2.1"),
        ("# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic", "38.2.0", "7.0"),
        ("# R99 (release), REVISION: 1.2, GCID: 1, BOARD: generic", "99.1.2", None),
        ("# R36 (release), REVISION: 40.1", "36.40.1", None),
    ],
)
def test_the_l4t_and_its_jetpack(line: str, l4t: str, jetpack: str | None, tmp_path: Path) -> None:
    system = laid_out(tmp_path, {"etc/nv_tegra_release": line})
    assert probes.l4t_of(system) == l4t
    assert jetpack_of(l4t) == jetpack


def test_a_desktop_driver(tmp_path: Path) -> None:
    line = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"
    assert probes.driver_of(laid_out(tmp_path / "a", {"proc/driver/nvidia/version": line})) == "535.183.01"
    assert probes.driver_of(laid_out(tmp_path / "b", {"sys/module/nvidia/version": "550.54\n"})) == "550.54"


@pytest.mark.parametrize(
    ("vendor", "kind", "found"),
    [
        ("0x10de", "0x030000", "PCI device 0000:01:00.0"),
        ("0x10de", "0x030200", "PCI device 0000:01:00.0"),
        ("0x10de", "0x040300", None),  # its sound
        ("0x8086", "0x030000", None),  # another maker's
    ],
)
def test_a_gpu_on_the_bus(vendor: str, kind: str, found: str | None, tmp_path: Path) -> None:
    folder = "sys/bus/pci/devices/0000:01:00.0"
    laid_out(tmp_path, {f"{folder}/vendor": f"{vendor}\n", f"{folder}/class": f"{kind}\n"})
    assert gpu_hardware(tmp_path, None, None) == found


class DoubleOfTheDriver:
    """A double of libcuda, which no machine without a GPU has: statuses by function, attributes by number."""

    def __init__(self, **statuses: int) -> None:
        self._statuses = statuses

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            if name == "cuDeviceGetCount":
                arguments[0]._obj.value = self._statuses.get("count", 1)
            elif name == "cuDeviceGetName":
                arguments[0].value = b"Orin"
            elif name == "cuDeviceGetAttribute":
                arguments[0]._obj.value = {16: 8, 75: 8, 76: 7}[arguments[1]]
            elif name == "cuDriverGetVersion":
                arguments[0]._obj.value = 12060
            return self._statuses.get(name, 0)

        return call


@pytest.mark.parametrize(
    ("driver", "found"),
    [
        (DoubleOfTheDriver(), Gpu(name="Orin", compute_capability="8.7", sm_count=8, cuda="12.6")),
        (
            DoubleOfTheDriver(cuDeviceGetAttribute=1, cuDriverGetVersion=1),
            Gpu(name="Orin", compute_capability=None, sm_count=None, cuda=None),
        ),
        (DoubleOfTheDriver(cuInit=100), "the driver finds no GPU"),
        (DoubleOfTheDriver(cuInit=999), "cuInit answered 999"),
        (DoubleOfTheDriver(count=0), "the driver finds no GPU"),
        (DoubleOfTheDriver(cuDeviceGetName=1), "the driver does not name its GPU"),
    ],
)
def test_what_the_driver_says(driver: Any, found: Gpu | str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda path: driver)
    assert first_gpu() == found


def test_a_gpu_in_the_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda path: DoubleOfTheDriver())
    found = probe(tmp_path, system=tmp_path)
    assert (found.gpu, found.compute_capability, found.sm_count, found.cuda) == ("Orin", "8.7", 8, "12.6")
    assert found.gpu_fault is None


def fake_package(folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(source, encoding="utf-8")


@pytest.mark.parametrize(
    ("sources", "has_gpu", "found"),
    [
        ({"tensorrt": "__version__ = '10.3.0'"}, True, ("tensorrt", "10.3.0", None)),
        (
            {"tensorrt": "__version__ = '10.3.0'", "tensorrt_rtx": "__version__ = '1.7'"},
            False,
            ("tensorrt_rtx", "1.7", None),
        ),
        (
            {
                "tensorrt": "import no_such_library",
                "tensorrt_rtx": "raise OSError('libnvinfer.so.10: not found')",
            },
            True,
            (
                None,
                None,
                "no_such_library is not installed; tensorrt_rtx does not load: libnvinfer.so.10: not found",
            ),
        ),
        (
            {"tensorrt": "raise ValueError('numpy.dtype size changed')", "tensorrt_rtx": "raise SystemError"},
            True,
            (
                None,
                None,
                "tensorrt does not load: numpy.dtype size changed; tensorrt_rtx does not load: SystemError",
            ),
        ),
        ({"tensorrt": "", "tensorrt_rtx": ""}, True, (None, None, None)),
    ],
)
def test_which_tensorrt_is_here(
    sources: dict[str, str], has_gpu: bool, found: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages as Python finds them. A package without its libraries, or without a version, is not there."""
    for name, source in sources.items():
        fake_package(tmp_path, name, source)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = {name: sys.modules.pop(name) for name in ("tensorrt", "tensorrt_rtx") if name in sys.modules}
    importlib.invalidate_caches()
    try:
        flavour, version, fault = probes._tensorrt(has_gpu)
    finally:
        for name in sources:
            sys.modules.pop(name, None)
        sys.modules.update(before)
    assert (flavour, version) == found[:2]
    if found[2]:
        assert fault == found[2]
    assert (fault is None) == (version is not None)


def test_an_onnx_runtime_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built for another NumPy: `pip install` would change nothing that the message names as missing."""
    fake_package(tmp_path, "onnxruntime", "raise ValueError('numpy.dtype size changed, may\\nindicate')")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = sys.modules.pop("onnxruntime", None)
    importlib.invalidate_caches()
    try:
        found = probes._onnxruntime()
    finally:
        sys.modules.pop("onnxruntime", None)
        if before:
            sys.modules["onnxruntime"] = before
    assert found == (None, (), "onnxruntime does not load: numpy.dtype size changed, may")


def test_the_command(tmp_path: Path) -> None:
    """On the real machine: JSON alone on standard output, one line for a person on standard error."""
    command = [sys.executable, "-m", "fcnship.device", "probe", "--root", str(tmp_path / "none")]
    environment = {**os.environ, "PYTHONPATH": str(Path(probes.__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    facts = json.loads(done.stdout)
    assert (facts["schema"], facts["command"], facts["ok"]) == ("fcnship.device/1", "probe", True)
    assert facts["probe"]["machine"] == os.uname().machine
    assert done.stderr.startswith("fcnship-device: ")
    assert not (tmp_path / "none").exists()

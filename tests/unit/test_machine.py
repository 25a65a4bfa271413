"""What this machine is."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest

from fcnship import machine


class Driver:
    """A CUDA driver that answers as it is told: statuses by function, and a number of devices."""

    def __init__(self, devices: int = 1, **statuses: int) -> None:
        self._devices, self._statuses = devices, statuses

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            if name == "cuDeviceGetCount":
                arguments[0]._obj.value = self._devices
            if name == "cuDeviceGetName":
                arguments[0].value = b"Test GPU"
            return self._statuses.get(name, 0)

        return call


@pytest.mark.parametrize(
    ("driver", "name"),
    [
        (Driver(), "Test GPU"),
        (Driver(cuInit=100), None),
        (Driver(devices=0), None),
        (Driver(cuDeviceGetCount=3), None),
        (Driver(cuDeviceGet=101), None),
        (Driver(cuDeviceGetName=1), None),
    ],
)
def test_the_driver_itself_says_whether_there_is_a_gpu(
    driver: Driver, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda path: driver)
    assert machine.gpu_name() == name


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> Any:
        raise OSError(f"{path}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert machine.gpu_name() is None


def test_the_memory_that_is_left_is_the_smallest_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2**20 < machine.available_bytes() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for free, cgroup, left in ((100, 40, 40), (100, 0, 100), (30, 40, 30)):
        monkeypatch.setattr(machine, "_meminfo", lambda free=free: free)
        monkeypatch.setattr(machine, "_cgroup_left", lambda cgroup=cgroup: cgroup)
        assert machine.available_bytes() == left


@pytest.mark.parametrize(("limit", "left"), [("1000", 500), ("600", 100), ("400", 1), ("max", 0)])
def test_a_container_s_cached_files_count_as_free(limit: str, left: int, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\nfile 400\ninactive_file 400\nactive_file 0\n")
    assert machine._cgroup_left(tmp_path) == left


def test_no_container_has_no_limit(tmp_path: Path) -> None:
    assert machine._cgroup_left(tmp_path) == 0


def test_versions_of_what_is_here_and_none_of_what_is_not() -> None:
    versions = machine.library_versions()
    assert list(versions) == list(machine.LIBRARIES)
    assert versions["numpy"]
    assert machine.version_of("no-such-distribution") is None


def test_the_environment_of_a_report() -> None:
    found = machine.environment()
    assert set(found) >= {"python", "platform", "cpu", "cores", "gpu", "libraries"}
    assert found["cores"] >= 1
    assert found["cpu"]
    assert str(Path.home()) not in str(found)  # a report is shown to others
    assert None not in found["libraries"].values()

"""What the CUDA driver says of the first GPU. Asked through ctypes, because without a GPU TensorRT's own
runtimes return None or end the process.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

# CUdevice_attribute, cuda.h
_SM_COUNT, _MAJOR, _MINOR = 16, 75, 76
_NO_DEVICE = 100


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """The first GPU; None where the driver does not say. ``cuda`` is the newest CUDA that it serves."""

    name: str
    compute_capability: str | None
    sm_count: int | None
    cuda: str | None


def first_gpu() -> Gpu | str:
    """The first CUDA GPU, or why none answers."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "libcuda.so.1 is not installed"
    status = driver.cuInit(0)
    if status:
        return "the driver finds no GPU" if status == _NO_DEVICE else f"cuInit answered {status}"
    count, device, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the driver finds no GPU"
    if driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, 256, device):
        return "the driver does not name its GPU"
    major, minor = _attribute(driver, device, _MAJOR), _attribute(driver, device, _MINOR)
    return Gpu(
        name=name.value.decode(errors="replace"),
        compute_capability=None if major is None or minor is None else f"{major}.{minor}",
        sm_count=_attribute(driver, device, _SM_COUNT),
        cuda=_cuda_version(driver),
    )


def _attribute(driver: Any, device: ctypes.c_int, attribute: int) -> int | None:
    value = ctypes.c_int()
    return None if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device) else value.value


def _cuda_version(driver: Any) -> str | None:
    version = ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(version)) or not version.value:
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"

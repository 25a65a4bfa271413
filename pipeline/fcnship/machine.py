"""What this machine is: memory, processors, GPU, installed libraries."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from fcnship.device.cuda import Gpu, first_gpu

LIBRARIES = (
    "fcnship",
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "numpy",
    "scikit-learn",
    "pillow",
    "polygraphy",
    "tensorrt",
    "tensorrt-rtx",
)


def available_bytes() -> int:
    """Memory that a program may still take: the system's free memory, or less where a cgroup limits it."""
    free = [_meminfo(), _cgroup_left()]
    return min(number for number in free if number)


def _meminfo() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def _cgroup_left(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """What is left of a cgroup v2 limit; 0 where there is none. Cached files give way: they count as free."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
        return 0 if limit == "max" else max(int(limit) - used + cached, 1)
    except (OSError, ValueError):
        return 0


def cpu_name() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def gpu_name() -> str | None:
    """The first CUDA GPU's name, or None."""
    gpu = first_gpu()
    return gpu.name if isinstance(gpu, Gpu) else None


def library_versions() -> dict[str, str | None]:
    """The installed versions of what fcnship drives, None for what is missing."""
    return {library: version_of(library) for library in LIBRARIES}


def version_of(library: str) -> str | None:
    """A distribution's installed version, or None."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """What the report says of the machine."""
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": cores(),
        "gpu": gpu_name(),
        "libraries": {name: version for name, version in library_versions().items() if version},
    }

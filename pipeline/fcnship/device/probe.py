"""What this device is: board, JetPack, GPU, TensorRT, ONNX Runtime, memory. What cannot be read is None."""

from __future__ import annotations

import contextlib
import importlib
import platform
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fcnship.device.cuda import Gpu, first_gpu

Flavour = Literal["tensorrt", "tensorrt_rtx"]
_NVIDIA, _DISPLAY = "0x10de", "0x03"
# L4T and its JetPack, NVIDIA's release notes. The longest beginning that fits counts.
_JETPACKS = {
    "34": "5.0",
    "35": "5",
    "36.2": "6.0",
    "36.3": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "38.2": "7.0",
    "38.4": "7.1",
}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A device. None: not there, or not to be read.

    ``gpu_fault``: why no GPU answers. ``gpu_hardware``: what shows that there is one all the same.
    ``memory_bytes`` are available, ``disk_bytes`` free where releases are kept.
    """

    machine: str
    python: str
    gpu: str | None
    compute_capability: str | None
    sm_count: int | None
    cuda: str | None
    driver: str | None
    gpu_fault: str | None
    gpu_hardware: str | None
    tensorrt: str | None
    tensorrt_flavour: Flavour | None
    tensorrt_fault: str | None
    onnxruntime: str | None
    onnxruntime_providers: tuple[str, ...]
    board: str | None
    l4t: str | None
    jetpack: str | None
    memory_bytes: int
    disk_bytes: int
    has_ssh_keygen: bool
    onnxruntime_fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The same, as JSON writes it."""
        return {**asdict(self), "onnxruntime_providers": list(self.onnxruntime_providers)}


def probe(root: Path | None = None, *, system: Path = Path("/")) -> Probe:
    """Look at this device; raises nothing.

    ``root`` is where releases are kept, ``system`` the folder under which /proc, /sys and /etc lie.
    """
    gpu = first_gpu()
    board, l4t = board_of(system), l4t_of(system)
    flavour, tensorrt, fault = _tensorrt(isinstance(gpu, Gpu))
    onnxruntime, providers, onnxruntime_fault = _onnxruntime()
    found = gpu if isinstance(gpu, Gpu) else None
    return Probe(
        machine=platform.machine(),
        python=platform.python_version(),
        gpu=found.name if found else None,
        compute_capability=found.compute_capability if found else None,
        sm_count=found.sm_count if found else None,
        cuda=found.cuda if found else None,
        driver=driver_of(system),
        gpu_fault=None if found else str(gpu),
        gpu_hardware=gpu_hardware(system, board, l4t),
        tensorrt=tensorrt,
        tensorrt_flavour=flavour,
        tensorrt_fault=fault,
        onnxruntime=onnxruntime,
        onnxruntime_providers=providers,
        onnxruntime_fault=onnxruntime_fault,
        board=board,
        l4t=l4t,
        jetpack=jetpack_of(l4t) if l4t else None,
        memory_bytes=memory_bytes(system),
        disk_bytes=free_disk_bytes(root or Path.cwd()),
        has_ssh_keygen=shutil.which("ssh-keygen") is not None,
    )


def board_of(system: Path) -> str | None:
    """The board's name in the device tree, which ends with a NUL."""
    return _text(system / "proc/device-tree/model")


def l4t_of(system: Path) -> str | None:
    """The release of Linux for Tegra, like 36.4.3; its file says ``# R36 (release), REVISION: 4.3, ...``."""
    text = _text(system / "etc/nv_tegra_release") or ""
    match = re.search(r"R(\d{1,4}) \(release\), REVISION: (\d{1,4}(?:\.\d{1,4}){0,2})", text, re.ASCII)
    return f"{match[1]}.{match[2]}" if match else None


def jetpack_of(l4t: str) -> str | None:
    """The JetPack that an L4T belongs to, as far as it is known."""
    fitting = [known for known in _JETPACKS if f"{l4t}.".startswith(f"{known}.")]
    return _JETPACKS[max(fitting, key=len)] if fitting else None


def driver_of(system: Path) -> str | None:
    """The version of NVIDIA's kernel driver."""
    text = _text(system / "proc/driver/nvidia/version") or ""
    match = re.search(r"NVRM version:.*?\s(\d{3,4}(?:\.\d+)+)", text, re.ASCII)
    return match[1] if match else _text(system / "sys/module/nvidia/version")


def gpu_hardware(system: Path, board: str | None, l4t: str | None) -> str | None:
    """What shows that an NVIDIA GPU is built in, whether or not a driver answers."""
    if l4t or (board and "nvidia" in board.lower()):
        return board or f"L4T {l4t}"
    with contextlib.suppress(OSError):
        for device in sorted((system / "sys/bus/pci/devices").iterdir()):
            kind = _text(device / "class") or ""
            if _text(device / "vendor") == _NVIDIA and kind.startswith(_DISPLAY):
                return f"PCI device {device.name}"
    return None


def memory_bytes(system: Path) -> int:
    """Memory that a program may still take; 0 where the system does not say."""
    match = re.search(r"^MemAvailable:\s*(\d{1,15}) kB", _text(system / "proc/meminfo") or "", re.M | re.A)
    return int(match[1]) * 1024 if match else 0


def free_disk_bytes(folder: Path) -> int:
    """Free bytes for this user on the disk of a folder that may not be there yet; 0 if it cannot be told."""
    for place in (folder.absolute(), *folder.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return 0


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(65536).decode("utf-8", "replace").strip("\0 \n\t") or None
    except OSError:
        return None


def _tensorrt(has_gpu: bool) -> tuple[Flavour | None, str | None, str | None]:
    """Flavour, version and, if there is none, the fault.

    The full one goes before TensorRT-RTX where there is a GPU: without one it can build nothing. It is
    imported, and no Runtime constructed: a package without its libraries is not there.
    """
    order: tuple[Flavour, ...] = ("tensorrt", "tensorrt_rtx") if has_gpu else ("tensorrt_rtx", "tensorrt")
    faults = []
    for flavour in order:
        try:
            return flavour, str(importlib.import_module(flavour).__version__), None
        except ModuleNotFoundError as error:
            faults.append(f"{error.name} is not installed")
        except Exception as error:  # noqa: BLE001 (built for another NumPy or Python, a package raises anything)
            faults.append(f"{flavour} does not load: {_first_line(error)}")
    return None, None, "; ".join(faults)


def _onnxruntime() -> tuple[str | None, tuple[str, ...], str | None]:
    """Version, providers and, if there is none, the fault."""
    try:
        module = importlib.import_module("onnxruntime")
        return str(module.__version__), tuple(module.get_available_providers()), None
    except ModuleNotFoundError as error:
        return None, (), f"{error.name} is not installed"
    except Exception as error:  # noqa: BLE001 (as above)
        return None, (), f"onnxruntime does not load: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

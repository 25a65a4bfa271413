"""Whether a device can run a drop with TensorRT or ONNX Runtime, and, if not, what it lacks."""

from __future__ import annotations

import importlib.util
import re
import sys

from fcnship.device.manifest import Manifest
from fcnship.device.probe import Probe
from fcnship.errors import DeviceError, EnvironmentLacks

# TensorRT-RTX counts its versions apart from TensorRT; these are the ones that fcnship was tried with.
RTX_LEAST, RTX_BELOW = "1.7", "1.8"
_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_ON_THE_CPU = "or run it on the CPU with --backend onnxruntime"
_OLD_L4T = (36, 4)


def check_architecture(probe: Probe, manifest: Manifest) -> None:
    """The drop is for this processor.

    Raises:
        DeviceError: it is not.
    """
    wanted = manifest.requires.architectures
    if probe.machine not in wanted:
        raise DeviceError(
            f"this device is {probe.machine}, the drop is for {' and '.join(wanted)}",
            cause="the manifest's requires.architectures does not name this processor",
            next="deploy to another device, or make a drop for this one",
        )


def check_onnxruntime(probe: Probe) -> None:
    """ONNX Runtime is there.

    Raises:
        EnvironmentLacks: it is not.
    """
    if probe.onnxruntime is None:
        fault = probe.onnxruntime_fault or ""
        broken = "does not load" in fault
        state = "does not load" if broken else "is not installed"
        raise EnvironmentLacks(
            f"{'' if probe.gpu else 'no NVIDIA GPU answers here, and '}ONNX Runtime {state}",
            cause=fault if broken else probe.gpu_fault or "--backend onnxruntime was given",
            next="python3 -m pip install onnxruntime, for the python3 that runs fcnship-device",
        )


def check_tensorrt(probe: Probe, manifest: Manifest) -> None:
    """JetPack, driver, TensorRT and GPU are those that the drop's engines can be built and run on.

    Raises:
        DeviceError: the board's JetPack or the GPU is too old.
        EnvironmentLacks: the driver or TensorRT is absent, too old, or untested.
    """
    _check_jetpack(probe)
    if probe.gpu is None:
        _refuse_without_gpu(probe)
    if probe.tensorrt is None or probe.tensorrt_flavour is None:
        raise _absent(probe)
    _check_version(probe, manifest)
    least, has = manifest.requires.compute_capability_least, probe.compute_capability
    if has is None or _numbers(has) < _numbers(least):
        raise DeviceError(
            f"{probe.gpu} has compute capability {has or 'unknown'}, the drop needs {least}",
            cause="this GPU is older than what the engines are made for",
            next=f"deploy to a newer device, {_ON_THE_CPU}",
        )


def check_numpy() -> None:
    """Images and outputs are NumPy's arrays.

    Raises:
        EnvironmentLacks: this Python has no NumPy.
    """
    if importlib.util.find_spec("numpy") is None:
        raise EnvironmentLacks(
            "there is no NumPy for this Python",
            cause=f"{sys.executable} does not find it",
            next="sudo apt-get install python3-numpy",
        )


def _check_jetpack(probe: Probe) -> None:
    if probe.l4t is None or _numbers(probe.l4t) >= _OLD_L4T:
        return
    named = f"JetPack {probe.jetpack}" if probe.jetpack else "a JetPack before 6.1"
    raise DeviceError(
        f"this board runs {named} (L4T {probe.l4t}), which fcnship does not support",
        cause="its TensorRT is older than 10.3 and cannot build strongly typed networks",
        next="flash JetPack 6.1 or later (Orin, Thor); a Xavier has none: run it on the CPU with "
        "--backend onnxruntime",
    )


def _refuse_without_gpu(probe: Probe) -> None:
    fault = probe.gpu_fault or "no GPU answers"
    if probe.gpu_hardware:
        raise EnvironmentLacks(
            f"there is an NVIDIA GPU here ({probe.gpu_hardware}), and its driver does not answer: {fault}",
            cause="the driver is not installed or not loaded, or this is a container without the GPU",
            next=f"look at nvidia-smi (in a container: docker run --runtime nvidia), {_ON_THE_CPU}",
        )
    raise EnvironmentLacks(
        f"TensorRT was asked for, and there is no NVIDIA GPU here: {fault}",
        cause="an engine is built and run on the device's own GPU",
        next="deploy to a device with a GPU, or run it on the CPU with --backend onnxruntime",
    )


def _absent(probe: Probe) -> EnvironmentLacks:
    package = "python3-libnvinfer"
    source = (
        f"sudo apt-get install {package}" if probe.l4t else f"apt-get install {package} (NVIDIA's repository)"
    )
    return EnvironmentLacks(
        f"TensorRT for Python is not installed here: {probe.tensorrt_fault or 'it does not load'}",
        cause=f"the apt package {package} is missing, or another python3 than the system's runs this",
        next=f"{source}, {_ON_THE_CPU}",
    )


def _check_version(probe: Probe, manifest: Manifest) -> None:
    rtx, has = probe.tensorrt_flavour == "tensorrt_rtx", str(probe.tensorrt)
    least = RTX_LEAST if rtx else manifest.requires.tensorrt_least
    below = RTX_BELOW if rtx else manifest.requires.tensorrt_below
    title = _TITLES[str(probe.tensorrt_flavour)]
    if _numbers(has) < _numbers(least):
        raise EnvironmentLacks(
            f"{title} {has} is too old: the drop needs {least} or later",
            cause="older ones build no strongly typed networks, or were never tried",
            next=f"install {title} {least} or later (on a Jetson: JetPack 6.1 or later), {_ON_THE_CPU}",
        )
    if _numbers(has) >= _numbers(below):
        raise EnvironmentLacks(
            f"{title} {has} is untested: the drop was made for {least} up to, and without, {below}",
            cause="it is newer than the fcnship that made the drop",
            next=f"make the drop with a newer fcnship, or install {title} before {below}, {_ON_THE_CPU}",
        )


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d{1,9}(?:\.\d{1,9})*", version, re.ASCII)
    return tuple(int(part) for part in match[0].split(".")) if match else (0,)

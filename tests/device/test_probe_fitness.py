"""Which backend a device runs a drop with, and each refusal with its whole message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from devices import ORIN, PC
from drops import DEVICE, Made

from fcnship.device.backends import chosen_backend
from fcnship.device.manifest import Manifest, read_manifest
from fcnship.device.probe import Probe
from fcnship.errors import DeviceError, EnvironmentLacks, FcnshipError

ON_THE_CPU = "or run it on the CPU with --backend onnxruntime"


@pytest.fixture(scope="module")
def manifest(drops: tuple[Made, Made]) -> Manifest:
    return read_manifest(drops[0].folder)


@pytest.mark.parametrize(
    ("device", "asked", "chosen"),
    [
        (DEVICE, "auto", "onnxruntime"),
        (DEVICE, "onnxruntime", "onnxruntime"),
        (ORIN, "auto", "tensorrt"),
        (ORIN, "tensorrt", "tensorrt"),
        (ORIN, "onnxruntime", "onnxruntime"),
        (replace(ORIN, tensorrt="10.16.2.1", l4t="39.0.0", jetpack=None), "auto", "tensorrt"),
        (replace(ORIN, tensorrt="11.4.1"), "auto", "tensorrt"),
        (replace(PC, tensorrt="1.7.1.116", tensorrt_flavour="tensorrt_rtx"), "auto", "tensorrt"),
        (replace(DEVICE, tensorrt="1.7.1.116", tensorrt_flavour="tensorrt_rtx"), "auto", "onnxruntime"),
        (replace(ORIN, l4t="35.4.1", jetpack="5", gpu=None), "onnxruntime", "onnxruntime"),
    ],
)
def test_the_backend(device: Probe, asked: Any, chosen: str, manifest: Manifest) -> None:
    assert chosen_backend(asked, device, manifest) == chosen


REFUSALS: list[tuple[str, Probe, str, type[FcnshipError], str, str, str]] = [
    (
        "architecture",
        replace(ORIN, machine="riscv64"),
        "auto",
        DeviceError,
        "this device is riscv64, the drop is for aarch64 and x86_64",
        "the manifest's requires.architectures does not name this processor",
        "deploy to another device, or make a drop for this one",
    ),
    (
        "compute capability",
        replace(PC, gpu="GTX 1080", compute_capability="6.1"),
        "auto",
        DeviceError,
        "GTX 1080 has compute capability 6.1, the drop needs 7.5",
        "this GPU is older than what the engines are made for",
        f"deploy to a newer device, {ON_THE_CPU}",
    ),
    (
        "unknown compute capability",
        replace(PC, compute_capability=None),
        "auto",
        DeviceError,
        "RTX 4090 has compute capability unknown, the drop needs 7.5",
        "this GPU is older than what the engines are made for",
        f"deploy to a newer device, {ON_THE_CPU}",
    ),
    (
        "JetPack 5",
        replace(ORIN, l4t="35.4.1", jetpack="5"),
        "auto",
        DeviceError,
        "this board runs JetPack 5 (L4T 35.4.1), which fcnship does not support",
        "its TensorRT is older than 10.3 and cannot build strongly typed networks",
        "flash JetPack 6.1 or later (Orin, Thor); a Xavier has none: run it on the CPU with "
        "--backend onnxruntime",
    ),
    (
        "JetPack 6.0",
        replace(ORIN, l4t="36.3.0", jetpack="6.0"),
        "tensorrt",
        DeviceError,
        "this board runs JetPack 6.0 (L4T 36.3.0), which fcnship does not support",
        "its TensorRT is older than 10.3 and cannot build strongly typed networks",
        "flash JetPack 6.1 or later (Orin, Thor); a Xavier has none: run it on the CPU with "
        "--backend onnxruntime",
    ),
    (
        "JetPack 4",
        replace(ORIN, l4t="32.7.4", jetpack=None),
        "auto",
        DeviceError,
        "this board runs a JetPack before 6.1 (L4T 32.7.4), which fcnship does not support",
        "its TensorRT is older than 10.3 and cannot build strongly typed networks",
        "flash JetPack 6.1 or later (Orin, Thor); a Xavier has none: run it on the CPU with "
        "--backend onnxruntime",
    ),
    (
        "no driver, with auto",
        replace(ORIN, gpu=None, gpu_fault="libcuda.so.1 is not installed"),
        "auto",
        EnvironmentLacks,
        "there is an NVIDIA GPU here (NVIDIA Jetson AGX Orin), and its driver does not answer: "
        "libcuda.so.1 is not installed",
        "the driver is not installed or not loaded, or this is a container without the GPU",
        f"look at nvidia-smi (in a container: docker run --runtime nvidia), {ON_THE_CPU}",
    ),
    (
        "no GPU",
        DEVICE,
        "tensorrt",
        EnvironmentLacks,
        "TensorRT was asked for, and there is no NVIDIA GPU here: libcuda.so.1 is not installed",
        "an engine is built and run on the device's own GPU",
        f"deploy to a device with a GPU, {ON_THE_CPU}",
    ),
    (
        "no TensorRT on a Jetson",
        replace(ORIN, tensorrt=None, tensorrt_flavour=None, tensorrt_fault="tensorrt is not installed"),
        "auto",
        EnvironmentLacks,
        "TensorRT for Python is not installed here: tensorrt is not installed",
        "the apt package python3-libnvinfer is missing, or another python3 than the system's runs this",
        f"sudo apt-get install python3-libnvinfer, {ON_THE_CPU}",
    ),
    (
        "no TensorRT on a PC",
        replace(PC, tensorrt=None, tensorrt_flavour=None, tensorrt_fault=None),
        "auto",
        EnvironmentLacks,
        "TensorRT for Python is not installed here: it does not load",
        "the apt package python3-libnvinfer is missing, or another python3 than the system's runs this",
        f"apt-get install python3-libnvinfer (NVIDIA's repository), {ON_THE_CPU}",
    ),
    (
        "TensorRT too old",
        replace(PC, tensorrt="10.2.9.1"),
        "auto",
        EnvironmentLacks,
        "TensorRT 10.2.9.1 is too old: the drop needs 10.3 or later",
        "older ones build no strongly typed networks, or were never tried",
        f"install TensorRT 10.3 or later (on a Jetson: JetPack 6.1 or later), {ON_THE_CPU}",
    ),
    (
        "TensorRT untested",
        replace(PC, tensorrt="11.5"),
        "auto",
        EnvironmentLacks,
        "TensorRT 11.5 is untested: the drop was made for 10.3 up to, and without, 11.5",
        "it is newer than the fcnship that made the drop",
        f"make the drop with a newer fcnship, or install TensorRT before 11.5, {ON_THE_CPU}",
    ),
    (
        "TensorRT-RTX untested",
        replace(PC, tensorrt="1.8.0", tensorrt_flavour="tensorrt_rtx"),
        "auto",
        EnvironmentLacks,
        "TensorRT-RTX 1.8.0 is untested: the drop was made for 1.7 up to, and without, 1.8",
        "it is newer than the fcnship that made the drop",
        f"make the drop with a newer fcnship, or install TensorRT-RTX before 1.8, {ON_THE_CPU}",
    ),
    (
        "no ONNX Runtime",
        replace(DEVICE, onnxruntime=None),
        "auto",
        EnvironmentLacks,
        "no NVIDIA GPU answers here, and ONNX Runtime is not installed",
        "libcuda.so.1 is not installed",
        "python3 -m pip install onnxruntime, for the python3 that runs fcnship-device",
    ),
    (
        "an ONNX Runtime that does not load",
        replace(DEVICE, onnxruntime=None, onnxruntime_fault="onnxruntime does not load: numpy.dtype"),
        "auto",
        EnvironmentLacks,
        "no NVIDIA GPU answers here, and ONNX Runtime does not load",
        "onnxruntime does not load: numpy.dtype",
        "python3 -m pip install onnxruntime, for the python3 that runs fcnship-device",
    ),
    (
        "no ONNX Runtime, asked for",
        replace(ORIN, onnxruntime=None),
        "onnxruntime",
        EnvironmentLacks,
        "ONNX Runtime is not installed",
        "--backend onnxruntime was given",
        "python3 -m pip install onnxruntime, for the python3 that runs fcnship-device",
    ),
]


@pytest.mark.parametrize(
    ("device", "asked", "kind", "what", "cause", "next_"),
    [row[1:] for row in REFUSALS],
    ids=[row[0] for row in REFUSALS],
)
def test_each_refusal_has_its_message(
    device: Probe, asked: Any, kind: type, what: str, cause: str, next_: str, manifest: Manifest
) -> None:
    with pytest.raises(FcnshipError) as refused:
        chosen_backend(asked, device, manifest)
    error = refused.value
    assert (type(error), error.what, error.cause, error.next) == (kind, what, cause, next_)

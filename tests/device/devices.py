"""Devices with a GPU, as fcnship.device.probe tells of them."""

from __future__ import annotations

from dataclasses import replace

from drops import DEVICE

ORIN = replace(
    DEVICE,
    machine="aarch64",
    gpu="Orin",
    compute_capability="8.7",
    sm_count=8,
    gpu_fault=None,
    gpu_hardware="NVIDIA Jetson AGX Orin",
    tensorrt="10.3.0",
    tensorrt_flavour="tensorrt",
    tensorrt_fault=None,
    board="NVIDIA Jetson AGX Orin",
    l4t="36.4.3",
    jetpack="6.2",
)
PC = replace(
    ORIN, machine="x86_64", gpu="RTX 4090", compute_capability="8.9", board=None, l4t=None, jetpack=None
)

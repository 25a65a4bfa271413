"""What a device must have: versions that were tried, and room as far as it can be told beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fcnship.graph.cost import cost_of
from fcnship.graph.nodes import Network
from fcnship.sizes import Profile

ARCHITECTURES = ("aarch64", "x86_64")
# Strongly typed networks from 10.3 (JetPack 6.1) on; 11.4 is the last whose API was looked at.
TENSORRT = {"least": "10.3", "below": "11.5"}
# Turing, the oldest that these versions build for.
COMPUTE_CAPABILITY = {"least": "7.5"}
# Of an engine of TensorRT-RTX 1.7, beside its weights, for each layer in each profile: multiscale has 80 kB
# in FP32 and 225 kB in INT8.
_CODE_BYTES = 1 << 18
# A process with ONNX Runtime 1.31 held 67 MiB for multiscale (8 images of 224x224; told: 75), 89 MiB for it
# at 1024x1024 (90), 147 MiB for MobileNetV2 (8 images of 224x224; 247), 220 MiB for EfficientNetB0 (274).
_PROCESS_BYTES = 64 << 20
_COPIES_OF_A_FILE, _COPIES_OF_ACTIVATIONS = 4, 2
_MIB = 1 << 20


def requirements(network: Network, profiles: Sequence[Profile], files: Mapping[str, int]) -> dict[str, Any]:
    """The manifest's ``requires``. ``files``: the bytes of each file of the drop.

    Estimates, in whole MiB. On the disk: a copy of the drop, and an engine of the largest network: its
    weights, and machine code for each layer in each profile. In memory: a process, the largest network as a
    file and as it is run, and twice the activations of the largest batch at the largest size. That is what
    ONNX Runtime needs; TensorRT's builder needs more, and says itself if there is not enough.
    """
    largest = max(size for name, size in files.items() if name.startswith("onnx/"))
    engine = largest + _CODE_BYTES * len(network.nodes) * len(profiles)
    activations = max(cost_of(network, p.max, p.batch[2]).peak_bytes for p in profiles)
    memory = _PROCESS_BYTES + _COPIES_OF_A_FILE * largest + _COPIES_OF_ACTIVATIONS * activations
    return {
        "architectures": list(ARCHITECTURES),
        "tensorrt": dict(TENSORRT),
        "compute_capability": dict(COMPUTE_CAPABILITY),
        "disk_bytes": _whole(sum(files.values()) + engine),
        "memory_bytes": _whole(memory),
    }


def _whole(count: int) -> int:
    return -(-count // _MIB) * _MIB

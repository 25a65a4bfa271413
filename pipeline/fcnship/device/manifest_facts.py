"""What a drop's manifest says, as frozen values; ``manifest.py`` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fcnship.errors import UsageError
from fcnship.sizes import Profile, Size

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, kw_only=True)
class DropFile:
    """A file of the drop: its path inside it, its size and its SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One ONNX network. ``io`` is the element type of its input and output, ``opset`` its ONNX opset."""

    precision: str
    file: str
    io: str
    opset: int
    kept_fp32: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GoldenFile:
    """Inputs and the outputs that the Keras network gave for them, at one size of one profile.

    ``tolerance`` is absolute, on the largest difference, one for each precision.
    """

    file: str
    profile: int
    height: int
    width: int
    batch: int
    tolerance: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class NetworkFacts:
    """The names, order and range of input and output, and the geometry; pairs are (height, width)."""

    input: str
    output: str
    layout: str
    channels: int
    classes: int
    labels: tuple[str, ...]
    value_range: tuple[float, float]
    total_stride: tuple[int, int]
    receptive_field: tuple[int, int]
    minimum_size: Size


@dataclass(frozen=True, kw_only=True)
class Requires:
    """What a device must have. Versions are texts of numbers and dots; ``tensorrt_below`` is exclusive."""

    architectures: tuple[str, ...]
    tensorrt_least: str
    tensorrt_below: str
    compute_capability_least: str
    disk_bytes: int
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A drop's manifest, checked. ``sha256`` is that of its bytes and names the release."""

    sha256: str
    name: str
    version: str
    created: str
    fcnship: str
    sources: Mapping[str, str]
    network: NetworkFacts
    requires: Requires
    live: str
    profiles: tuple[Profile, ...]
    variants: tuple[Variant, ...]
    golden: tuple[GoldenFile, ...]
    files: tuple[DropFile, ...]
    evidence: Mapping[str, Any] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.bytes for file in self.files)

    def variant(self, precision: str) -> Variant:
        """The network of one precision.

        Raises:
            UsageError: the drop holds none.
        """
        for variant in self.variants:
            if variant.precision == precision:
                return variant
        there = ", ".join(v.precision for v in self.variants)
        raise UsageError(
            f"the drop {self.name} {self.version} holds no {precision}",
            cause=f"it was made with {there}",
            next=f"name one of {there} with --precision",
        )

    def file(self, path: str) -> DropFile:
        """The entry of one file."""
        return next(file for file in self.files if file.path == path)

    def input_shape(self, size: Size, batch: int) -> tuple[int, int, int, int]:
        """The input's shape at a size, in the network's own order."""
        channels = self.network.channels
        if self.network.layout == "nchw":
            return batch, channels, size.height, size.width
        return batch, size.height, size.width, channels

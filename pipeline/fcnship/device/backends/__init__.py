"""Run a release's networks on this device: one Protocol, one module a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fcnship.device.backends.fitness import (
    check_architecture,
    check_numpy,
    check_onnxruntime,
    check_tensorrt,
)
from fcnship.device.manifest import Manifest
from fcnship.device.probe import Probe
from fcnship.sizes import Profile, Size, profile_serving

if TYPE_CHECKING:
    import numpy as np

    from fcnship.device.engines import Engine

    Array = np.ndarray[Any, Any]

BackendName = Literal["tensorrt", "onnxruntime"]
Asked = Literal["auto", "tensorrt", "onnxruntime"]
Shape = tuple[int, ...]


class Unrunnable(Exception):
    """A network exists and cannot be run here, or not at this size; the text says why."""


class Backend(Protocol):
    """One opened network. Images and outputs are in the network's own order; images are float32."""

    def prepare(self, images: Array, profile: int | None = None) -> Any:
        """Images in the runtime's form, for one profile or else for the one that serves them.

        Raises:
            Unrunnable: no profile serves the size and the batch.
        """
        ...

    def infer(self, prepared: Any) -> Array:
        """The outputs, computed and ready; the next inference may overwrite them."""
        ...

    def refuses(self, shape: Shape) -> bool | None:
        """Whether the runtime itself takes a shape in none of its profiles; None: it knows no profiles."""
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


def chosen_backend(asked: Asked, probe: Probe, manifest: Manifest) -> BackendName:
    """What runs a drop on this device: TensorRT where there is a GPU, ONNX Runtime where only that is there.

    Where a GPU is built in, ``auto`` means TensorRT, and a TensorRT that cannot run it is an error.

    Raises:
        EnvironmentLacks: TensorRT, ONNX Runtime or the driver is absent, too old or untested.
        DeviceError: the drop is not for such a device.
    """
    check_architecture(probe, manifest)
    check_numpy()
    if asked == "tensorrt" or (asked == "auto" and (probe.gpu or probe.gpu_hardware)):
        check_tensorrt(probe, manifest)
        return "tensorrt"
    check_onnxruntime(probe)
    return "onnxruntime"


def open_backend(
    name: str, release: Path, manifest: Manifest, precision: str, engine: Engine | None
) -> Backend:
    """Open one precision of a release. ``engine`` is what TensorRT runs.

    Raises:
        ArtifactError: the file does not open.
        Unrunnable: nothing here can run it.
    """
    variant = manifest.variant(precision)
    if name == "onnxruntime":
        from fcnship.device.backends.onnxruntime import OnnxBackend

        return OnnxBackend(release / variant.file, manifest.profiles, manifest.network.layout)
    from fcnship.device.backends.tensorrt import TensorrtBackend

    assert engine is not None, "TensorRT runs an engine"
    return TensorrtBackend(
        engine.folder / "engine.plan",
        flavour=engine.flavour,
        profiles=manifest.profiles,
        layout=manifest.network.layout,
        input_name=manifest.network.input,
        io=variant.io,
    )


def sides_of(shape: Sequence[int], layout: str) -> tuple[int, Size]:
    """The batch and the size of images in a layout."""
    batch, height, width = (shape[0], *shape[2:4]) if layout == "nchw" else shape[:3]
    return batch, Size(height, width)


def serving(profiles: Sequence[Profile], shape: Sequence[int], layout: str, wanted: int | None = None) -> int:
    """The index of the profile for a shape: ``wanted``, or the one whose optimum is nearest.

    Raises:
        Unrunnable: that one, or none, serves it.
    """
    batch, size = sides_of(shape, layout)
    among = profiles if wanted is None else profiles[wanted : wanted + 1]
    profile = profile_serving(among, size, batch)
    if profile is None:
        raise Unrunnable(f"no profile serves a batch of {batch} at {size}")
    return profiles.index(profile) if wanted is None else wanted

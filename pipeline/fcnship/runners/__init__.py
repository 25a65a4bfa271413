"""Open a variant and map batches of images to outputs: one Protocol, one module a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fcnship.options import Layout

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

ORIGINAL = "keras"


class Unrunnable(Exception):
    """A variant exists and cannot be run here; the text says why."""


class Runner(Protocol):
    """One opened variant.

    ``prepare`` brings images (batch, height, width, channels) float32 into the runtime's own form, ``infer``
    is the part that is timed, ``finish`` gives outputs as float32 in Keras's order.
    """

    variant: str

    def prepare(self, images: Array) -> Any:
        """Images in the runtime's form."""
        ...

    def infer(self, prepared: Any) -> Any:
        """The runtime's outputs, computed and ready."""
        ...

    def finish(self, outputs: Any) -> Array:
        """Outputs (batch, classes) or (batch, rows, columns, classes), float32."""
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


@runtime_checkable
class Emulation(Protocol):
    """A runner that computes what a variant does elsewhere, and not as its runtime runs it here."""

    def as_it_runs_here(self) -> Runner:
        """The same variant as the runtime runs it."""
        ...


def timed(runner: Runner) -> Runner:
    """The runner whose time counts: the variant as its runtime runs it here, where ``runner`` emulates."""
    return runner.as_it_runs_here() if isinstance(runner, Emulation) else runner


def precision_of(variant: str) -> str:
    """The precision in a variant's name: ``fp16`` of ``onnx-fp16`` and ``onnx-fp16:file``; else the name."""
    return variant.split(":")[0].rpartition("-")[2]


def run(runner: Runner, images: Array) -> Array:
    """Images through a runner, from Keras's order to Keras's order."""
    return runner.finish(runner.infer(runner.prepare(images)))


def open_runner(variant: str, path: Path, layout: Layout) -> Runner:
    """Open a variant by its name: ``keras``, ``savedmodel``, ``onnx-...`` or ``engine-...``.

    Raises:
        Unrunnable: there is no way to run it on this machine.
    """
    if variant == ORIGINAL:
        from fcnship.runners.keras import KerasRunner

        return KerasRunner(variant, path)
    if variant == "savedmodel":
        from fcnship.runners.savedmodel import SavedModelRunner

        return SavedModelRunner(variant, path)
    if variant.startswith("onnx-"):
        from fcnship.runners.onnxruntime import open_onnx

        return open_onnx(variant, path, layout)
    from fcnship.runners.tensorrt import EngineRunner

    return EngineRunner(variant, path, layout)


def to_layout(images: Array, layout: Layout) -> Array:
    """Images in Keras's order, contiguous in the order of ``layout``."""
    import numpy as np

    return np.ascontiguousarray(images.transpose(0, 3, 1, 2) if layout == "nchw" else images)


def from_layout(outputs: Array, layout: Layout) -> Array:
    """Outputs in Keras's order, float32."""
    import numpy as np

    keras_order = outputs.transpose(0, 2, 3, 1) if outputs.ndim == 4 and layout == "nchw" else outputs
    return np.asarray(keras_order, np.float32)

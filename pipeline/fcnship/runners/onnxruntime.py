"""Runs an ONNX file with ONNX Runtime on the CPU."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnxruntime` here for this file itself; Python and mypy do not)
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import ArtifactError, ModelRefused
from fcnship.options import Layout
from fcnship.runners import from_layout, precision_of, to_layout

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


class OnnxRunner:
    """An ONNX file with one input of images and one output, whatever their names.

    ``plain``: without optimisation and on one thread, to see what these change. ``model``: what is run
    instead of the file, serialized.
    """

    def __init__(
        self, variant: str, path: Path, layout: Layout, *, plain: bool = False, model: bytes | None = None
    ) -> None:
        self.variant = variant
        self._path = path
        self._layout: Layout = layout
        self._session = _session(path, plain, model)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelRefused(
                f"{path} has {len(inputs)} inputs and {len(outputs)} outputs",
                cause="fcnship compares networks that take one image and give one set of class scores",
                next="export it with one input and one output",
            )
        self._input = inputs[0].name
        if inputs[0].type not in _TYPES:
            raise ModelRefused(
                f"{path} takes {inputs[0].type}, not images of floating-point numbers",
                cause="its input is no image, or it wants pixels as whole numbers",
                next="export it with a float32 input",
            )
        self._type = _TYPES[inputs[0].type]

    def prepare(self, images: np.ndarray[Any, Any]) -> Any:
        """An array in the file's own order."""
        return {self._input: to_layout(images, self._layout).astype(self._type, copy=False)}

    def infer(self, prepared: Any) -> Any:
        """One run."""
        return self._session.run(None, prepared)[0]

    def finish(self, outputs: Any) -> np.ndarray[Any, Any]:
        """In Keras's order."""
        return from_layout(outputs, self._layout)

    def close(self) -> None:
        """The session goes with the object."""


class RoundedOnnxRunner(OnnxRunner):
    """An FP16 file with the rounding put back that ONNX Runtime leaves out on a CPU (precision/rounding.py).

    It is as exact as the file is on a GPU, and slower: what is timed is ``as_it_runs_here``.
    """

    def __init__(self, variant: str, path: Path, layout: Layout, model: Any) -> None:
        from fcnship.precision.rounding import rounded

        super().__init__(variant, path, layout, model=rounded(model).SerializeToString())

    def as_it_runs_here(self) -> OnnxRunner:
        """The file itself in ONNX Runtime."""
        return OnnxRunner(self.variant, self._path, self._layout)


def open_onnx(variant: str, path: Path, layout: Layout) -> OnnxRunner:
    """A runner for an ONNX file; it rounds where the variant is FP16 and the file is written for that."""
    if precision_of(variant) != "fp16":
        return OnnxRunner(variant, path, layout)
    import onnx

    from fcnship.precision.element_types import is_flat

    runner = OnnxRunner(variant, path, layout)  # a damaged file is told here
    model = onnx.load(path)
    return RoundedOnnxRunner(variant, path, layout, model) if is_flat(model) else runner


def _session(path: Path, plain: bool, model: bytes | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Threads that spin on after a call would take the processors from the variant that is timed next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model or str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ArtifactError(
            f"ONNX Runtime does not open {path}: {error}",
            cause="the file is damaged or uses an operator that this version does not have",
            next="build it again with --force",
        ) from error

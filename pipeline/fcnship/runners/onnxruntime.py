"""Runs an ONNX file with ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import ArtifactError
from fcnship.graph.onnx_export import INPUT
from fcnship.options import Layout
from fcnship.runners import from_layout, to_layout


class OnnxRunner:
    """An ONNX file."""

    def __init__(self, variant: str, path: Path, layout: Layout) -> None:
        import onnxruntime

        self.variant = variant
        self._layout = layout
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ArtifactError(
                f"ONNX Runtime does not open {path}: {error}",
                cause="the file is damaged or uses an operator that this version does not have",
                next="build it again with --force",
            ) from error

    def prepare(self, images: np.ndarray[Any, Any]) -> Any:
        """An array in the file's own order."""
        return {INPUT: to_layout(images, self._layout)}

    def infer(self, prepared: Any) -> Any:
        """One run."""
        return self._session.run(None, prepared)[0]

    def finish(self, outputs: Any) -> np.ndarray[Any, Any]:
        """In Keras's order."""
        return from_layout(outputs, self._layout)

    def close(self) -> None:
        """The session goes with the object."""

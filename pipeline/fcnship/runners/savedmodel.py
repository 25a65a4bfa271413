"""Runs a SavedModel by its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fcnship.frameworks import import_tensorflow
from fcnship.graph.onnx_export import INPUT, OUTPUT


class SavedModelRunner:
    """A SavedModel folder."""

    def __init__(self, variant: str, path: Path) -> None:
        self.variant = variant
        self._tf = import_tensorflow()
        self._loaded = self._tf.saved_model.load(str(path))  # the signature lives as long as this does
        self._signature = self._loaded.signatures["serve"]

    def prepare(self, images: np.ndarray[Any, Any]) -> Any:
        """A TensorFlow tensor."""
        return self._tf.constant(images)

    def infer(self, prepared: Any) -> Any:
        """One call of the signature."""
        return self._signature(**{INPUT: prepared})[OUTPUT].numpy()

    def finish(self, outputs: Any) -> np.ndarray[Any, Any]:
        """As they are."""
        return np.asarray(outputs, np.float32)

    def close(self) -> None:
        """Nothing is held open."""

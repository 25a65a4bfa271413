"""Runs a Keras model by calling it, as a user does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fcnship.frameworks import import_tensorflow
from fcnship.graph.loading import load_model


class KerasRunner:
    """The original, or another Keras model."""

    def __init__(self, variant: str, path: Path) -> None:
        self.variant = variant
        self._tf = import_tensorflow()
        self._model = load_model(path)

    @property
    def model(self) -> Any:
        """The Keras model."""
        return self._model

    def prepare(self, images: np.ndarray[Any, Any]) -> Any:
        """A TensorFlow tensor in the host's memory, also where there is a GPU: what is timed starts there."""
        with self._tf.device("CPU"):
            return self._tf.constant(images)

    def infer(self, prepared: Any) -> Any:
        """One call without training behaviour."""
        return self._model(prepared, training=False).numpy()

    def finish(self, outputs: Any) -> np.ndarray[Any, Any]:
        """As they are."""
        return np.asarray(outputs, np.float32)

    def close(self) -> None:
        """Nothing is held open."""

"""Runs a SavedModel by its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import ModelRefused
from fcnship.frameworks import import_tensorflow


class SavedModelRunner:
    """A SavedModel folder."""

    def __init__(self, variant: str, path: Path) -> None:
        self.variant = variant
        self._tf = import_tensorflow()
        self._loaded = self._tf.saved_model.load(str(path))  # the signature lives as long as this does
        self._signature = _signature(path, self._loaded.signatures)
        self._input = next(iter(self._signature.structured_input_signature[1]))
        self._output = next(iter(self._signature.structured_outputs))

    @property
    def shapes(self) -> tuple[list[int | None], list[int | None]]:
        """The declared shapes of the images and of the outputs; None for what may vary."""
        images = self._signature.structured_input_signature[1][self._input].shape
        outputs = self._signature.structured_outputs[self._output].shape
        return [*images], [*outputs]

    @property
    def parameters(self) -> int:
        """Numbers in its variables."""
        return sum(int(np.prod(variable.shape)) for variable in self._signature.variables)

    def prepare(self, images: np.ndarray[Any, Any]) -> Any:
        """A TensorFlow tensor in the host's memory, also where there is a GPU: what is timed starts there."""
        with self._tf.device("CPU"):
            return self._tf.constant(images)

    def infer(self, prepared: Any) -> Any:
        """One call of the signature."""
        return self._signature(**{self._input: prepared})[self._output].numpy()

    def finish(self, outputs: Any) -> np.ndarray[Any, Any]:
        """As they are."""
        return np.asarray(outputs, np.float32)

    def close(self) -> None:
        """Nothing is held open."""


def _signature(path: Path, signatures: Any) -> Any:
    """The signature that fcnship writes, the one that serving uses, or the only one."""
    names = [name for name in ("serve", "serving_default") if name in signatures] or list(signatures)
    found = signatures[names[0]] if names else None
    if found is None or len(found.structured_input_signature[1]) != 1 or len(found.structured_outputs) != 1:
        raise ModelRefused(
            f"{path} has no signature that takes one image and gives one set of class scores",
            cause="it was saved without signatures, or has several inputs or outputs",
            next="save it with model.export, from a model of one input and one output",
        )
    return found

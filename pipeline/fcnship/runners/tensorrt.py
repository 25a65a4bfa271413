"""Runs a TensorRT engine where there is a GPU, by the same code as on a device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.device import backends
from fcnship.device.backends.tensorrt import TensorrtBackend
from fcnship.graph.onnx_export import INPUT
from fcnship.options import Layout
from fcnship.runners import Unrunnable, from_layout, to_layout
from fcnship.sizes import Profile, Size


class EngineRunner:
    """An engine file with its JSON beside it. Each batch goes to the profile whose optimum is nearest."""

    def __init__(self, variant: str, path: Path, layout: Layout) -> None:
        self.variant = variant
        self._layout: Layout = layout
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        try:
            self._backend = TensorrtBackend(
                path,
                flavour=about["flavour"],
                profiles=[_profile(row) for row in about["profiles"]],
                layout=layout,
                input_name=INPUT,
                io=about.get("io", "fp32"),
            )
        except backends.Unrunnable as error:
            raise Unrunnable(str(error)) from error

    def prepare(self, images: np.ndarray[Any, Any]) -> Any:
        """The profile that serves the batch, and an array in the engine's order."""
        try:
            return self._backend.prepare(to_layout(images, self._layout))
        except backends.Unrunnable as error:
            raise Unrunnable(str(error)) from error

    def refuses(self, images: np.ndarray[Any, Any]) -> bool:
        """Whether the engine itself, and not the JSON beside it, takes this shape in none of its profiles."""
        return bool(self._backend.refuses(to_layout(images, self._layout).shape))

    def infer(self, prepared: Any) -> Any:
        """One inference, copies to and from the GPU included."""
        return self._backend.infer(prepared)

    def finish(self, outputs: Any) -> np.ndarray[Any, Any]:
        """In Keras's order, copied: Polygraphy uses its buffers again."""
        return from_layout(np.array(outputs), self._layout)

    def close(self) -> None:
        """Free the contexts."""
        self._backend.close()


def _profile(row: dict[str, Any]) -> Profile:
    low, opt, high = (Size(*row[edge]) for edge in ("min", "opt", "max"))
    least, usual, most = row["batch"]
    return Profile(low, opt, high, (least, usual, most))

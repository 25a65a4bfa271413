"""Runs a TensorRT engine through Polygraphy, where there is a GPU."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.graph.onnx_export import INPUT
from fcnship.machine import gpu_name
from fcnship.options import Layout
from fcnship.runners import Unrunnable, from_layout, to_layout


class EngineRunner:
    """An engine file with its JSON beside it. Each batch goes to the first profile that accepts it."""

    def __init__(self, variant: str, path: Path, layout: Layout) -> None:
        self.variant = variant
        self._layout: Layout = layout
        # Asked before a runtime is constructed: without a GPU TensorRT returns None or ends the process.
        if gpu_name() is None:
            raise Unrunnable("it was built, and no NVIDIA GPU answers here to run it")
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if about["flavour"] == "tensorrt_rtx":
            os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"  # read once, when polygraphy is imported
        from polygraphy.backend.common import bytes_from_path  # pyright: ignore[reportAttributeAccessIssue]
        from polygraphy.backend.trt import TrtRunner, engine_from_bytes  # pyright: ignore[reportAttributeAccessIssue]
        from polygraphy.exception import PolygraphyException

        try:
            self._engine = engine_from_bytes(bytes_from_path(str(path)))
        except PolygraphyException as error:
            raise Unrunnable(f"it was built, and this GPU does not load it ({error})") from error
        self._profiles = about["profiles"]
        self._type = np.float16 if about.get("io") == "fp16" else np.float32
        self._runners = [TrtRunner(self._engine, optimization_profile=i) for i in range(len(self._profiles))]
        for runner in self._runners:
            runner.activate()

    def prepare(self, images: np.ndarray[Any, Any]) -> Any:
        """The profile that serves the batch, and an array in the engine's order."""
        batch, height, width, _ = images.shape
        for index, profile in enumerate(self._profiles):
            (h0, w0), (h1, w1), (b0, _, b1) = profile["min"], profile["max"], profile["batch"]
            if h0 <= height <= h1 and w0 <= width <= w1 and b0 <= batch <= b1:
                return index, {INPUT: to_layout(images, self._layout).astype(self._type, copy=False)}
        raise Unrunnable(f"no profile serves a batch of {batch} at {height}x{width}")

    def refuses(self, images: np.ndarray[Any, Any]) -> bool:
        """Whether the engine itself, and not the JSON beside it, takes this shape in none of its profiles."""
        shape = to_layout(images, self._layout).shape
        contexts: list[Any] = [runner.context for runner in self._runners]
        return not any(context.set_input_shape(INPUT, shape) for context in contexts)

    def infer(self, prepared: Any) -> Any:
        """One inference, copies to and from the GPU included."""
        index, feed = prepared
        return next(iter(self._runners[index].infer(feed, check_inputs=False).values()))

    def finish(self, outputs: Any) -> np.ndarray[Any, Any]:
        """In Keras's order, copied: Polygraphy uses its buffers again."""
        return from_layout(np.array(outputs), self._layout)

    def close(self) -> None:
        """Free the contexts."""
        for runner in self._runners:
            runner.deactivate()

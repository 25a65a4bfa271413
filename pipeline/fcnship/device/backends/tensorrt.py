"""Runs a TensorRT engine through Polygraphy, on a device and on the machine that makes the drops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.device.backends import Shape, Unrunnable, serving
from fcnship.device.cuda import first_gpu
from fcnship.sizes import Profile


class TensorrtBackend:
    """A plan with one execution context for each of its profiles.

    Raises:
        Unrunnable: there is no GPU, or TensorRT does not load the plan on it.
    """

    def __init__(
        self,
        plan: Path,
        *,
        flavour: str,
        profiles: Sequence[Profile],
        layout: str,
        input_name: str,
        io: str,
    ) -> None:
        # Asked before a runtime is constructed: without a GPU TensorRT returns None or ends the process.
        if isinstance(first_gpu(), str):
            raise Unrunnable("it was built, and no NVIDIA GPU answers here to run it")
        self._profiles, self._layout, self._input = tuple(profiles), layout, input_name
        self._type = np.float16 if io == "fp16" else np.float32
        self._runners = _opened(plan, flavour, len(self._profiles))

    def prepare(self, images: np.ndarray[Any, Any], profile: int | None = None) -> Any:
        """The profile, and the batch in the engine's own type."""
        index = serving(self._profiles, images.shape, self._layout, profile)
        return index, {self._input: np.ascontiguousarray(images, self._type)}

    def infer(self, prepared: Any) -> np.ndarray[Any, Any]:
        """One inference, copies to and from the GPU included."""
        from polygraphy.exception import PolygraphyException

        index, feed = prepared
        try:
            results = self._runners[index].infer(feed, check_inputs=False)
        except PolygraphyException as error:
            raise Unrunnable(f"TensorRT fails: {error}") from error
        outputs: np.ndarray[Any, Any] = next(iter(results.values()))
        return outputs

    def refuses(self, shape: Shape) -> bool | None:
        """Whether the engine itself takes this shape in none of its profiles."""
        contexts: list[Any] = [runner.context for runner in self._runners]
        return not any(context.set_input_shape(self._input, shape) for context in contexts)

    def close(self) -> None:
        """Free the contexts."""
        while self._runners:
            self._runners.pop().deactivate()


def _opened(plan: Path, flavour: str, count: int) -> list[Any]:
    if flavour == "tensorrt_rtx":
        os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"  # read once, when polygraphy is imported
    from polygraphy.backend.common import bytes_from_path  # pyright: ignore[reportAttributeAccessIssue]
    from polygraphy.backend.trt import TrtRunner, engine_from_bytes  # pyright: ignore[reportAttributeAccessIssue]
    from polygraphy.exception import PolygraphyException

    runners: list[Any] = []
    try:
        engine = engine_from_bytes(bytes_from_path(str(plan)))
        if engine.num_optimization_profiles != count:
            raise Unrunnable(
                f"it has {engine.num_optimization_profiles} profiles, and {count} were asked for"
            )
        for index in range(count):
            runner = TrtRunner(engine, optimization_profile=index)
            runner.activate()
            runners.append(runner)
    except PolygraphyException as error:
        for runner in runners:
            runner.deactivate()
        raise Unrunnable(f"it was built, and this GPU does not load it ({error})") from error
    return runners

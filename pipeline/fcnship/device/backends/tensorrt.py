"""Runs a TensorRT engine through Polygraphy, on a device and on the machine that makes the drops."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.device.backends import Shape, Unrunnable, serving
from fcnship.device.cuda import first_gpu
from fcnship.device.cuda_memory import use_the_driver_without_a_runtime
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
        from polygraphy.logger import G_LOGGER

        contexts: list[Any] = [runner.context for runner in self._runners]
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL):  # TensorRT calls each refusal an error
            return not any(context.set_input_shape(self._input, shape) for context in contexts)

    def close(self) -> None:
        """Free the contexts."""
        while self._runners:
            self._runners.pop().deactivate()


def _opened(plan: Path, flavour: str, count: int) -> list[Any]:
    drive(flavour)
    from polygraphy.backend.trt import TrtRunner  # pyright: ignore[reportAttributeAccessIssue]
    from polygraphy.exception import PolygraphyException

    runners: list[Any] = []
    try:
        use_the_driver_without_a_runtime()
        engine = _engine(plan, flavour)
        if engine.num_optimization_profiles != count:
            told = f"it has {engine.num_optimization_profiles} profiles, and {count} were asked for"
            raise Unrunnable(told)
        for index in range(count):
            runner = TrtRunner(engine, optimization_profile=index)
            runner.activate()
            runners.append(runner)
    except PolygraphyException as error:
        for runner in runners:
            runner.deactivate()
        raise Unrunnable(f"it was built, and this GPU does not load it ({error})") from error
    return runners


def drive(flavour: str) -> None:
    """Let Polygraphy drive this TensorRT; what the user's environment says of it does not count.

    Raises:
        Unrunnable: it drives the other one in this process already.
    """
    rtx = flavour == "tensorrt_rtx"
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1" if rtx else "0"  # read once, at the import
    from polygraphy.config import USE_TENSORRT_RTX

    if rtx != USE_TENSORRT_RTX:
        raise Unrunnable("the other TensorRT is at work in this process already")


def _engine(plan: Path, flavour: str) -> Any:
    """Not by Polygraphy's engine_from_bytes, which allows a plan to bring native code along and runs it."""
    from polygraphy.backend.trt import get_trt_logger  # pyright: ignore[reportAttributeAccessIssue]

    trt, logger = importlib.import_module(flavour), get_trt_logger()
    trt.init_libnvinfer_plugins(logger, "")
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise Unrunnable("it was built, and this GPU does not load it (TensorRT's log says why)")
    return engine

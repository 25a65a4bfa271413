"""How far the narrow variants of a run may move the outputs, predicted from the float32 network alone."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` for a file of this folder)
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fcnship.graph.cost import cost_of
from fcnship.runners import Runner, precision_of
from fcnship.session import Session
from fcnship.sizes import Size
from fcnship.stages.onnx import FILE as FP32_FILE
from fcnship.verify.bounds import Prediction
from fcnship.verify.int8_noise import TYPICAL_IMAGES, Int8Noise
from fcnship.verify.steps import StepNoise

Images = Callable[[Size, int], np.ndarray[Any, Any]]


def predictions(session: Session, candidates: Sequence[Runner], images: Images) -> dict[str, Prediction]:
    """By precision, for those that some candidate has."""
    wanted = {precision_of(candidate.variant) for candidate in candidates} & {"fp16", "int8"}
    if not wanted:
        return {}
    import onnx

    network, layout = session.facts.network, session.options.layout
    model = onnx.load(session.workspace.path(FP32_FILE))
    found: dict[str, Prediction] = {}

    def multiply_adds(size: Size) -> int:
        return cost_of(network, size).multiply_adds

    if "fp16" in wanted:
        found["fp16"] = StepNoise(model, layout, multiply_adds)
    record = session.workspace.records().get("int8")
    if "int8" in wanted and record is not None and record.status == "done":
        ranges = {name: (low, high) for name, (low, high) in record.facts["ranges"].items()}
        keep = [row["layer"] for row in record.facts["kept"]]
        typical = images(session.profiles[0].opt, TYPICAL_IMAGES)
        found["int8"] = Int8Noise(model, ranges, keep, layout, multiply_adds, typical)
    return found


def told(predicted: Mapping[str, Prediction]) -> str:
    """How the tolerance of narrow variants comes about, to end a sentence; empty where there are none."""
    names = " and ".join(name.upper() for name in sorted(predicted))
    how = "a multiple of how far the float32 network moves with rounding steps of that size"
    return f"; for {names} {how}" if names else ""

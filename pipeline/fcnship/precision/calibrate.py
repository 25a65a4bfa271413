"""Calibration as a build does it: draw the images, check them, find the ranges, and see how far they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcnship.options import Layout
from fcnship.precision.audit import Audit, TensorAudit, check_images
from fcnship.precision.calibration import CalibrationRecipe
from fcnship.precision.coverage import group_of
from fcnship.precision.drawing import CalibrationImage, CalibrationSet
from fcnship.precision.ranges import Calibrator, Ranges
from fcnship.sizes import Size

if TYPE_CHECKING:
    from onnx import ModelProto

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The ranges, (low, high) by tensor, and the audit of how they were found."""

    ranges: Ranges
    audit: Audit


def calibrate(
    model: ModelProto | Path,
    recipe: CalibrationRecipe,
    drawn: CalibrationSet,
    value_range: tuple[float, float],
    *,
    layout: Layout = "nchw",
    progress: Progress = lambda done, total, text: None,
) -> Calibrated:
    """Ranges for INT8 on the images of ``drawn`` (see ``drawing.draw``), and the audit.

    Raises:
        DataRefused: the images are not what the recipe asks for (``audit.check_images``), or not finite.
        ModelRefused: the network cannot be run on them.
    """
    check_images(drawn, recipe.images)
    calibrator = Calibrator(model, recipe.method, layout=layout)
    images = [*drawn.images] * calibrator.passes
    total = len(images) + len(drawn.held_out)
    for done, image in enumerate(images):
        progress(done, total, f"calibrating at {image.size}")
        calibrator.collect(_fed(image, drawn, value_range), str(group_of(drawn.profiles, image.size)))
        if (done + 1) % len(drawn.images) == 0:
            calibrator.end_pass()
    ranges = calibrator.ranges()
    saturated = {name: _Saturation() for name in ranges}
    for done, image in enumerate(drawn.held_out, start=len(images)):
        progress(done, total, f"held out, at {image.size}")
        for name, values in calibrator.activations.of(_fed(image, drawn, value_range)):
            saturated[name].count(values, ranges[name][1], image.size)
    progress(total, total, "calibrated")
    return Calibrated(
        ranges=ranges,
        audit=Audit(recipe=recipe, drawn=drawn, tensors=_tensors(calibrator, saturated, drawn)),
    )


def _fed(image: CalibrationImage, drawn: CalibrationSet, value_range: tuple[float, float]) -> Array:
    return image.fed(drawn.data.value_range, value_range)


@dataclass
class _Saturation:
    """The shares of a tensor's values beyond its range, one an image."""

    total: float = 0.0
    images: int = 0
    worst: float = -1.0
    worst_size: Size = field(default_factory=lambda: Size(0, 0))

    def count(self, values: Array, high: float, size: Size) -> None:
        share = float(np.count_nonzero(np.abs(values) > high) / values.size)
        self.total += share
        self.images += 1
        if share > self.worst:
            self.worst, self.worst_size = share, size


def _tensors(
    calibrator: Calibrator, saturated: Mapping[str, _Saturation], drawn: CalibrationSet
) -> list[TensorAudit]:
    """One entry for each tensor, with its range if each size group in turn is left out."""
    groups = list(dict.fromkeys(str(group_of(drawn.profiles, image.size)) for image in drawn.images))
    without = {group: calibrator.highs(without=group) for group in groups} if len(groups) > 1 else {}
    largest = calibrator.largest()
    return [
        TensorAudit(
            tensor=name,
            high=high,
            largest=largest[name],
            saturated=saturated[name].total / saturated[name].images,
            worst=saturated[name].worst,
            worst_size=saturated[name].worst_size,
            without={group: highs[name] for group, highs in without.items() if largest[name]},
        )
        for name, (_, high) in calibrator.ranges().items()
    ]

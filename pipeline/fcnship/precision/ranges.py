"""The ranges of a network's activations: image by image, each at its own size, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcnship.errors import DataRefused, ModelRefused, UsageError
from fcnship.options import Layout
from fcnship.precision.activations import Activations
from fcnship.precision.histograms import Spread
from fcnship.precision.methods import Method

if TYPE_CHECKING:
    from onnx import ModelProto

Array = np.ndarray[Any, Any]
Ranges = dict[str, tuple[float, float]]
DEAD_RANGE = 1.0


class Calibrator:
    """Ranges of each tensor that INT8 needs (``int8.calibrated_tensors``); no activation is kept.

    The images are read once for each tensor's largest value and, but for ``minmax``, a second time for a
    histogram over exactly that range. Two passes cost time; a histogram that grew with the data would lose
    resolution whenever it merges bins, and its ranges would hang on the order of the images. Every image
    weighs the same: its counts are scaled up to those of the largest. Memory is bins x tensors x groups,
    however many images there are. A ``group`` is a name for some of the images (those of like size), to ask
    later what the ranges would be without them.

        calibrator = Calibrator(model, Method(name="mse"))
        for _ in range(calibrator.passes):
            for image in images:
                calibrator.collect(image)
            calibrator.end_pass()
        ranges = calibrator.ranges()
    """

    def __init__(
        self,
        model: ModelProto | Path,
        method: Method,
        *,
        layout: Layout = "nchw",
        tensors: Iterable[str] | None = None,
    ) -> None:
        self.method = method
        self.activations = Activations(model, layout=layout, tensors=tensors)
        self._tensors = {name: Spread() for name in self.activations.tensors}
        self._counts: list[int] = [0]

    @property
    def passes(self) -> int:
        """How often the images are read."""
        return 2 if self.method.needs_histogram else 1

    def collect(self, image: Array, group: str = "") -> None:
        """Take in one image (1, height, width, channels) in the range that the network expects.

        Raises:
            DataRefused: it has NaN or infinity, or is not one image.
            ModelRefused: it makes the network overflow.
            UsageError: the passes are over, or this one has other images than the last.
        """
        if len(self._counts) > self.passes:
            raise UsageError(f"calibration by {self.method} reads its images {self.passes} times, not more")
        check_image(image, self._counts[-1])
        first = len(self._counts) == 1
        for name, values in self.activations.of(image):
            if first:
                _check_activations(name, values, self._counts[-1])
                self._tensors[name].widen(values, group)
            else:
                self._tensors[name].count(values, group, self.method)
        self._counts[-1] += 1

    def end_pass(self) -> None:
        """All images have been read once (more).

        Raises:
            DataRefused: there were none, or not as many as in the first pass.
        """
        if not self._counts[-1]:
            raise DataRefused(
                "there are no calibration images",
                cause="the data set has none to spare, or the recipe's images were all left out",
                next="give a data set with training images: --data PATH.npz",
            )
        if self._counts[-1] != self._counts[0]:
            raise DataRefused(
                f"the first pass read {self._counts[0]} calibration images, the second {self._counts[-1]}",
                cause="they were read from an iterator, which is used up after one pass",
                next="give a sequence, or anything that can be iterated over again",
            )
        self._counts.append(0)

    def highs(self, without: str | None = None) -> dict[str, float]:
        """Where each tensor's range ends on both sides, 0 for a tensor that is zero on every image.

        ``without`` leaves the images of one group out.
        """
        if len(self._counts) <= self.passes:
            raise UsageError(f"calibration by {self.method} needs {self.passes} passes over its images")
        return {name: tensor.threshold(self.method, without) for name, tensor in self._tensors.items()}

    def ranges(self) -> Ranges:
        """Symmetric (low, high) by tensor. For one that is always zero -1 to 1: INT8 has no scale of 0."""
        return {name: (-(high or DEAD_RANGE), high or DEAD_RANGE) for name, high in self.highs().items()}

    def largest(self) -> dict[str, float]:
        """The largest absolute value of each tensor on all images."""
        return {name: tensor.largest for name, tensor in self._tensors.items()}


def check_image(image: Array, number: int) -> None:
    """One finite image (1, height, width, channels).

    Raises:
        DataRefused: it is not.
    """
    if image.ndim != 4 or image.shape[0] != 1 or 0 in image.shape:
        raise DataRefused(
            f"calibration image {number} has the shape {image.shape}, not (1, height, width, channels)",
            cause="calibration takes one image at a time, each at its own size",
            next="pass image[None], without a batch",
        )
    if not np.isfinite(image).all():
        raise DataRefused(
            f"calibration image {number}, {image.shape[1]}x{image.shape[2]}, has NaN or infinity",
            cause="a division by zero or an overflow when the images were prepared",
            next="make the images again and check them with numpy.isfinite",
        )


def _check_activations(name: str, values: Array, number: int) -> None:
    if not np.isfinite(values).all():
        raise ModelRefused(
            f"the tensor {name} has NaN or infinity on calibration image {number}",
            cause="the network overflows, or the images are not in the range that it expects",
            next="state the range of its pixels, like --value-range 0,255, or train it again",
        )

"""At one size the calibrator agrees with ONNX Runtime's own; at many sizes, theirs give up."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from calibration_nets import TENSORS, random_images, small_net
from onnxruntime.quantization.calibrate import (
    CalibraterBase,
    CalibrationDataReader,
    EntropyCalibrater,
    MinMaxCalibrater,
    PercentileCalibrater,
)

from fcnship.precision.methods import BINS, Method
from fcnship.precision.ranges import Calibrator

Array = np.ndarray[Any, Any]
# Each calibrater of theirs, the same method of ours, and by how many of their bins a range may differ: the
# entropy of neighbouring thresholds can be the same but for the last bits, and theirs are of float32.
SAME: dict[str, tuple[type[CalibraterBase], dict[str, Any], Method, float]] = {
    "minmax": (MinMaxCalibrater, {}, Method(), 0.001),
    "percentile 99": (
        PercentileCalibrater,
        {"num_bins": BINS, "percentile": 99.0},
        Method(name="percentile", percentile=99.0),
        1.001,
    ),
    "percentile 99.99": (
        PercentileCalibrater,
        {"num_bins": BINS, "percentile": 99.99},
        Method(name="percentile", percentile=99.99),
        1.001,
    ),
    "entropy": (
        EntropyCalibrater,
        {"num_bins": BINS, "num_quantized_bins": 128},
        Method(name="entropy"),
        1.001,
    ),
}


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Images for theirs, which takes batches of one."""

    def __init__(self, images: list[Array]) -> None:
        self.left = iter(images)

    def get_next(self) -> dict[str, Array] | None:
        image = next(self.left, None)
        return None if image is None else {"image": np.ascontiguousarray(image.transpose(0, 3, 1, 2))}


def theirs(kind: type[CalibraterBase], images: list[Array], folder: Path, **options: Any) -> dict[str, float]:
    """The largest absolute value of each range that ONNX Runtime's calibrater finds."""
    onnx.save(small_net(), folder / "net.onnx")
    with contextlib.redirect_stdout(io.StringIO()):
        calibrater = kind(
            folder / "net.onnx",
            augmented_model_path=str(folder / "wide.onnx"),
            symmetric=True,
            **options,
        )
        calibrater.augment_graph()
        calibrater.create_inference_session()
        calibrater.collect_data(Reader(images))
        found = calibrater.compute_data()
    return {name: float(np.abs(found[name].range_value).max()) for name in TENSORS}


def ours(method: Method, images: list[Array]) -> Calibrator:
    calibrator = Calibrator(small_net(), method)
    for _ in range(calibrator.passes):
        for image in images:
            calibrator.collect(image)
        calibrator.end_pass()
    return calibrator


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", SAME)
def test_at_one_size_it_agrees_with_onnx_runtime(name: str, seed: int, tmp_path: Path) -> None:
    kind, options, method, bins = SAME[name]
    images = random_images([(24, 20)] * 12, seed)
    expected = theirs(kind, images, tmp_path, **options)
    found = ours(method, images)
    signed_bins = 2 if method.signed else 1  # theirs reach from -largest to largest
    for tensor, high in found.highs().items():
        bin_width = signed_bins * found.largest()[tensor] / BINS
        assert abs(high - expected[tensor]) <= bins * bin_width, tensor


@pytest.mark.parametrize("name", [name for name in SAME if name != "minmax"])
def test_at_many_sizes_theirs_raises_and_ours_does_not(name: str, tmp_path: Path) -> None:
    kind, options, method, _ = SAME[name]
    images = random_images([(24, 20), (16, 16), (32, 9)])
    with pytest.raises(ValueError, match="inhomogeneous shape"):
        theirs(kind, images, tmp_path, **options)
    assert all(high > 0 for high in ours(method, images).highs().values())


def test_at_many_sizes_minmax_is_the_one_that_works_in_both(tmp_path: Path) -> None:
    images = random_images([(24, 20), (16, 16), (32, 9)])
    expected = theirs(MinMaxCalibrater, images, tmp_path)
    assert ours(Method(), images).highs() == pytest.approx(expected, rel=1e-6)

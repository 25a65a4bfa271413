"""What is wrong with a layer's weights is told by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcnship.verify.attribution.weight_faults import weight_fault

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(6, 4, 3, 3)).astype(np.float32)
MATRIX = RNG.normal(size=(5, 8)).astype(np.float32)
BIAS = RNG.normal(size=7).astype(np.float32)
CLOSE = 1e-5


def one_wrong() -> Any:
    wrong = KERNEL.copy()
    wrong[2, 0, 0, 0] += 1
    return wrong


FAULTS: dict[str, tuple[Any, Any, str]] = {
    "transposed": (
        KERNEL.swapaxes(2, 3),
        KERNEL,
        "its kernel is transposed: rows and columns are swapped",
    ),
    "mirrored": (KERNEL[:, :, ::-1, ::-1], KERNEL, "its kernel is mirrored: rows and columns are reversed"),
    "rows": (KERNEL[:, :, ::-1], KERNEL, "its kernel is upside down: its rows are reversed"),
    "BGR": (KERNEL[:, ::-1], KERNEL, "its kernel is in the reverse order of input channels"),
    "twice": (2 * KERNEL, KERNEL, "its kernel is 2 times the reference's"),
    "negative": (-KERNEL, KERNEL, "its kernel is -1 times the reference's"),
    "zero": (0 * BIAS, BIAS, "its bias is zero"),
    "filters": (KERNEL[[1, 0, 2, 3, 5, 4]], KERNEL, "its kernel has its filters in another order"),
    "channels": (
        MATRIX[:, [1, 0, 2, 3, 5, 4, 6, 7]],
        MATRIX,
        "its kernel has its input channels in another order",
    ),
    "shape": (MATRIX, MATRIX.T, "its kernel has the shape 5x8, the reference's 8x5"),
    "NaN": (BIAS * np.nan, BIAS, "7 of its 7 bias weights are NaN or infinite"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_a_name(name: str) -> None:
    actual, expected, told = FAULTS[name]
    what = "bias" if expected is BIAS else "kernel"
    assert weight_fault(what, actual, expected, CLOSE) == told


def test_rounding_is_no_fault_and_one_weight_is() -> None:
    assert weight_fault("kernel", KERNEL * (1 + 1e-7), KERNEL, CLOSE) == ""
    assert weight_fault("kernel", KERNEL.astype(np.float16), KERNEL, 2.0**-9) == ""
    told = weight_fault("kernel", one_wrong(), KERNEL, CLOSE)
    assert told.startswith("1 of its 216 kernel weights differ from the reference's, by up to 0.")
    assert told.endswith("of the largest, all in filter 2")


def test_a_fault_in_a_filter_of_small_weights_is_seen_beside_large_ones() -> None:
    expected = KERNEL * np.array([100, 1, 1, 1, 1, 1], np.float32)[:, None, None, None]
    actual = expected.copy()
    actual[3] *= 1.001
    assert "all in filter 3" in weight_fault("kernel", actual, expected, CLOSE)

"""Numeric agreement: what counts as agreeing, and what never does."""

from __future__ import annotations

import numpy as np
import pytest

from fcnship.verify.parity import compare, parity_row

INF, NAN = float("inf"), float("nan")
EXPECTED = np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]], np.float32)


def changed(*changes: tuple[tuple[int, ...], float]) -> np.ndarray:
    outputs = EXPECTED.copy()
    for place, value in changes:
        outputs[place] = value
    return outputs


def test_the_same_outputs_agree() -> None:
    assert compare(EXPECTED, EXPECTED.copy(), 1e-6) == {
        "max_abs": 0.0,
        "mean_abs": 0.0,
        "cosine": pytest.approx(1.0),
        "argmax_flips": 0,
        "flip_margin_max": 0.0,
        "tolerance": 1e-6,
        "passed": True,
        "fault": "",
    }


def test_an_error_is_counted_and_held_against_the_tolerance() -> None:
    outputs = changed(((0, 2), 0.7 + 2**-8))
    found = compare(outputs, EXPECTED, 2**-7)
    assert found["max_abs"] == pytest.approx(2**-8, rel=1e-4)
    assert found["mean_abs"] == pytest.approx(2**-8 / 6, rel=1e-4)
    assert (found["argmax_flips"], found["passed"]) == (0, True)
    assert compare(outputs, EXPECTED, found["max_abs"])["passed"]
    assert not compare(outputs, EXPECTED, 2**-9)["passed"]


def test_changed_decisions_are_counted_over_images_and_cells() -> None:
    assert compare(changed(((0, 0), 0.9), ((1, 2), 0.9)), EXPECTED, 1.0)["argmax_flips"] == 2
    maps = np.zeros((2, 3, 4, 5), np.float32)
    maps[..., 1] = 1
    other = maps.copy()
    other[1, 2, 3] = [0, 0, 0, 0, 2]
    found = compare(other, maps, 9.0)
    assert (found["argmax_flips"], found["max_abs"], found["passed"]) == (1, 2.0, True)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("tolerance", [1e-6, INF, NAN])
def test_what_is_no_number_never_agrees(bad: float, tolerance: float) -> None:
    with_bad = changed(((1, 1), bad))
    for outputs, expected in ((with_bad, EXPECTED), (EXPECTED, with_bad), (with_bad, with_bad.copy())):
        found = compare(outputs, expected, tolerance)
        assert (found["max_abs"], found["mean_abs"], found["passed"]) == (INF, INF, False)
        assert np.isfinite(found["cosine"])


@pytest.mark.parametrize(
    "outputs", [EXPECTED[:1], EXPECTED[:, :2], EXPECTED.T, EXPECTED[:, None, None].repeat(2, 1)], ids=np.shape
)
def test_another_shape_never_agrees(outputs: np.ndarray) -> None:
    found = compare(outputs, EXPECTED, INF)
    assert (found["max_abs"], found["cosine"], found["argmax_flips"], found["passed"]) == (INF, 0.0, 2, False)


def test_a_map_of_one_cell_is_a_vector() -> None:
    assert compare(EXPECTED[:, None, None], EXPECTED, 0.0)["passed"]


def test_large_and_empty_outputs_have_a_cosine_too() -> None:
    large = EXPECTED * np.float32(1e30)  # its squares overflow float32
    assert compare(large, large.copy(), 0.0)["cosine"] == pytest.approx(1.0)
    assert compare(-large, large, 0.0)["cosine"] == pytest.approx(-1.0)
    assert compare(0 * large, large, 0.0)["cosine"] == 0.0


def test_a_constant_output_never_agrees_with_one_that_is_not() -> None:
    constant = np.full_like(EXPECTED, 0.3)
    assert compare(constant, EXPECTED, 9.0)["fault"] == "the output is the same for different images"
    assert compare(constant, constant.copy(), 1e-6)["passed"]
    assert compare(constant[:1], EXPECTED[:1], 9.0)["passed"]  # one image shows nothing


def test_a_decision_that_was_clear_may_not_change_however_wide_the_tolerance() -> None:
    near = np.array([[0.50, 0.49, 0.01], [0.9, 0.05, 0.05]], np.float32)
    flipped = near + np.array([[-0.008, 0.008, 0], [0, 0, 0]], np.float32)
    found = compare(flipped, near, 0.02)
    assert (found["argmax_flips"], found["passed"]) == (1, True)
    assert found["flip_margin_max"] == pytest.approx(0.01, rel=1e-4)
    found = compare(flipped, near, 0.009)
    assert (found["max_abs"] <= 0.009, found["passed"]) == (True, False)
    assert found["fault"] == "a decision changed that the original made with a margin of 0.01"


def test_a_row_says_what_was_compared_with_what() -> None:
    images = np.zeros((2, 9, 11, 1), np.float32)
    row = parity_row("onnx-fp32", "keras", images, changed(((0, 0), 0.1 + 5e-6)), EXPECTED, 1e-5, 1e-6)
    told = ("variant", "reference", "height", "width", "batch", "tolerance", "noise_floor", "passed")
    assert [row[key] for key in told] == ["onnx-fp32", "keras", 9, 11, 2, 1e-5, 1e-6, True]
    assert row["floors"] == pytest.approx(5, rel=0.01)
    assert parity_row("onnx-fp32", "keras", images, EXPECTED, EXPECTED, 1e-5, None)["floors"] is None


def test_a_variant_that_gave_nothing_fails_with_the_reason() -> None:
    images = np.zeros((2, 9, 11, 1), np.float32)
    row = parity_row("onnx-fp32", "keras", images, "it does not run: Boom", EXPECTED, 1e-5, 1e-6)
    assert (row["max_abs"], row["argmax_flips"], row["passed"]) == (INF, 2, False)
    assert row["fault"] == "it does not run: Boom"

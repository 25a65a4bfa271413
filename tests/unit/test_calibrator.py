"""The calibrator: images of many sizes, one weight each, constant memory, and what it refuses."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from calibration_nets import TENSORS, random_images, small_net, values_of
from onnx import helper

from fcnship.errors import DataRefused, FcnshipError, ModelRefused, UsageError
from fcnship.precision.activations import Activations
from fcnship.precision.int8 import calibrated_tensors
from fcnship.precision.methods import LEVELS, METHODS, Method, MethodName
from fcnship.precision.ranges import Calibrator

Array = np.ndarray[Any, Any]
MIXED = [(8, 8), (40, 30), (9, 14), (48, 48), (16, 16)]


def calibrated(
    images: Iterable[Array], method: Method, model: onnx.ModelProto | Path | None = None
) -> Calibrator:
    images = list(images)
    calibrator = Calibrator(model or small_net(), method)
    for _ in range(calibrator.passes):
        for image in images:
            calibrator.collect(image)
        calibrator.end_pass()
    return calibrator


def shares(images: list[Array], tensor: str) -> tuple[Array, Array]:
    """All absolute values of a tensor in order, and the weight of each: images weigh the same."""
    parts = [np.abs(values_of(small_net(), image)[tensor]).ravel() for image in images]
    weights = np.concatenate([np.full(part.size, 1 / part.size / len(parts)) for part in parts])
    values = np.concatenate(parts)
    order = np.argsort(values)
    return values[order].astype(np.float64), weights[order]


def test_the_tensors_are_those_that_the_quantizer_asks_for() -> None:
    assert calibrated_tensors(small_net()) == TENSORS
    assert list(calibrated(random_images(MIXED), Method()).ranges()) == TENSORS


@pytest.mark.parametrize("name", METHODS)
def test_images_of_many_sizes_give_symmetric_ranges(name: MethodName) -> None:
    images = random_images(MIXED)
    ranges = calibrated(images, Method(name=name)).ranges()
    for tensor in TENSORS:
        values, _ = shares(images, tensor)
        low, high = ranges[tensor]
        assert low == -high
        assert 0 < high <= values[-1] * (1 + 1e-6)


def test_minmax_is_the_largest_value_of_all() -> None:
    images = random_images(MIXED)
    ranges = calibrated(images, Method()).ranges()
    for tensor in TENSORS:
        assert ranges[tensor][1] == pytest.approx(shares(images, tensor)[0][-1], rel=1e-6)


@pytest.mark.parametrize("percentile", [60, 90, 99, 99.9])
def test_a_percentile_counts_every_image_the_same(percentile: float) -> None:
    images = random_images(MIXED)
    ranges = calibrated(images, Method(name="percentile", percentile=percentile)).ranges()
    for tensor in TENSORS[:2]:
        values, weights = shares(images, tensor)
        wanted = values[np.searchsorted(np.cumsum(weights), percentile / 100)]
        assert ranges[tensor][1] == pytest.approx(wanted, abs=values[-1] / 2048 * 1.01)


def test_a_large_image_weighs_no_more_than_a_small_one() -> None:
    bright, dim = np.full((1, 8, 8, 1), 4.0, np.float32), np.full((1, 80, 80, 1), 1.0, np.float32)
    method = Method(name="percentile", percentile=75)
    calibrator = calibrated([bright, dim], method)
    # A hundred times as many pixels are dim; by images, half of them are bright.
    assert calibrator.ranges()["image"][1] == pytest.approx(4.0, abs=4 / 2048 * 1.01)


@pytest.mark.parametrize("tensor", TENSORS)
def test_mse_finds_what_a_search_over_all_values_finds(tensor: str) -> None:
    images = random_images(MIXED)
    found = calibrated(images, Method(name="mse")).ranges()[tensor][1]
    values, weights = shares(images, tensor)

    def error(threshold: float) -> float:
        scale = threshold / LEVELS
        rounded = np.clip(np.rint(values / scale), -LEVELS, LEVELS) * scale
        return float(weights @ (values - rounded) ** 2)

    candidates = values[-1] * np.linspace(0.1, 1, 300)
    assert error(found) <= min(map(error, candidates)) * 1.02
    assert found < values[-1] or tensor != "first/Relu:0"  # the others have too few values for a tail


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_images_does_not_matter(name: MethodName) -> None:
    images = random_images(MIXED)
    one = calibrated(images, Method(name=name)).ranges()
    other = calibrated(images[::-1], Method(name=name)).ranges()
    assert one == other


@pytest.mark.parametrize("name", METHODS)
def test_without_a_group_the_ranges_are_those_of_the_others(name: MethodName) -> None:
    images = random_images([(16, 16)] * 6)
    images[5] *= 3
    method = Method(name=name)
    calibrator = Calibrator(small_net(), method)
    for _ in range(calibrator.passes):
        for place, image in enumerate(images):
            calibrator.collect(image, group="bright" if place == 5 else "dim")
        calibrator.end_pass()
    # Bins reach to the largest value of all, so that those of the brightest image alone are the same.
    assert calibrator.highs(without="dim") == calibrated(images[5:], method).highs()
    for tensor, high in calibrator.highs(without="bright").items():
        assert 0 < high < calibrator.highs()[tensor]


def test_memory_does_not_grow_with_the_images() -> None:
    images = random_images([(32, 32), (48, 48)])
    calibrated(images, Method(name="mse"))  # what libraries keep for good is kept now

    def peak(rounds: int) -> int:
        tracemalloc.start()
        calibrated(images * rounds, Method(name="mse"))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(30) < peak(2) + 20_000  # of which one more image's activations would take 50,000


def test_a_large_network_is_read_in_parts() -> None:
    images = random_images(MIXED)
    whole = Activations(small_net())
    parts = Activations(small_net(), most_bytes=20_000)
    for image in images:
        expected = dict(whole.of(image))
        found = dict(parts.of(image))
        assert list(found) == list(expected) == TENSORS
        for tensor in TENSORS:
            np.testing.assert_array_equal(found[tensor], expected[tensor])
    assert (whole.parts, parts.parts) == (1, 2)


def test_a_channels_last_file_is_calibrated_on_the_same_values() -> None:
    net, last = small_net(channels=3), small_net(channels=3)
    last.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", "height", "width", 3])
    )
    last.graph.node.insert(0, helper.make_node("Transpose", ["image"], ["first"], "turn", perm=[0, 3, 1, 2]))
    last.graph.node[1].input[0] = "first"
    expected, found = Calibrator(net, Method()), Calibrator(last, Method(), layout="nhwc")
    for calibrator in (expected, found):
        for image in random_images(MIXED, channels=3):
            calibrator.collect(image)
        calibrator.end_pass()
    assert list(found.ranges().values()) == list(expected.ranges().values())


def test_a_file_is_opened_by_its_path(tmp_path: Path) -> None:
    onnx.save(small_net(), tmp_path / "net.onnx")
    images = random_images(MIXED)
    assert (
        calibrated(images, Method(), tmp_path / "net.onnx").ranges() == calibrated(images, Method()).ranges()
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_tensor_that_is_always_zero_still_gets_a_scale(name: MethodName) -> None:
    dead = small_net(bias=-1e6)
    calibrator = calibrated(random_images(MIXED), Method(name=name), dead)
    assert calibrator.highs()["first/Relu:0"] == 0
    assert calibrator.ranges()["first/Relu:0"] == (-1.0, 1.0)


@pytest.mark.parametrize("name", METHODS)
def test_a_tensor_of_zeros_but_for_one_value_still_gets_a_scale(name: MethodName) -> None:
    image = np.zeros((1, 64, 64, 1), np.float32)
    image[0, 5, 5, 0] = 3
    low, high = calibrated([image], Method(name=name)).ranges()["image"]
    assert low == -high
    assert 0 < high <= 3


# What it refuses


def refused(kind: type[FcnshipError], calibrator: Calibrator, *images: Array, end: bool = False) -> str:
    with pytest.raises(kind) as caught:
        for image in images:
            calibrator.collect(image)
        if end:
            calibrator.end_pass()
    return str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_named(value: float) -> None:
    images = random_images(MIXED)
    images[1][0, 3, 3, 0] = value
    assert refused(DataRefused, Calibrator(small_net(), Method()), *images) == (
        "calibration image 1, 40x30, has NaN or infinity\n"
        "  cause: a division by zero or an overflow when the images were prepared\n"
        "  next:  make the images again and check them with numpy.isfinite"
    )


def test_a_batch_is_refused() -> None:
    image = np.zeros((2, 8, 8, 1), np.float32)
    assert refused(DataRefused, Calibrator(small_net(), Method()), image) == (
        "calibration image 0 has the shape (2, 8, 8, 1), not (1, height, width, channels)\n"
        "  cause: calibration takes one image at a time, each at its own size\n"
        "  next:  pass image[None], without a batch"
    )


def test_a_network_that_overflows_is_refused() -> None:
    calibrator = Calibrator(small_net(scale=1e30), Method())
    image = np.full((1, 8, 8, 1), 1e30, np.float32)
    assert refused(ModelRefused, calibrator, image) == (
        "the tensor first/Relu:0 has NaN or infinity on calibration image 0\n"
        "  cause: the network overflows, or the images are not in the range that it expects\n"
        "  next:  state the range of its pixels, like --value-range 0,255, or train it again"
    )


def test_no_images_at_all_are_refused() -> None:
    assert refused(DataRefused, Calibrator(small_net(), Method()), end=True) == (
        "there are no calibration images\n"
        "  cause: the data set has none to spare, or the recipe's images were all left out\n"
        "  next:  give a data set with training images: --data PATH.npz"
    )


def test_a_second_pass_with_other_images_is_refused() -> None:
    calibrator = Calibrator(small_net(), Method(name="mse"))
    images = random_images(MIXED)
    for image in images:
        calibrator.collect(image)
    calibrator.end_pass()
    assert refused(DataRefused, calibrator, *images[:2], end=True) == (
        "the first pass read 5 calibration images, the second 2\n"
        "  cause: they were read from an iterator, which is used up after one pass\n"
        "  next:  give a sequence, or anything that can be iterated over again"
    )


def test_passes_are_neither_left_out_nor_added() -> None:
    calibrator = Calibrator(small_net(), Method(name="mse"))
    image = random_images([(8, 8)])[0]
    calibrator.collect(image)
    calibrator.end_pass()
    with pytest.raises(UsageError, match="needs 2 passes"):
        calibrator.ranges()
    calibrator.collect(image)
    calibrator.end_pass()
    assert refused(UsageError, calibrator, image) == "calibration by mse reads its images 2 times, not more"


def test_a_network_with_two_inputs_is_refused() -> None:
    net = small_net()
    net.graph.input.append(helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, [1]))
    with pytest.raises(ModelRefused, match="the network has 2 inputs: image, other"):
        Calibrator(net, Method())

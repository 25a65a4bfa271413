"""What INT8's steps may do to the outputs: an honest file stays within it, loud faults do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from int8_models import answers, balanced, constants, network, node_named, ranges_of, store
from onnx import numpy_helper

from fcnship.precision.int8 import quantized
from fcnship.sizes import Size
from fcnship.verify.bounds import step_ratio, tolerance_of
from fcnship.verify.image_batches import ImageBatches
from fcnship.verify.int8_noise import DRAWS, Int8Noise, moved

PICTURES = np.random.default_rng(0).uniform(0, 1, (50, 4, 4, 1)).astype(np.float32)
IMAGES = ImageBatches(channels=1, value_range=(0.0, 1.0), pictures=PICTURES)
CASES = [(Size(h, w), batch) for h, w in ((12, 12), (16, 31), (24, 24), (57, 40)) for batch in (1, 3, 8)]


def nchw(images: Any) -> Any:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


ORIGINAL = balanced(network(), nchw(IMAGES(Size(24, 24), 32)))
RANGES = ranges_of(ORIGINAL)
NOISE = Int8Noise(ORIGINAL, RANGES, (), "nchw", lambda size: 1, IMAGES(Size(24, 24), 32))


def shares(model: onnx.ModelProto) -> list[float]:
    """The largest error over the tolerance, case by case."""
    found = []
    for size, batch in CASES:
        images = IMAGES(size, batch)
        exact = answers(ORIGINAL, nchw(images))
        allowed = tolerance_of("onnx-int8", 1e-7, NOISE.at(size, images, exact))
        found.append(float(np.abs(answers(model, nchw(images)) - exact).max() / allowed))
    return found


def test_an_honest_file_is_within_it_at_every_size() -> None:
    found = shares(quantized(ORIGINAL, RANGES))
    assert 0.01 < max(found) < 1, found


def widened_with_another_scale(model: onnx.ModelProto) -> None:
    name = "conv2d/Relu:0/scale"
    four = np.asarray(constants(model)[name] * np.float32(8))
    model.graph.initializer.append(numpy_helper.from_array(four, "eight"))
    node_named(model, "conv2d_1/BiasAdd/DQ").input[1] = "eight"


def zero_point_on_one_side(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(60, np.int8), "sixty"))
    node_named(model, "shared/BiasAdd/DQ").input[2] = "sixty"


def clipped_to_a_tenth(model: onnx.ModelProto) -> None:
    store(model, "net/truediv:0/scale", constants(model)["net/truediv:0/scale"] / np.float32(10))


def weights_of_another_layer(model: onnx.ModelProto) -> None:
    store(model, "conv2d_1/kernel/int8", constants(model)["shared/kernel/int8"])


def layer_left_out(model: onnx.ModelProto) -> None:
    node_named(model, "early/Mean").input[0] = "conv2d/Relu:0"


@pytest.mark.parametrize(
    "fault",
    [
        widened_with_another_scale,
        zero_point_on_one_side,
        clipped_to_a_tenth,
        weights_of_another_layer,
        layer_left_out,
    ],
    ids=lambda fault: fault.__name__,
)
def test_loud_faults_are_beyond_it(fault: Any) -> None:
    made = quantized(ORIGINAL, RANGES)
    fault(made)
    assert max(shares(made)) > 1


def test_a_wrong_scale_in_the_file_does_not_excuse_itself() -> None:
    """The prediction is made of what calibration found: it is the same whatever the file says."""
    images = IMAGES(Size(24, 24), 3)
    exact = answers(ORIGINAL, nchw(images))
    again = Int8Noise(ORIGINAL, RANGES, (), "nchw", lambda size: 1, IMAGES(Size(24, 24), 32))
    assert again.at(Size(24, 24), images, exact) == NOISE.at(Size(24, 24), images, exact)


def test_wider_ranges_predict_more() -> None:
    wide = {name: (16 * low, 16 * high) for name, (low, high) in RANGES.items()}
    images = IMAGES(Size(24, 24), 8)
    exact = answers(ORIGINAL, nchw(images))
    more = Int8Noise(ORIGINAL, wide, (), "nchw", lambda size: 1, images)
    assert more.at(Size(24, 24), images, exact) > 2 * NOISE.at(Size(24, 24), images, exact)


def test_layers_that_are_kept_are_not_moved() -> None:
    layers = ["conv2d", "conv2d_1", "depthwise", "shared", "dense"]
    still = Int8Noise(ORIGINAL, RANGES, layers, "nchw", lambda size: 1, IMAGES(Size(24, 24), 2))
    images = IMAGES(Size(16, 16), 2)
    assert still.at(Size(16, 16), images, answers(ORIGINAL, nchw(images))) < 1e-6


def test_zero_stays_zero_and_no_shift_is_more_than_half_a_step() -> None:
    made = moved(ORIGINAL, RANGES)
    wanted = ["conv2d/Relu:0", "conv2d_1/BiasAdd/noise/moved"]
    made.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted
    )
    session: Any = onnxruntime.InferenceSession(made.SerializeToString())
    feed = {"image": nchw(IMAGES(Size(24, 24), 3)), "fcnship/draw": np.array(1.7, np.float32)}
    before, after = session.run(wanted, feed)
    step = RANGES["conv2d/Relu:0"][1] / 127
    assert (before == 0).any()
    assert not after[before == 0].any()
    inside = (before > 0) & (before < RANGES["conv2d/Relu:0"][1])
    assert 0.4 * step < np.abs(after - before)[inside].max() <= 0.51 * step


def test_expensive_batches_are_looked_at_in_part() -> None:
    runs: list[int] = []
    noise = Int8Noise(ORIGINAL, RANGES, (), "nchw", lambda size: 2 * 10**9, IMAGES(Size(24, 24), 1))
    session = noise._moved

    class Counting:
        def run(self, names: Any, feed: Any) -> Any:
            runs.append(len(feed["image"]))
            return session.run(names, feed)

    noise._moved = Counting()
    images = IMAGES(Size(16, 16), 8)
    noise.at(Size(16, 16), images, answers(ORIGINAL, nchw(images)))
    assert runs == [2] * DRAWS


def test_int8_without_a_prediction_keeps_the_ratio_of_steps() -> None:
    assert tolerance_of("onnx-int8", 1e-7, None) == pytest.approx(1e-7 * step_ratio("onnx-int8"))
    assert tolerance_of("engine-int8", 1e-7, 0.01) == pytest.approx(0.1)

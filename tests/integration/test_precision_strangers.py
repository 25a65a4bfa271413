"""What networks and data of strangers have shown: each test is the smallest that shows one fault again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from onnx import helper, numpy_helper

from fcnship import api
from fcnship.data.npz import Dataset
from fcnship.errors import AccuracyBelowFloor, DataRefused, ModelRefused, UsageError
from fcnship.options import Options, Precision
from fcnship.precision.calibration import CalibrationRecipe
from fcnship.precision.drawing import draw
from fcnship.precision.methods import Method
from fcnship.precision.places import check_known
from fcnship.precision.sensitivity import Choice, Loss, choose
from fcnship.session import Session
from fcnship.sizes import Profile, Size
from fcnship.stages.engine import Engine
from fcnship.verify.bounds import step_ratio, tolerance_of
from fcnship.verify.steps import StepNoise
from fcnship.verify.tolerance import Tolerance

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIZE = Size(8, 8)
IMAGES = np.random.default_rng(1).uniform(0, 1, (4, 8, 8, 1)).astype(np.float32)


def test_the_noise_of_a_network_with_an_adapted_normalization_is_that_of_rounding() -> None:
    """Its copy in float64 normalized by 0 and 1: the tolerance was 10, which no fault could exceed."""
    normalization = layers.Normalization()
    normalization.adapt(40 + 3 * IMAGES)
    image = keras.Input((None, None, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(normalization(image)))
    model = keras.Model(image, layers.Softmax()(x))
    images = 40 + 3 * IMAGES
    tolerance, floor = Tolerance(model).at(images, np.asarray(model(images)), 1)
    assert floor is not None
    assert tolerance < 1e-5


def graph(nodes: list[Any], values: Mapping[str, Any]) -> Any:
    """An ONNX graph from ``image`` to ``out``."""
    ends = [helper.make_tensor_value_info(name, 1, ["n", None, "h", "w"]) for name in ("image", "out")]
    stored = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in values.items()]
    made = helper.make_graph(nodes, "stranger", ends[:1], ends[1:], stored)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_numbers_near_the_end_of_float32_leave_the_prediction_open() -> None:
    """1e36 times the scramble is infinite, and its sine no number: 0 was predicted, and honest files fail."""
    model = graph(
        [
            helper.make_node("Mul", ["image", "large"], ["wide"], "a"),
            helper.make_node("Mul", ["wide", "small"], ["out"], "b"),
        ],
        {"large": 1e36, "small": 1e-36},
    )
    outputs = onnxruntime.InferenceSession(model.SerializeToString()).run(
        None, {"image": IMAGES.transpose(0, 3, 1, 2)}
    )
    noise = StepNoise(model, "nchw", lambda size: 1)
    predicted = noise.at(SIZE, IMAGES, np.asarray(outputs[0]).transpose(0, 2, 3, 1))
    assert predicted == np.inf
    assert tolerance_of("onnx-fp16", 1e-6, predicted) == 1e-6 * step_ratio("onnx-fp16")


def two_layers() -> Any:
    return graph(
        [
            helper.make_node("Conv", ["image", "a/kernel"], ["middle"], "a/Conv"),
            helper.make_node("Conv", ["middle", "b/kernel"], ["out"], "b/Conv"),
        ],
        {"a/kernel": np.ones((2, 1, 1, 1)), "b/kernel": np.ones((3, 2, 1, 1))},
    )


def chosen(points: Mapping[str, float], errors: Mapping[str, float], budget: float) -> Choice:
    """The choice where the layers that are in INT8 lose so many points, and move the outputs so much."""

    def loss(model: onnx.ModelProto) -> Loss:
        narrow = {node.name[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
        return Loss(
            points={SIZE: max(points[name] for name in narrow)},
            errors={SIZE: max(errors[name] for name in narrow)},
        )

    def measure(models: Mapping[str, onnx.ModelProto]) -> dict[str, Loss]:
        return {name: loss(model) for name, model in models.items()}

    ranges = {"image": (-1.0, 1.0), "middle": (-2.0, 2.0)}
    return choose(two_layers(), ranges, budget, measure)  # type: ignore[arg-type]


def test_a_budget_is_met_where_the_layer_of_the_least_error_is_the_one_that_exceeds_it() -> None:
    names = {"a": "a/Conv", "b": "b/Conv"}
    found = chosen({"a": 0.0, "b": 10.0}, {"a": 0.5, "b": 0.1}, 1.0)
    assert found.kept == (names["b"],)
    assert found.final.worst == (SIZE, 0.0)
    with pytest.raises(AccuracyBelowFloor, match=r"with b/Conv alone in INT8 it loses 10\.00 at 8x8"):
        chosen({"a": 12.0, "b": 10.0}, {"a": 0.5, "b": 0.1}, 1.0)


def test_one_image_again_and_again_is_not_answered_with_fewer_images() -> None:
    one, labels = np.repeat(IMAGES[:1], 9, 0), np.arange(9) % 3
    test = {"x_test": IMAGES, "y_test": labels[:4]}
    data = Dataset(name="one", x_train=one, y_train=labels, **test, value_range=(0, 1))
    recipe = CalibrationRecipe(path=Path("r.toml"), method=Method(), images=4)
    with pytest.raises(DataRefused) as refused:
        draw(recipe, data, [Profile.parse("8-16")])
    assert refused.value.next == "give more training images: --data, a folder or PATH.npz"


def test_a_layer_named_without_the_model_that_it_is_in_is_found_for_the_message() -> None:
    places = ["conv2d_1", "outer/block/conv2d", "outer/inner"]
    for wanted, found in (("inner", "outer/inner"), ("block", "outer/block")):
        with pytest.raises(UsageError) as refused:
            check_known([wanted], places)
        assert refused.value.cause == f"did you mean {found}?"


def test_who_keeps_every_layer_in_fp32_is_told_to_keep_fewer(tmp_path: Path) -> None:
    image = keras.Input((None, None, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="only")(image))
    keras.Model(image, layers.Softmax()(x)).save(tmp_path / "net.keras")
    labels = np.arange(4) % 4
    np.savez(tmp_path / "d.npz", x_train=IMAGES, y_train=labels, x_test=IMAGES[::-1], y_test=labels)
    with pytest.raises(ModelRefused) as refused:
        api.quantize(
            tmp_path / "net.keras",
            data=tmp_path / "d.npz",
            profile="8-16",
            out=tmp_path,
            value_range=(0, 1),
            precision="fp16",
            keep_fp32=("only",),
        )
    assert refused.value.next == "keep fewer layers with --keep-fp32, or build with --precision fp32"


def test_the_order_in_which_precisions_are_named_changes_no_engine() -> None:
    orders: list[tuple[Precision, ...]] = [("fp32", "fp16", "int8"), ("int8", "fp32", "fp16")]
    asked = [Engine().inputs(Session(Options(precisions=order))) for order in orders]
    assert asked[0] == asked[1]
    assert asked[0]["precisions"] == "fp32,fp16,int8"

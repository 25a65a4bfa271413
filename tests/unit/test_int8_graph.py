"""The Q/DQ graph: the form that TensorRT wants, the layers of new nodes, and every kind of fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from int8_models import answers, constants, images, network, node_named, ranges_of, store
from onnx import TensorProto, helper, numpy_helper

from fcnship.errors import InputRefused
from fcnship.graph.onnx_layers import KEY, layers_of, nodes_by_layer
from fcnship.precision.int8 import calibrated_tensors, quantized, weighted_layers
from fcnship.precision.qdq_check import faults

ORIGINAL = network()
RANGES = ranges_of(ORIGINAL)
INT8 = quantized(ORIGINAL, RANGES)
LAYERS = ["conv2d", "conv2d_1", "depthwise", "shared", "dense"]


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def producer(model: onnx.ModelProto, tensor: str) -> onnx.NodeProto:
    (found,) = (node for node in model.graph.node if tensor in node.output)
    return found


def test_layers_with_weights_are_found_with_all_their_calls() -> None:
    assert list(weighted_layers(ORIGINAL)) == LAYERS
    assert weighted_layers(ORIGINAL)["shared"] == ["shared/BiasAdd", "shared/call_2/BiasAdd"]
    assert calibrated_tensors(ORIGINAL)[:2] == ["net/truediv:0", "conv2d/Relu:0"]


def test_every_layer_with_weights_has_pairs_of_its_own() -> None:
    values = {tensor.name: tensor for tensor in INT8.graph.initializer}
    for name in (node for nodes in weighted_layers(ORIGINAL).values() for node in nodes):
        node, original = node_named(INT8, name), node_named(ORIGINAL, name)
        widen = producer(INT8, node.input[0])
        narrow = producer(INT8, widen.input[0])
        assert (narrow.op_type, widen.op_type) == ("QuantizeLinear", "DequantizeLinear")
        assert narrow.input[0] == original.input[0]
        assert (narrow.name, widen.name) == (f"{name}/Q", f"{name}/DQ")
        weight = producer(INT8, node.input[1])
        assert weight.name == f"{name}/weight/DQ"
        assert values[weight.input[0]].data_type == TensorProto.INT8
        assert node.input[2] == original.input[2], "the bias stays as it is"
        assert values[node.input[2]].data_type == TensorProto.FLOAT
        for each in (narrow, widen, weight):
            assert values[each.input[2]].data_type == TensorProto.INT8
            assert not numpy_helper.to_array(values[each.input[2]]).any()


def test_all_else_reads_what_it_read() -> None:
    """ONNX Runtime's quantizer gives the average the pair of the convolution that reads the same tensor."""
    others = [n for n in ORIGINAL.graph.node if n.op_type not in ("Conv", "Gemm")]
    for node in others:
        assert node_named(INT8, node.name) == node
    assert node_named(INT8, "early/Mean").input[0] == "conv2d_1/Relu:0"


def test_scales_are_those_of_the_ranges_and_of_each_output_channel() -> None:
    values = constants(INT8)
    assert values["conv2d/Relu:0/scale"] == pytest.approx(RANGES["conv2d/Relu:0"][1] / 127, rel=1e-6)
    kernel = constants(ORIGINAL)["conv2d_1/kernel"]
    assert values["conv2d_1/kernel/scale"] == pytest.approx(
        np.abs(kernel).max(axis=(1, 2, 3)) / 127, rel=1e-6
    )
    dense = constants(ORIGINAL)["dense/kernel"]
    assert values["dense/kernel/scale"] == pytest.approx(np.abs(dense).max(axis=0) / 127, rel=1e-6)


def test_a_negative_range_counts_too() -> None:
    made = quantized(ORIGINAL, {**RANGES, "conv2d/Relu:0": (-2.54, 1.0)})
    assert constants(made)["conv2d/Relu:0/scale"] == pytest.approx(0.02)


def test_a_dead_tensor_has_a_scale() -> None:
    ranges = {**RANGES, "conv2d/Relu:0": (0.0, 0.0)}
    made = quantized(ORIGINAL, ranges)
    assert constants(made)["conv2d/Relu:0/scale"] == 1.0
    assert faults(made, ORIGINAL, ranges) == []


def test_the_file_is_whole() -> None:
    onnx.checker.check_model(INT8, full_check=True)
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in INT8.graph.input]
    assert dims == [["batch", 1, "height", "width"]]
    assert INT8.graph.output == ORIGINAL.graph.output
    assert INT8.metadata_props == ORIGINAL.metadata_props
    assert KEY in [entry.key for entry in INT8.metadata_props]
    assert len({n.name for n in INT8.graph.node}) == len(INT8.graph.node)
    assert [entry.domain for entry in INT8.opset_import] == [""]
    assert not INT8.graph.value_info


def test_new_nodes_belong_to_the_layer_they_serve() -> None:
    layers = layers_of(INT8)
    new = {n.name for n in INT8.graph.node} - {n.name for n in ORIGINAL.graph.node}
    assert len(new) == 3 * 6
    for name in new:
        assert layers[name] == layers[name.rpartition("/")[0].removesuffix("/weight")]
    assert len(nodes_by_layer(INT8)["shared"]) == 4 + 6


def test_it_was_not_changed_in_place() -> None:
    before = network().SerializeToString()
    assert ORIGINAL.SerializeToString() == before


@pytest.mark.parametrize("side", [16, 23, 64])
def test_it_computes_what_float32_computes_but_for_rounding(side: int) -> None:
    batch = images(side, seed=5)
    error = np.abs(answers(INT8, batch) - answers(ORIGINAL, batch))
    assert 0 < error.max() < 0.05


def test_kept_layers_are_as_they_were() -> None:
    made = quantized(ORIGINAL, RANGES, keep=["conv2d", "shared"])
    for name in ("conv2d/BiasAdd", "shared/BiasAdd", "shared/call_2/BiasAdd"):
        assert node_named(made, name) == node_named(ORIGINAL, name)
    assert faults(made, ORIGINAL, RANGES, keep=["conv2d", "shared"]) == []
    assert sum(n.op_type == "QuantizeLinear" for n in made.graph.node) == 3


def test_all_layers_kept_but_none_left_is_refused() -> None:
    with pytest.raises(InputRefused, match="no layer is left to quantize"):
        quantized(ORIGINAL, RANGES, keep=LAYERS)


def test_a_weight_of_two_calls_is_stored_once() -> None:
    values = constants(INT8)
    assert "shared/kernel/int8" in values
    assert "shared/kernel" not in values, "the float32 weight is not carried along"
    assert len([name for name in values if name.startswith("shared/kernel")]) == 2 + 1  # its scales; its bias


def test_transposed_and_plain_products_have_scales_of_output_channels() -> None:
    made = copy_of(ORIGINAL)
    dense = node_named(made, "dense/MatMul")
    dense.attribute.append(helper.make_attribute("transB", 1))
    store(made, "dense/kernel", constants(ORIGINAL)["dense/kernel"].T.copy())
    narrowed = quantized(made, RANGES)
    assert constants(narrowed)["dense/kernel/scale"].shape == (5,)
    assert faults(narrowed, made, RANGES) == []
    batch = images(24)
    assert np.abs(answers(narrowed, batch) - answers(made, batch)).max() < 0.05


def test_int8_files_are_small() -> None:
    wide = network(width=64)
    made = quantized(wide, ranges_of(wide))
    assert made.ByteSize() <= 0.35 * wide.ByteSize()


@pytest.mark.parametrize("range_", [(np.nan, 1.0), (0.0, np.inf), (1.0, -1.0)])
def test_ranges_that_are_none_are_refused(range_: tuple[float, float]) -> None:
    with pytest.raises(InputRefused, match="has the range"):
        quantized(ORIGINAL, {**RANGES, "conv2d/Relu:0": range_})


def test_a_missing_range_is_refused() -> None:
    left = {name: value for name, value in RANGES.items() if name != "conv2d/Relu:0"}
    with pytest.raises(InputRefused) as refusal:
        quantized(ORIGINAL, left)
    assert str(refusal.value) == (
        "the calibration has no range for the tensor 'conv2d/Relu:0'\n"
        "  cause: its ranges are of another graph\n"
        "  next:  calibrate this graph: fcnship build --precision int8 --force"
    )


def test_an_honest_graph_has_no_fault() -> None:
    assert faults(INT8, ORIGINAL, RANGES) == []
    assert faults(INT8, ORIGINAL, None) == []


def scale_off_by_two(model: onnx.ModelProto) -> None:
    store(model, "conv2d/Relu:0/scale", constants(model)["conv2d/Relu:0/scale"] * np.float32(2))


def scale_halved(model: onnx.ModelProto) -> None:
    store(model, "conv2d/Relu:0/scale", constants(model)["conv2d/Relu:0/scale"] / np.float32(2))


def one_scale_of_a_pair(model: onnx.ModelProto) -> None:
    name = "conv2d/Relu:0/scale"
    twice = numpy_helper.from_array(np.asarray(constants(model)[name] * np.float32(2)), "twice")
    model.graph.initializer.append(twice)
    node_named(model, "conv2d_1/BiasAdd/DQ").input[1] = "twice"


def weight_scale_off_by_two(model: onnx.ModelProto) -> None:
    name = "conv2d_1/kernel/scale"
    scales = constants(model)[name].copy()
    scales[3] *= 2
    store(model, name, scales)


def zero_point_of_three(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(3, np.int8), "three"))
    for node in ("Q", "DQ"):
        node_named(model, f"conv2d_1/BiasAdd/{node}").input[2] = "three"


def zero_point_of_a_channel(model: onnx.ModelProto) -> None:
    zeros = np.zeros(5, np.int8)
    zeros[2] = 1
    model.graph.initializer.append(numpy_helper.from_array(zeros, "zeros"))
    node_named(model, "dense/MatMul/weight/DQ").input[2] = "zeros"


def weight_changed(model: onnx.ModelProto) -> None:
    weight = constants(model)["depthwise/kernel/int8"].copy()
    weight.flat[0] -= np.sign(weight.flat[0]) * 2
    store(model, "depthwise/kernel/int8", weight)


def layer_skipped(model: onnx.ModelProto) -> None:
    node_named(model, "depthwise/BiasAdd").CopyFrom(node_named(ORIGINAL, "depthwise/BiasAdd"))
    model.graph.initializer.append(
        next(tensor for tensor in ORIGINAL.graph.initializer if tensor.name == "depthwise/kernel")
    )


def pair_shared(model: onnx.ModelProto) -> None:
    node_named(model, "early/Mean").input[0] = "depthwise/BiasAdd/DQ:0"


def bias_changed(model: onnx.ModelProto) -> None:
    store(model, "conv2d/bias", constants(model)["conv2d/bias"] + np.float32(1))


def stride_changed(model: onnx.ModelProto) -> None:
    for attribute in node_named(model, "conv2d/BiasAdd").attribute:
        if attribute.name == "strides":
            attribute.ints[0] = 1


def node_removed(model: onnx.ModelProto) -> None:
    model.graph.node.remove(node_named(model, "net/Max"))


def one_scale_for_all_channels(model: onnx.ModelProto) -> None:
    name = "conv2d_1/kernel/scale"
    store(model, name, constants(model)[name].max())


FAULTS: dict[Any, str] = {
    scale_off_by_two: "conv2d_1/BiasAdd: its input has the scale",
    scale_halved: "conv2d_1/BiasAdd: its input has the scale",
    one_scale_of_a_pair: "conv2d_1/BiasAdd: it is quantized with the scale",
    weight_scale_off_by_two: "conv2d_1/BiasAdd: its weight's scales are not those of its weight",
    zero_point_of_three: "conv2d_1/BiasAdd: the zero point of QuantizeLinear is not 0",
    zero_point_of_a_channel: "dense/MatMul: the zero point of DequantizeLinear is not 0",
    weight_changed: "depthwise/BiasAdd: a value of its weight is",
    layer_skipped: "depthwise/BiasAdd: its input is not quantized",
    pair_shared: "early/Mean: its input 0 is not that of float32",
    bias_changed: "conv2d/BiasAdd: its input 2 is not that of float32",
    stride_changed: "conv2d/BiasAdd: its operator or its attributes are not those of float32",
    node_removed: "net/Max: the node is missing",
    one_scale_for_all_channels: "conv2d_1/BiasAdd: its weight has no scale for each output channel",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_found_and_named(fault: Any) -> None:
    made = copy_of(INT8)
    fault(made)
    found = faults(made, ORIGINAL, RANGES)
    assert any(text.startswith(FAULTS[fault]) for text in found), found


def test_a_float32_file_under_the_name_of_int8_is_found() -> None:
    assert len(faults(ORIGINAL, ORIGINAL, RANGES)) == 2 * 6


def test_a_layer_that_should_be_kept_and_is_not_is_found() -> None:
    found = faults(INT8, ORIGINAL, RANGES, keep=["dense"])
    assert found == [f"dense/MatMul: its input {place} is not that of float32" for place in (0, 1)]

"""Float32 graphs made float16: the types, what stays, and how the rest is named."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_graphs import by_name, conv, flat, model_of, node, run, single, types_of

from fcnship.errors import ModelRefused
from fcnship.graph.onnx_layers import layers_of
from fcnship.precision.fp16 import narrowed

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def chain(*factors: float, layers: tuple[str, ...] = ()) -> onnx.ModelProto:
    """Convolutions by one number each: the image times all of them."""
    names = ["image", *(f"after_{i}" for i in range(1, len(factors))), "probabilities"]
    nodes = [conv(f"conv_{i}/Conv", names[i], names[i + 1], f"w{i}") for i in range(len(factors))]
    weights = {f"w{i}": single(factor) for i, factor in enumerate(factors)}
    return model_of(nodes, weights, layers=layers or [f"conv_{i}" for i in range(len(factors))])


def test_every_tensor_is_float16_between_float32_ends() -> None:
    made = narrowed(chain(2.0, 3.0))
    onnx.checker.check_model(made, full_check=True)
    assert types_of(made) == {
        "image": FLOAT,
        "image/float16": HALF,
        "w0": HALF,
        "after_1": HALF,
        "w1": HALF,
        "probabilities/float16": HALF,
        "probabilities": FLOAT,
    }
    assert [n.name for n in made.graph.node] == [
        *("image/to_float16", "conv_0/Conv", "conv_1/Conv", "conv_1/Conv/to_float32")
    ]
    np.testing.assert_array_equal(run(made, flat(1.5)), flat(9.0))


def test_float16_ends_if_asked_for() -> None:
    made = narrowed(chain(2.0, 3.0), io="fp16")
    assert types_of(made) == dict.fromkeys(("image", "w0", "after_1", "w1", "probabilities"), HALF)
    assert [n.name for n in made.graph.node] == ["conv_0/Conv", "conv_1/Conv"]
    assert run(made, flat(1.5, dtype=np.float16)).dtype == np.float16


def test_names_dimensions_and_metadata_stay() -> None:
    model = chain(2.0, 3.0)
    made = narrowed(model, keep=["conv_1"])
    for before, after in ((model.graph.input, made.graph.input), (model.graph.output, made.graph.output)):
        assert [value.SerializeToString() for value in before] == [v.SerializeToString() for v in after]
    assert list(made.metadata_props) == list(model.metadata_props)
    assert (made.opset_import, made.ir_version) == (model.opset_import, model.ir_version)
    assert (made.producer_name, made.graph.name) == ("fcnship", "net")
    assert model.SerializeToString() == chain(2.0, 3.0).SerializeToString()


def test_a_cast_belongs_to_the_layer_that_it_follows() -> None:
    made = narrowed(chain(2.0, 3.0, 4.0), keep=["conv_1"])
    layers = {name: str(layer) for name, layer in layers_of(made).items()}
    assert layers == {
        "conv_0/Conv": "conv_0",
        "conv_0/Conv/to_float32": "conv_0",
        "conv_1/Conv": "conv_1",
        "conv_1/Conv/to_float16": "conv_1",
        "conv_2/Conv": "conv_2",
        "conv_2/Conv/to_float32": "conv_2",
    }


def test_between_kept_neighbours_nothing_is_cast() -> None:
    """ONNX Runtime's converter casts to FP16 and back there: 75,000 becomes infinite."""
    model = chain(1.0, 300.0, 1 / 300.0, 1.0)
    made = narrowed(model, keep=["conv_1", "conv_2"])
    assert types_of(made)["after_2"] == FLOAT
    assert types_of(made)["after_1"] == types_of(made)["after_3/float16"] == HALF
    assert not [n.name for n in made.graph.node if n.op_type == "Cast" and "after_2" in n.input]
    np.testing.assert_allclose(run(made, flat(250.0)), flat(250.0), rtol=2**-10)


def test_a_nested_model_is_kept_whole() -> None:
    nodes = [conv("outer/a/Conv", "image", "x", "w0"), conv("b/Conv", "x", "probabilities", "w1")]
    model = model_of(nodes, {"w0": single(2), "w1": single(3)}, layers=["outer/a", "b"])
    made = types_of(narrowed(model, keep=["outer"]))
    assert (made["w0"], made["w1"]) == (FLOAT, HALF)
    # A name's beginning is not a nested model.
    assert types_of(narrowed(model, keep=["out"]))["w0"] == HALF


def test_a_node_of_no_layer_is_kept_by_its_own_name() -> None:
    nodes = [node("Neg", "lonely", ["image"], "x"), conv("b/Conv", "x", "probabilities", "w")]
    made = narrowed(model_of(nodes, {"w": single(2)}, layers=["b"]), keep=["lonely"])
    assert types_of(made)["x"] == FLOAT


def test_a_weight_that_both_kinds_read_is_there_twice() -> None:
    nodes = [conv("a/Conv", "image", "x", "w"), conv("b/Conv", "x", "probabilities", "w")]
    made = narrowed(model_of(nodes, {"w": single(1 / 3)}, layers=["a", "b"]), keep=["a"])
    assert types_of(made)["w"] == FLOAT
    assert types_of(made)["w/float16"] == HALF
    assert by_name(made)["a/Conv"].input[1] == "w"
    assert by_name(made)["b/Conv"].input[1] == "w/float16"


def test_an_output_that_is_read_inside_too() -> None:
    nodes = [
        conv("a/Conv", "image", "probabilities", "w"),
        conv("b/Conv", "probabilities", "other", "w"),
    ]
    model = model_of(nodes, {"w": single(2)}, layers=["a", "b"])
    model.graph.output.add().CopyFrom(helper.make_tensor_value_info("other", FLOAT, ["batch", "c", "h", "w"]))
    made = narrowed(model)
    onnx.checker.check_model(made, full_check=True)
    assert by_name(made)["b/Conv"].input[0] == "probabilities/float16"
    np.testing.assert_array_equal(run(made, flat(1.0)), flat(2.0))


def test_what_onnx_wants_in_float32_stays() -> None:
    """The scales of a Resize are float32 by ONNX's own rules; whole numbers are left alone."""
    nodes = [
        node("Resize", "up/Resize", ["image", "", "scales"], "large", mode="nearest"),
        node("ReduceMean", "pool/Mean", ["large", "axes"], "probabilities", keepdims=0),
    ]
    weights = {"scales": np.array([1, 1, 2, 2], np.float32), "axes": np.array([2, 3], np.int64)}
    made = narrowed(model_of(nodes, weights, layers=["up", "pool"], output=("batch", 1)))
    onnx.checker.check_model(made, full_check=True)
    assert types_of(made)["scales"] == FLOAT
    assert types_of(made)["large"] == HALF
    np.testing.assert_array_equal(run(made, flat(3.0)), [[3.0]])


def test_numbers_made_from_shapes_are_float16_too() -> None:
    nodes = [
        node("Shape", "count/Shape", ["image"], "shape", start=3),
        node("Cast", "count/Cast", ["shape"], "side", to=FLOAT),
        node("Div", "count/Div", ["image", "side"], "probabilities"),
    ]
    made = narrowed(model_of(nodes, {}, layers=["count"]))
    onnx.checker.check_model(made, full_check=True)
    assert types_of(made)["side"] == HALF
    np.testing.assert_array_equal(run(made, flat(8.0)), flat(2.0))
    assert types_of(narrowed(model_of(nodes, {}, layers=["count"]), keep=["count"]))["side"] == FLOAT


def test_what_an_attribute_makes_float32_is_cast_afterwards() -> None:
    """No input decides the type of what ConstantOfShape makes."""
    two = onnx.numpy_helper.from_array(np.array([2], np.float32))
    nodes = [
        node("Shape", "fill/Shape", ["image"], "shape"),
        node("ConstantOfShape", "fill/Fill", ["shape"], "twos", value=two),
        node("Mul", "fill/Mul", ["image", "twos"], "probabilities"),
    ]
    made = narrowed(model_of(nodes, {}, layers=["fill"]))
    onnx.checker.check_model(made, full_check=True)
    assert (types_of(made)["twos"], types_of(made)["twos/float16"]) == (FLOAT, HALF)
    np.testing.assert_array_equal(run(made, flat(4.0)), flat(8.0))


def test_an_operator_that_another_program_made_stays_float32() -> None:
    nodes = [
        helper.make_node("Gelu", ["image"], ["x"], "gelu", domain="com.microsoft"),
        conv("b/Conv", "x", "probabilities", "w"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", FLOAT, ["batch", 1, "height", "width"])],
        [helper.make_tensor_value_info("probabilities", FLOAT, ["batch", 1, "height", "width"])],
        [onnx.numpy_helper.from_array(single(2), "w")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    model.graph.value_info.add().CopyFrom(helper.make_tensor_value_info("x", FLOAT, None))
    made = narrowed(model)
    assert by_name(made)["gelu"].input[0] == "image"
    assert by_name(made)["b/Conv"].input == ["x/float16", "w"]
    assert run(made, flat(0.0)).max() == 0.0


def test_a_tensor_of_unknown_type_is_refused() -> None:
    """Nobody knows whether its readers need a cast."""
    graph = helper.make_graph(
        [
            helper.make_node("Unheard", ["image"], ["x"], "who", domain="somewhere"),
            node("Neg", "n", ["x"], "y"),
        ],
        "net",
        [helper.make_tensor_value_info("image", FLOAT, ["batch", 1, "height", "width"])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("somewhere", 1)]
    with pytest.raises(ModelRefused) as refused:
        narrowed(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    assert str(refused.value) == (
        "the type of x is unknown\n"
        "  cause: ONNX does not know the operator Unheard that makes it\n"
        "  next:  build with --precision fp32, or replace the layer"
    )


def test_a_weight_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelRefused) as refused:
        narrowed(chain(1.0, 70000.0))
    assert str(refused.value) == (
        "the weights w1 reach 7e+04\n"
        "  cause: FP16 ends at 65504\n"
        "  next:  keep the layer in FP32 with --keep-fp32"
    )
    assert types_of(narrowed(chain(1.0, 70000.0), keep=["conv_1"]))["w1"] == FLOAT


def test_loops_and_branches_are_refused() -> None:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["same"])],
        "then",
        [],
        [helper.make_tensor_value_info("same", FLOAT, None)],
    )
    branch = node("If", "branch", ["yes"], "probabilities", then_branch=inner, else_branch=inner)
    model = model_of([branch], {"yes": np.array(True)})
    with pytest.raises(ModelRefused) as refused:
        narrowed(model)
    assert str(refused.value) == (
        "the node branch is a loop or a branch (If)\n"
        "  cause: fcnship changes the precision of graphs without inner graphs only\n"
        "  next:  build with --precision fp32, or replace the layer that loops"
    )

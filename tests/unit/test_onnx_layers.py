"""Which Keras layer an ONNX node belongs to: read from its name and the file's metadata."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, helper

from fcnship.graph.onnx_layers import Layer, as_metadata, layers_of, merged_layers, nodes_by_layer

SCOPES = {
    "conv": Layer("conv", 1),
    "conv/call_2": Layer("conv", 2),
    "a_b": Layer("a b", 1),
    "outer/inner": Layer("outer/inner", 1),
}

MERGES = {"a_b/Conv2D": "outer/inner/mul", "conv/call_2/Conv2D": "conv/mul", "Gone": "conv/BiasAdd"}


def model(names: list[str], scopes: dict[str, Layer] | None) -> ModelProto:
    nodes = [helper.make_node("Relu", [f"x{i}"], [f"x{i + 1}"], name=name) for i, name in enumerate(names)]
    shape = ["batch", 1, "height", "width"]
    ends = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, shape) for i in (0, len(names))]
    made = helper.make_model(helper.make_graph(nodes, "net", ends[:1], ends[1:]))
    if scopes is not None:
        for key, value in as_metadata(scopes, MERGES).items():
            made.metadata_props.add(key=key, value=value)
    return made


def test_a_node_belongs_to_the_longest_scope_that_it_lies_in() -> None:
    names = ["conv/BiasAdd", "conv/call_2/BiasAdd", "a_b/Relu", "outer/inner/Relu/cast", "Cast", "conv2/Relu"]
    found = layers_of(model(names, SCOPES))
    assert {name: str(layer) for name, layer in found.items()} == {
        "conv/BiasAdd": "conv",
        "conv/call_2/BiasAdd": "conv (call 2)",
        "a_b/Relu": "a b",
        "outer/inner/Relu/cast": "outer/inner",
    }


def test_a_layers_calls_stand_together() -> None:
    found = nodes_by_layer(model(["conv/BiasAdd", "a_b/Relu", "conv/call_2/BiasAdd"], SCOPES))
    assert found == {"conv": ["conv/BiasAdd", "conv/call_2/BiasAdd"], "a b": ["a_b/Relu"]}


def test_merged_layers_are_known_by_the_layer_that_does_their_work() -> None:
    assert merged_layers(model([], SCOPES)) == {"a b": "outer/inner"}
    assert merged_layers(model([], None)) == {}


def test_a_file_of_another_program_has_none() -> None:
    assert layers_of(model(["conv/BiasAdd"], None)) == {}

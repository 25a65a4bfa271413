"""What a file computes in is found by its types, and a file that is not what it is called is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import conv, model_of, node, single

from fcnship.errors import ParityFailed
from fcnship.precision.fp16 import narrowed
from fcnship.precision.truth import check_engine, check_file, counted, products_of, widths_of


def network() -> Any:
    """Two convolutions and a matrix product."""
    nodes = [
        conv("a/Conv", "image", "x", "w0"),
        conv("b/Conv", "x", "y", "w1"),
        node("ReduceMean", "pool/Mean", ["y", "axes"], "z", keepdims=0),
        node("Gemm", "dense/Gemm", ["z", "w2"], "probabilities"),
    ]
    weights = {"w0": single(2), "w1": single(3), "axes": np.array([2, 3]), "w2": np.ones((1, 5), np.float32)}
    return model_of(nodes, weights, layers=["a", "b", "pool", "dense"], output=("batch", 5))


def quantized(model: Any, wanted: Sequence[str]) -> Any:
    """Q/DQ before both factors of the named nodes, written by hand."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:]
    for name, value in (("scale", np.float32(0.1)), ("zero", np.int8(0))):
        made.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    for old in model.graph.node:
        new = onnx.NodeProto()
        new.CopyFrom(old)
        for place in range(2) if old.name in wanted else ():
            source, stem = old.input[place], f"{old.name}/{place}"
            made.graph.node.extend(
                [
                    helper.make_node("QuantizeLinear", [source, "scale", "zero"], [f"{stem}/q"], f"{stem}/Q"),
                    helper.make_node(
                        "DequantizeLinear", [f"{stem}/q", "scale", "zero"], [f"{stem}/dq"], f"{stem}/DQ"
                    ),
                ]
            )
            new.input[place] = f"{stem}/dq"
        made.graph.node.append(new)
    onnx.checker.check_model(made, full_check=True)
    return made


def types(model: Any) -> dict[str, str]:
    return {product.layer: product.type for product in products_of(model)}


def test_types_are_inferred_over_the_graph() -> None:
    assert types(network()) == {"a": "fp32", "b": "fp32", "dense": "fp32"}
    assert types(narrowed(network())) == {"a": "fp16", "b": "fp16", "dense": "fp16"}
    assert types(narrowed(network(), keep=["b"])) == {"a": "fp16", "b": "fp32", "dense": "fp16"}
    assert types(quantized(network(), ["a/Conv", "dense/Gemm"])) == {
        "a": "int8",
        "b": "fp32",
        "dense": "int8",
    }


def test_weights_stored_in_float16_do_not_make_an_fp16_file() -> None:
    """Half the size, and every product in float32: a check of the initializers alone is deceived."""
    model = network()
    for tensor in model.graph.initializer:
        if tensor.name.startswith("w"):
            tensor.CopyFrom(
                numpy_helper.from_array(np.float16(numpy_helper.to_array(tensor)), f"{tensor.name}/half")
            )
    casts = [
        helper.make_node("Cast", [f"w{i}/half"], [f"w{i}"], f"cast_{i}", to=TensorProto.FLOAT)
        for i in range(3)
    ]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    with pytest.raises(ParityFailed) as untrue:
        check_file(model, "fp16", [], "onnx/fp16.onnx")
    assert str(untrue.value) == (
        "onnx/fp16.onnx is not fp16: a computes in fp32\n"
        "  cause: the file was replaced, or a library changed types without a word\n"
        "  next:  build it again with --force; if it stays so, report it with the output of fcnship doctor"
    )
    assert untrue.value.exit_code == 4


def test_quantized_weights_alone_do_not_make_an_int8_file() -> None:
    model = quantized(network(), ["a/Conv", "b/Conv"])
    first = next(n for n in model.graph.node if n.name == "a/Conv")
    first.input[0] = "image"
    assert types(model)["a"] == "fp32"
    with pytest.raises(ParityFailed, match=r"onnx/int8\.onnx is not int8: a computes in fp32"):
        check_file(model, "int8", [], "onnx/int8.onnx")


def test_a_true_file_passes() -> None:
    check_file(network(), "fp32", [], "onnx/fp32.onnx")
    check_file(narrowed(network()), "fp16", [], "onnx/fp16.onnx")
    check_file(narrowed(network(), keep=["b"]), "fp16", ["b"], "onnx/fp16.onnx")
    # A matrix product may stay in float32 beside INT8 convolutions.
    check_file(quantized(network(), ["a/Conv", "b/Conv"]), "int8", [], "onnx/int8.onnx")
    check_file(quantized(network(), ["a/Conv"]), "int8", ["b"], "onnx/int8.onnx")


@pytest.mark.parametrize(
    ("make", "precision", "keep", "told"),
    [
        (network, "fp16", [], "a computes in fp32"),
        (lambda: narrowed(network(), keep=["b"]), "fp16", [], "b computes in fp32"),
        (lambda: narrowed(network(), keep=["b"]), "fp16", ["a"], "b computes in fp32"),
        (lambda: narrowed(network()), "fp32", [], "a computes in fp16"),
        (network, "fp16", ["a", "b", "dense"], "every layer computes in fp32"),
        (lambda: quantized(network(), ["a/Conv"]), "int8", [], "b computes in fp32"),
        (lambda: quantized(network(), ["a/Conv"]), "fp32", [], "a computes in int8"),
        (lambda: narrowed(network()), "int8", ["a", "b"], "a computes in fp16"),
    ],
)
def test_a_file_under_another_name_is_refused(make: Any, precision: str, keep: list[str], told: str) -> None:
    with pytest.raises(ParityFailed, match=f"the file is not {precision}: {told}"):
        check_file(make(), precision, keep, "the file")


def test_an_engine_is_held_against_its_file() -> None:
    products = products_of(narrowed(network(), keep=["b"]))
    true = {"a/Conv": "fp16", "b/Conv": "fp32", "dense/Gemm": "fp16"}
    check_engine(true, products, "fp16", "the engine")
    with pytest.raises(ParityFailed, match="the engine is not fp16: a computes in fp32"):
        check_engine({**true, "a/Conv": "fp32"}, products, "fp16", "the engine")
    with pytest.raises(ParityFailed, match="the engine is not fp32: b computes in fp16"):
        check_engine({**true, "b/Conv": "fp16"}, products, "fp16", "the engine")
    with pytest.raises(ParityFailed, match="every layer computes in nothing that its ONNX file names"):
        check_engine({"(Unnamed Layer* 3)": "fp16"}, products, "fp16", "the engine")


def test_counts() -> None:
    made = narrowed(network(), keep=["b"])
    assert counted(product.type for product in products_of(made)) == {"fp16": 2, "fp32": 1}
    assert widths_of(made) == {"float16_nodes": 3, "float32_nodes": 1, "casts": 4}
    assert widths_of(network()) == {"float16_nodes": 0, "float32_nodes": 4, "casts": 0}

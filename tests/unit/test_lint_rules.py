"""Each rule of the lint on the smallest graph that breaks it, and on one that is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from lint_graphs import CASES, IMAGE, conv, conv_model, model, node, pool, quantized, reshape, stored, value
from onnx import TensorProto

from fcnship.graph.onnx_layers import KEY
from fcnship.lint.findings import Finding
from fcnship.lint.lint import lint_model
from fcnship.lint.operators import SINCE, TYPES
from fcnship.lint.targets import TARGETS, TargetName


def findings(graph: Any, target: TargetName = "rtx", folder: Path = Path()) -> tuple[Finding, ...]:
    return lint_model(graph, folder / "model.onnx", [TARGETS[target]]).targets[0].findings


def told(found: tuple[Finding, ...]) -> list[str]:
    return [" ".join(filter(None, (f.severity, f.rule, f.node))) for f in found]


@pytest.mark.parametrize("name", CASES)
def test_what_is_found(name: str) -> None:
    case = CASES[name]()
    assert told(findings(case.model)) == list(case.findings)
    assert all(finding.what and finding.next for finding in findings(case.model))


def test_errors_without_a_refusal_are_explained() -> None:
    cases = {name: make() for name, make in CASES.items()}
    unexplained = [
        name
        for name, case in cases.items()
        if case.builds == any(f.startswith("error") for f in case.findings) and not case.why
    ]
    assert unexplained == []


@pytest.mark.parametrize(
    ("opset", "target", "found"),
    [
        (20, "trt10.3", []),
        (21, "trt10.3", ["warning opset"]),
        (22, "trt10.3", ["error opset"]),
        (22, "jetpack6", ["error opset"]),
        (22, "jetpack7", []),
        (24, "trt10.16", []),
        (24, "jetpack7", ["warning opset"]),
        (25, "trt10.16", ["warning opset"]),
        (25, "trt11", []),
        (8, "trt11", ["error opset"]),
        (6, "trt10.3", ["error opset"]),
    ],
)
def test_each_target_has_its_opsets(opset: int, target: TargetName, found: list[str]) -> None:
    """Conv was defined anew in opset 22, and nothing of this graph in 21, 23, 24 or 25."""
    assert told(findings(conv_model(opset=opset), target)) == found


def test_what_is_said_of_an_opset() -> None:
    (new,) = findings(conv_model(opset=22), "trt10.3")
    assert new.what == "opset 22 is too new: TensorRT 10.3 takes opsets 9 to 20; Conv changed since opset 20"
    (old,) = findings(conv_model(opset=8), "trt10.3")
    assert old.what == "opset 8 is too old: TensorRT 10.3 takes opsets 9 to 20"
    assert old.next == (
        "onnx.version_converter.convert_version(model, 18), "
        "or export it again: fcnship export writes opset 18"
    )


def test_no_opset_at_all() -> None:
    graph = conv_model()
    del graph.opset_import[:]
    assert told(findings(graph))[0] == "error opset"


@pytest.mark.parametrize("operator", sorted(SINCE))
def test_operators_come_with_a_release(operator: str) -> None:
    graph, since = model([node(operator, "image")], opset=18), SINCE[operator]
    for name, target in TARGETS.items():
        missing = "error operator n" in told(findings(graph, name))
        assert missing == (target.release < since or (name == "rtx" and operator == "DFT"))


def test_an_operator_that_comes_later_says_when() -> None:
    (found,) = (f for f in findings(model([node("Swish", "image")]), "trt10.16") if f.rule == "operator")
    assert found.what == "TensorRT 10.16 does not know Swish, TensorRT 11.0 does"


def test_an_operator_of_which_nothing_is_said() -> None:
    assert told(findings(model([node("Mish", "image")]), "trt10.3")) == ["warning operator n"]
    assert told(findings(model([node("Mish", "image")]), "trt10.16")) == []


@pytest.mark.parametrize(
    ("graph", "first"),
    [
        (CASES["pad of two axes"]().model, (10, 4)),
        (
            model(
                [node("BatchNormalization", "image s s s s")],
                stored(s=np.ones(1, np.float32)),
                inputs=[value("image", TensorProto.FLOAT16)],
                outputs=[value("y", TensorProto.FLOAT16, None)],
            ),
            (10, 7),
        ),
        (model([node("Einsum", "image image", equation="...hw,...hw->...hw")]), (10, 12)),
    ],
)
def test_forms_that_a_later_release_takes(graph: Any, first: tuple[int, int]) -> None:
    for name, target in TARGETS.items():
        refused = any(f.startswith("error operator-form") for f in told(findings(graph, name)))
        assert refused == (target.release < first)


def test_a_clean_file_is_clean_for_every_target() -> None:
    for name in TARGETS:
        assert findings(conv_model(), name) == ()
        assert findings(quantized(), name) == ()


def test_the_chart_is_that_of_onnx_and_tensorrt_s_older_names() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
    assert set(TYPES) - known == {"ImageScaler", "ParametricSoftplus", "ScaledTanh"}
    assert len(TYPES) == 160


def test_a_finding_names_the_keras_layer() -> None:
    graph = pool("MaxPool", dilations=[2, 2])
    graph.graph.node[0].name = "outer/pool_1/MaxPool"
    graph.metadata_props.add(key=KEY, value='{"outer/pool_1": ["outer/pool_1", 1]}')
    (found,) = findings(graph)
    assert (found.node, found.operator, found.layer) == ("outer/pool_1/MaxPool", "MaxPool", "outer/pool_1")
    assert found.what == "MaxPool with dilations: TensorRT does not take it"


def test_a_node_without_a_name_is_told_by_what_it_makes() -> None:
    assert findings(model([node("Bernoulli", "image", name="")]))[0].node == "(unnamed node that makes 'y')"


def test_a_dense_head_on_a_flattened_map_is_explained() -> None:
    head = [node("Gemm", "f k", "y", "dense/MatMul")]
    (found,) = findings(reshape(0, -1, then=head, k=np.ones((256, 3), np.float32)))
    assert found.what.startswith("it fits one image size alone, whatever the input says: ")
    assert "256" in found.what
    assert found.next.endswith("(fcnship convert)")


def test_what_is_in_a_local_function_is_looked_at() -> None:
    body = [onnx.helper.make_node("Bernoulli", ["x"], ["y"], name="inside")]
    graph = model([node("Block", "image", domain="mine")], domains=["mine"])
    graph.functions.append(
        onnx.helper.make_function("mine", "Block", ["x"], ["y"], body, [onnx.helper.make_opsetid("", 18)])
    )
    assert told(findings(graph)) == ["error operator inside"]


def test_photographs_in_keras_s_order_are_images_too() -> None:
    inputs = [value("image", shape=("batch", "height", "width", 1))]
    turned = node("Transpose", "image", "t", "turn", perm=[0, 3, 1, 2])
    assert (
        findings(model([turned, conv("t")], stored(w=np.ones((4, 1, 3, 3), np.float32)), inputs=inputs)) == ()
    )
    graph = model([node("Reshape", "image s", name="r")], stored(s=np.array([0, 256])), inputs=inputs)
    assert told(findings(graph)) == ["error fixed-size r"]


def test_more_inputs_than_one() -> None:
    graph = model([node("Add", "image other")], inputs=[value("image"), value("other", shape=IMAGE)])
    assert "warning input" in told(findings(graph))

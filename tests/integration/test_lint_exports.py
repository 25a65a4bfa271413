"""What fcnship writes lints clean for every target in every precision; what others make of it does not."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from onnx_models import OTHERS, PLAIN, conv, network, stack, with_weights
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from fcnship import cli
from fcnship.graph.onnx_export import export
from fcnship.lint.lint import lint_file
from fcnship.options import Layout
from fcnship.precision.fp16 import narrowed
from fcnship.precision.int8 import calibrated_tensors, quantized

NETWORKS = {
    **{
        name: PLAIN[name]
        for name in ("residual", "separable", "global keepdims", "max pools", "modern block", "normalization")
    },
    **{name: OTHERS[name] for name in ("transposed", "upsampling", "group norm")},
}


def told(path: Path, *targets: str) -> list[str]:
    """What is found, for any of the targets (all if none is named)."""
    found = {f for each in lint_file(path, targets).targets for f in each.findings}
    return sorted(f"{f.severity} {f.rule} {f.node}: {f.what}" for f in found)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("name", NETWORKS)
def test_an_export_is_clean_for_every_target(name: str, layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "fp32.onnx"
    export(with_weights(NETWORKS[name]()), path, layout, {})
    model = onnx.load(path)
    assert told(path) == []
    for io in ("fp32", "fp16"):
        onnx.save(narrowed(model, io=io), tmp_path / "fp16.onnx")
        assert told(tmp_path / "fp16.onnx") == []
    onnx.save(quantized(model, dict.fromkeys(calibrated_tensors(model), (-1.0, 3.0))), tmp_path / "int8.onnx")
    assert told(tmp_path / "int8.onnx") == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An FP32 file of a network with a network in it."""
    inner = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            conv(8, padding="same", name="first"),
            layers.MaxPooling2D(name="pool"),
        ],
        name="inner",
    )
    path = tmp_path_factory.mktemp("exported") / "fp32.onnx"
    export(with_weights(network(stack(inner, conv(8, activation="relu", name="second")))), path, "nchw", {})
    return path


def test_a_finding_names_the_layer_of_keras(exported: Path, tmp_path: Path, capsys: Any) -> None:
    model = onnx.load(exported)
    pool = next(node for node in model.graph.node if node.op_type == "MaxPool")
    pool.attribute.append(onnx.helper.make_attribute("dilations", [2, 2]))
    onnx.save(model, tmp_path / "dilated.onnx")
    assert cli.main(["doctor", "--json", "--target", "jetpack6", str(tmp_path / "dilated.onnx")]) == 3
    ((finding,),) = (each["findings"] for each in json.loads(capsys.readouterr().out)["targets"])
    assert (finding["rule"], finding["layer"]) == ("operator-form", "inner/pool")
    assert finding["node"] == pool.name


def test_a_layer_that_is_kept_in_float_is_told(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    ranges = dict.fromkeys(calibrated_tensors(model), (-1.0, 3.0))
    onnx.save(quantized(model, ranges, keep=["second"]), tmp_path / "int8.onnx")
    (found,) = lint_file(tmp_path / "int8.onnx", ["trt11"]).targets[0].findings
    assert (found.severity, found.rule, found.layer) == ("warning", "qdq-missing", "second")


def test_a_half_of_a_cast_is_told(exported: Path, tmp_path: Path) -> None:
    """FP16 by hand, with one weight forgotten."""
    model = narrowed(onnx.load(exported))
    weights = [
        t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16 and len(t.dims) == 4
    ]
    wide = onnx.numpy_helper.from_array(
        onnx.numpy_helper.to_array(weights[0]).astype(np.float32), weights[0].name
    )
    weights[0].CopyFrom(wide)
    onnx.save(model, tmp_path / "fp16.onnx")
    assert [line.partition(":")[0].split()[:2] for line in told(tmp_path / "fp16.onnx")] == [
        ["error", "mixed-types"]
    ]


class Noise(CalibrationDataReader):
    """Two images."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._left = [{"image": rng.normal(size=(1, 3, 24, 24)).astype(np.float32)} for _ in range(2)]

    def get_next(self) -> dict[str, Any] | None:
        return self._left.pop() if self._left else None


def by_onnxruntime(source: Path, out: Path, **options: Any) -> list[str]:
    """The rules that ONNX Runtime's own quantizer breaks, with these options."""
    logging.disable(logging.WARNING)
    try:
        quantize_static(str(source), str(out), Noise(), **options)
    finally:
        logging.disable(logging.NOTSET)
    return sorted({line.split()[1] for line in told(out, "trt10.16") if line.startswith("error")})


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        # As it comes: activations of type uint8 with zero points, biases of type int32.
        ({"activation_type": QuantType.QUInt8}, ["qdq-bias", "qdq-type", "qdq-zero-point"]),
        ({"extra_options": {"ActivationSymmetric": True}}, ["qdq-bias"]),
        (
            {
                "per_channel": True,
                "extra_options": {
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "QuantizeBias": False,
                },
            },
            [],
        ),
        (
            {"quant_format": QuantFormat.QOperator, "activation_type": QuantType.QInt8},
            ["operator", "qdq-zero-point"],
        ),
    ],
    ids=["as it comes", "symmetric", "as TensorRT wants it", "quantized operators"],
)
def test_what_onnxruntime_quantizes(
    options: dict[str, Any], rules: list[str], exported: Path, tmp_path: Path
) -> None:
    found = by_onnxruntime(exported, tmp_path / "int8.onnx", **options)
    assert set(rules) <= set(found)
    assert bool(rules) == bool(found)


def test_what_onnxruntime_fuses(exported: Path, tmp_path: Path) -> None:
    """A graph that ONNX Runtime saved after its fusions is for ONNX Runtime alone."""
    for level, clean in (("ORT_ENABLE_BASIC", True), ("ORT_ENABLE_ALL", False)):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.optimized_model_filepath = str(tmp_path / f"{level}.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(str(exported), options, providers=["CPUExecutionProvider"])
        errors = [
            line for line in told(tmp_path / f"{level}.onnx", "trt11") if line.startswith("error operator")
        ]
        assert (errors == []) == clean

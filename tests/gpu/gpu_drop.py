"""A drop for the tests on a GPU, made without TensorFlow: onnx.helper writes the networks, ONNX Runtime says
what is right.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper

CHANNELS, WIDE, CLASSES = 3, 16, 10
# TensorRT may take Winograd transforms for float32, which lose two digits more than plain sums.
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "int8": 5e-2}
PROFILES = [
    {"min": [16, 16], "opt": [24, 24], "max": [32, 32], "batch": [1, 1, 8]},
    {"min": [48, 40], "opt": [64, 64], "max": [96, 128], "batch": [2, 4, 6]},
]
# (profile, batch, height, width): the corners of both profiles, their optima, and odd sizes between.
GOLDEN = [
    (0, 1, 16, 16),
    (0, 1, 24, 24),
    (0, 8, 32, 32),
    (0, 3, 17, 29),
    (1, 2, 48, 40),
    (1, 4, 64, 64),
    (1, 6, 96, 128),
    (1, 5, 61, 77),
]
_INT8_RANGE = 127


def make_drop(folder: Path) -> Path:
    """FP32, FP16 and INT8 of one network, with golden data at the edges of two profiles."""
    for name in ("onnx", "golden"):
        (folder / name).mkdir(parents=True)
    weights = _weights()
    for precision in TOLERANCE:
        onnx.save(network(weights, precision), folder / f"onnx/{precision}.onnx")
    session = onnxruntime.InferenceSession(folder / "onnx/fp32.onnx", providers=["CPUExecutionProvider"])
    golden = [_golden(folder, session, *case) for case in GOLDEN]
    (folder / "manifest.json").write_text(json.dumps(_manifest(golden, _listed(folder))), encoding="utf-8")
    return folder


def network(weights: dict[str, Any], precision: str) -> onnx.ModelProto:
    """Two convolutions of 3x3, the mean over the map, dense, softmax; NCHW, float32 in and out.

    FP16 is FP16 between the first and the last node; in INT8 the second convolution's factors are Q/DQ.
    """
    kind = np.float16 if precision == "fp16" else np.float32
    tensors = {name: value.astype(kind) for name, value in weights.items()}
    nodes: list[NodeProto] = []
    taken, given = "image", "probabilities"
    if precision == "fp16":
        nodes.append(helper.make_node("Cast", ["image"], ["half"], to=TensorProto.FLOAT16))
        taken, given = "half", "half_probabilities"
    nodes += [
        helper.make_node("Conv", [taken, "one"], ["map"], name="one", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["map"], ["positive"]),
    ]
    factors = ["positive", "two"]
    if precision == "int8":
        nodes += _quantized(tensors)
        factors = ["positive_back", "two_back"]
    nodes += [
        helper.make_node("Conv", factors, ["second"], name="two", pads=[1] * 4),
        helper.make_node("Relu", ["second"], ["positive_second"]),
        helper.make_node("GlobalAveragePool", ["positive_second"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["vector"]),
        helper.make_node("MatMul", ["vector", "dense"], ["scores"], name="dense"),
        helper.make_node("Softmax", ["scores"], [given], axis=1),
    ]
    if precision == "fp16":
        nodes.append(helper.make_node("Cast", [given], ["probabilities"], to=TensorProto.FLOAT))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", CHANNELS, "height", "width"])
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES])
    held = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "small", [image], [output], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _weights() -> dict[str, Any]:
    random = np.random.default_rng(7)
    return {
        "one": random.normal(0, 0.3, (WIDE, CHANNELS, 3, 3)),
        "two": random.normal(0, 0.1, (WIDE, WIDE, 3, 3)),
        "dense": random.normal(0, 2, (WIDE, CLASSES)),
    }


def _quantized(tensors: dict[str, Any]) -> list[NodeProto]:
    """Symmetric: activations by one scale for all, weights by one for each output channel."""
    weights = tensors.pop("two")
    scales = np.abs(weights).max(axis=(1, 2, 3)) / _INT8_RANGE
    tensors["two_int8"] = np.rint(weights / scales[:, None, None, None]).astype(np.int8)
    tensors["two_scales"], tensors["two_zeros"] = scales, np.zeros(WIDE, np.int8)
    tensors["scale"], tensors["zero"] = np.float32(6 / _INT8_RANGE), np.int8(0)
    for name in ("scale", "zero"):
        tensors[name] = np.asarray(tensors[name])
    return [
        helper.make_node("QuantizeLinear", ["positive", "scale", "zero"], ["positive_int8"]),
        helper.make_node("DequantizeLinear", ["positive_int8", "scale", "zero"], ["positive_back"]),
        helper.make_node("DequantizeLinear", ["two_int8", "two_scales", "two_zeros"], ["two_back"], axis=0),
    ]


def _golden(folder: Path, session: Any, profile: int, batch: int, height: int, width: int) -> dict[str, Any]:
    shape = (batch, CHANNELS, height, width)
    image = np.random.default_rng(shape).uniform(0, 1, shape).astype(np.float32)
    file = f"golden/p{profile}-{height}x{width}-b{batch}.npz"
    np.savez(folder / file, image=image, expected=session.run(None, {"image": image})[0])
    place = {"profile": profile, "height": height, "width": width, "batch": batch}
    return {"file": file, **place, "tolerance": TOLERANCE}


def _listed(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        rows.append({"path": path.relative_to(folder).as_posix(), "bytes": len(data), "sha256": digest})
    return rows


def _manifest(golden: list[dict[str, Any]], files: list[dict[str, Any]]) -> dict[str, Any]:
    variants = [
        {"precision": name, "file": f"onnx/{name}.onnx", "io": "fp32", "opset": 18, "kept_fp32": []}
        for name in TOLERANCE
    ]
    return {
        "schema": "fcnship.drop/1",
        "name": "small",
        "version": "1",
        "created": "2026-11-21T05:00:00+00:00",
        "fcnship": "0.1.0",
        "sources": {},
        "network": {
            "input": "image",
            "output": "probabilities",
            "layout": "nchw",
            "channels": CHANNELS,
            "classes": CLASSES,
            "labels": [],
            "value_range": [0, 1],
            "total_stride": 2,
            "receptive_field": 7,
            "minimum_size": 1,
        },
        "requires": {
            "architectures": ["aarch64", "x86_64"],
            "tensorrt": {"least": "10.3", "below": "11.5"},
            "compute_capability": {"least": "7.5"},
            "disk_bytes": 1_000_000,
            "memory_bytes": 1_000_000,
        },
        "live": "fp32",
        "profiles": PROFILES,
        "variants": variants,
        "golden": golden,
        "evidence": {"verdict": "pass", "parity": [], "accuracy": []},
        "files": files,
    }

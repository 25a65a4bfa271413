"""Makes small whole drops without TensorFlow, and spoils them. Used by the tests of this folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fcnship.device.probe import Probe

CHANNELS, HIDDEN, CLASSES = 1, 4, 3
SIZES = ((8, 8), (16, 12))
# A device that runs drops with ONNX Runtime. Tests of other devices replace a field or two.
DEVICE = Probe(
    machine="x86_64",
    python="3.10.12",
    gpu=None,
    compute_capability=None,
    sm_count=None,
    cuda=None,
    driver=None,
    gpu_fault="libcuda.so.1 is not installed",
    gpu_hardware=None,
    tensorrt=None,
    tensorrt_flavour=None,
    tensorrt_fault="tensorrt is not installed",
    onnxruntime="1.31.1",
    onnxruntime_providers=("CPUExecutionProvider",),
    board=None,
    l4t=None,
    jetpack=None,
    memory_bytes=8 << 30,
    disk_bytes=64 << 30,
    has_ssh_keygen=True,
)


@dataclass(frozen=True)
class Made:
    """A drop in a folder, to be changed."""

    folder: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """Its manifest."""
        return dict(json.loads((self.folder / "manifest.json").read_text(encoding="utf-8")))

    @property
    def release(self) -> str:
        """The SHA-256 of its manifest."""
        return hashlib.sha256((self.folder / "manifest.json").read_bytes()).hexdigest()

    def rewrite(self, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> Made:
        """Change the manifest, and let it list the files as they are now."""
        manifest = {**self.manifest, "files": listed(self.folder)}
        change(manifest)
        (self.folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        return self

    def sign(self, key: Path, namespace: str = "fcnship-drop") -> Made:
        """Sign the manifest."""
        manifest = self.folder / "manifest.json"
        manifest.with_name("manifest.json.sig").unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key), str(manifest)]
        subprocess.run(command, check=True, capture_output=True)
        return self

    def copy(self, to: Path) -> Made:
        """The same drop elsewhere."""
        return Made(Path(shutil.copytree(self.folder, to)))


def make_drop(folder: Path, version: str = "1", seed: int = 1) -> Made:
    """A drop of a network of five nodes, FP32 and FP16, with golden data at two sizes of one profile."""
    weights = np.random.default_rng(seed)
    kernel = weights.normal(size=(HIDDEN, CHANNELS)).astype(np.float32)
    head = weights.normal(size=(HIDDEN, CLASSES)).astype(np.float32)
    for name in ("onnx", "golden"):
        (folder / name).mkdir(parents=True)
    for precision, kind in (("fp32", np.float32), ("fp16", np.float16)):
        onnx.save(network(kernel.astype(kind), head.astype(kind)), folder / f"onnx/{precision}.onnx")
    golden = [save_golden(folder, size, kernel, head, seed) for size in SIZES]
    (folder / "README.md").write_text("For the person with the device.\n", encoding="utf-8")
    (folder / "fcnship-device").write_text("#!/usr/bin/env python3\n", encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(manifest_of(version, golden)), encoding="utf-8")
    return Made(folder).rewrite()


def network(kernel: np.ndarray[Any, Any], head: np.ndarray[Any, Any]) -> onnx.ModelProto:
    """1x1 convolution, ReLU, mean over the map, dense, softmax; NCHW, any size."""
    kind = TensorProto.FLOAT16 if kernel.dtype == np.float16 else TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["map"]),
        helper.make_node("Relu", ["map"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["vector"]),
        helper.make_node("MatMul", ["vector", "head"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", kind, ["batch", CHANNELS, "height", "width"])
    output = helper.make_tensor_value_info("probabilities", kind, ["batch", CLASSES])
    weights = [
        numpy_helper.from_array(kernel.reshape(HIDDEN, CHANNELS, 1, 1), "kernel"),
        numpy_helper.from_array(head, "head"),
    ]
    graph = helper.make_graph(nodes, "tiny", [image], [output], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def save_golden(
    folder: Path, size: tuple[int, int], kernel: np.ndarray[Any, Any], head: np.ndarray[Any, Any], seed: int
) -> dict[str, Any]:
    """Random images and what numpy says of them; the file's row in the manifest."""
    height, width = size
    image = np.random.default_rng(seed).random((2, CHANNELS, height, width), dtype=np.float32)
    mean = np.maximum(np.einsum("oc,bchw->bohw", kernel, image), 0).mean(axis=(2, 3))
    powers = np.exp(mean @ head)
    file = f"golden/p0-{height}x{width}-b2.npz"
    np.savez(folder / file, image=image, expected=powers / powers.sum(axis=1, keepdims=True))
    tolerance = {"fp32": 1e-5, "fp16": 1e-2}
    return {
        "file": file,
        "profile": 0,
        "height": height,
        "width": width,
        "batch": 2,
        "tolerance": tolerance,
    }


def manifest_of(version: str, golden: list[dict[str, Any]]) -> dict[str, Any]:
    """The manifest, but for its files."""
    variants: list[dict[str, Any]] = [
        {"precision": name, "file": f"onnx/{name}.onnx", "io": name, "opset": 18, "kept_fp32": []}
        for name in ("fp32", "fp16")
    ]
    return {
        "schema": "fcnship.drop/1",
        "name": "tiny",
        "version": version,
        "created": "2026-11-21T05:00:00+00:00",
        "fcnship": "0.1.0",
        "sources": {"keras/model.keras": "0" * 64},
        "network": {
            "input": "image",
            "output": "probabilities",
            "layout": "nchw",
            "channels": CHANNELS,
            "classes": CLASSES,
            "labels": ["a", "b", "c"],
            "value_range": [0, 1],
            "total_stride": 1,
            "receptive_field": 1,
            "minimum_size": 1,
        },
        "requires": {
            "architectures": ["aarch64", "x86_64"],
            "tensorrt": {"least": "10.3", "below": "11.5"},
            "compute_capability": {"least": "7.5"},
            "disk_bytes": 100_000,
            "memory_bytes": 1_000_000,
        },
        "live": "fp32",
        "profiles": [{"min": [8, 8], "opt": [8, 8], "max": [16, 16], "batch": [1, 1, 4]}],
        "variants": variants,
        "golden": golden,
        "evidence": {"verdict": "pass", "parity": [], "accuracy": []},
        "files": [],
    }


def listed(folder: Path) -> list[dict[str, Any]]:
    """The rows of a manifest for the files that lie in a folder."""
    rows = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in ("manifest.json", "manifest.json.sig"):
            data = path.read_bytes()
            rows.append({"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return rows

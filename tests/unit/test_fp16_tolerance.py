"""The tolerance of FP16 is predicted from its step: an honest file passes it, and faults do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx_graphs import conv, model_of, node, run

from fcnship.precision.fp16 import narrowed
from fcnship.runners import open_runner
from fcnship.sizes import Size
from fcnship.verify.bounds import RepeatedBounds, step_ratio, tolerance_of
from fcnship.verify.steps import HALF_STEP, StepNoise, shifted
from fcnship.verify.sweep import Subject, sweep

CASES = [(Size(*sides), batch) for sides in ((20, 20), (33, 41), (64, 24)) for batch in (1, 6)]


def network() -> Any:
    """Four convolutions of random weights, a global average, a product and a softmax."""
    rng = np.random.default_rng(0)
    weights: dict[str, Any] = {"axes": np.array([2, 3], np.int64)}
    nodes, source, channels = [], "image", 1
    for i in range(4):
        weights[f"w{i}"] = rng.normal(0, (2 / (9 * channels)) ** 0.5, (12, channels, 3, 3)).astype(np.float32)
        weights[f"b{i}"] = rng.normal(0, 0.3, 12).astype(np.float32)
        nodes += [
            conv(f"conv_{i}/Conv", source, f"x{i}", f"w{i}", f"b{i}"),
            node("Relu", f"conv_{i}/Relu", [f"x{i}"], f"y{i}"),
        ]
        source, channels = f"y{i}", 12
    weights["w4"] = rng.normal(0, 1, (12, 5)).astype(np.float32)
    weights["b4"] = rng.normal(0, 0.3, 5).astype(np.float32)
    nodes += [
        node("ReduceMean", "pool/Mean", [source, "axes"], "pooled", keepdims=0),
        node("Gemm", "dense/Gemm", ["pooled", "w4", "b4"], "scores"),
        node("Softmax", "softmax/Softmax", ["scores"], "probabilities", axis=-1),
    ]
    layers = [*(f"conv_{i}" for i in range(4)), "pool", "dense", "softmax"]
    return model_of(nodes, weights, layers=layers, output=("batch", 5))


def images(size: Size, batch: int) -> Any:
    rng = np.random.default_rng((size.height, size.width, batch))
    return rng.random((batch, size.height, size.width, 1), np.float32)


def rows(folder: Path, edit: Callable[[Any], None]) -> list[dict[str, Any]]:
    """The parity rows of an FP16 file, after an edit of its graph."""
    onnx.save(network(), folder / "fp32.onnx")
    made = narrowed(network())
    edit(made.graph)
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, folder / "fp16.onnx")
    reference = open_runner("onnx-fp32", folder / "fp32.onnx", "nchw")
    subject = Subject(
        reference=reference,
        candidates=[open_runner("onnx-fp16", folder / "fp16.onnx", "nchw")],
        images=images,
        bounds=RepeatedBounds(reference, None),
        served=lambda size, batch: True,
        predictions={"fp16": StepNoise(network(), "nchw", lambda size: 1)},
    )
    return sweep(subject, CASES).parity


def scaled(name: str, factor: float) -> Callable[[Any], None]:
    def edit(graph: Any) -> None:
        tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
        values = numpy_helper.to_array(tensor) * np.float16(factor)
        tensor.CopyFrom(numpy_helper.from_array(values, name))

    return edit


def left_out(name: str) -> Callable[[Any], None]:
    def edit(graph: Any) -> None:
        old = next(n for n in graph.node if n.name == name)
        old.CopyFrom(helper.make_node("Identity", old.input[:1], old.output, name))

    return edit


def test_an_honest_file_passes_everywhere_with_room(tmp_path: Path) -> None:
    found = rows(tmp_path, lambda graph: None)
    assert all(row["passed"] for row in found)
    shares = [row["max_abs"] / row["tolerance"] for row in found]
    assert max(shares) < 0.5
    # The prediction is no wild guess either: some error comes near it.
    assert max(shares) > 0.05


@pytest.mark.parametrize(
    "fault",
    [
        *(
            pytest.param(scaled(f"w{i}", factor), id=f"w{i} x {factor}")
            for i in range(5)
            for factor in (0.5, 2)
        ),
        *(pytest.param(scaled(f"b{i}", 0), id=f"b{i} dropped") for i in range(5)),
        *(pytest.param(left_out(f"conv_{i}/Conv"), id=f"conv {i} left out") for i in (1, 2, 3)),
        *(pytest.param(left_out(f"conv_{i}/Relu"), id=f"relu {i} left out") for i in range(4)),
    ],
)
def test_a_fault_fails_at_every_case(fault: Callable[[Any], None], tmp_path: Path) -> None:
    assert not any(row["passed"] for row in rows(tmp_path, fault))


def test_the_shifts_are_of_half_a_step_and_repeat() -> None:
    model = model_of(
        [conv("a/Conv", "image", "probabilities", "w")], {"w": np.ones((1, 1, 1, 1), np.float32)}
    )
    image = np.random.default_rng(0).normal(size=(1, 1, 40, 40)).astype(np.float32)
    feed = {"image": image, "fcnship/draw": np.array(0, np.float32)}
    import onnxruntime

    session = onnxruntime.InferenceSession(
        shifted(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    moved = session.run(None, feed)[0]
    weight = 1 + HALF_STEP * np.sin(1e6)
    share = moved / (image * weight) - 1
    assert np.abs(share).max() <= HALF_STEP * 1.001
    assert np.abs(share).max() > 0.99 * HALF_STEP
    assert abs(share.mean()) < 0.05 * HALF_STEP
    np.testing.assert_array_equal(session.run(None, feed)[0], moved)
    assert (session.run(None, {**feed, "fcnship/draw": np.array(1.7, np.float32)})[0] != moved).any()
    assert run(model, image).shape == moved.shape


def test_an_expensive_batch_is_looked_at_in_part() -> None:
    noise = StepNoise(network(), "nchw", lambda size: 10**10)
    batch = images(Size(20, 20), 4)
    outputs = run(network(), batch.transpose(0, 3, 1, 2))
    alone = noise.at(Size(20, 20), batch[:1], outputs[:1])
    assert noise.at(Size(20, 20), batch, outputs) == alone
    # A later, calmer image does not make the prediction for those that were not looked at smaller.
    calm = np.zeros_like(batch)
    calm_outputs = run(network(), calm.transpose(0, 3, 1, 2))
    assert noise.at(Size(20, 20), calm, calm_outputs) >= alone


def test_tolerances_of_variants() -> None:
    assert tolerance_of("onnx-fp32", 1e-6, None) == 1e-6
    assert tolerance_of("onnx-fp16", 1e-6, None) == 1e-6 * step_ratio("onnx-fp16")
    assert tolerance_of("onnx-fp16:mine", 1e-6, 1e-4) == 4e-4
    assert tolerance_of("engine-fp16", 1e-6, 1e-4) == 1.6e-3
    assert tolerance_of("onnx-fp16", 1e-6, 1e-9) == 1e-6
    # A float32 network that overflows in FP16's own prediction predicts nothing.
    assert tolerance_of("onnx-fp16", 1e-6, float("nan")) == 1e-6 * step_ratio("onnx-fp16")

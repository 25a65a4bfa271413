"""A network proves itself against golden data; here with ONNX Runtime, on a GPU in tests/gpu."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from drops import Made

from fcnship.device import output
from fcnship.device.cuda import Gpu, first_gpu
from fcnship.device.engines import Engine
from fcnship.device.manifest import read_manifest
from fcnship.device.selftest import compare, outside, self_test
from fcnship.errors import ArtifactError, DeviceError
from fcnship.sizes import Size


def rows_of(drop: Made, precision: str = "fp32") -> list[dict[str, Any]]:
    return self_test(drop.folder, read_manifest(drop.folder), precision, "onnxruntime", None)


def edit_golden(drop: Made, **change: Any) -> Made:
    path = drop.folder / "golden/p0-8x8-b2.npz"
    with np.load(path) as arrays:
        found = dict(arrays)
    np.savez(
        path, **{name: value(found[name]) if callable(value) else value for name, value in change.items()}
    )
    return drop.rewrite()


def same(array: Any) -> Any:
    return array


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_row_for_each_golden_file(drop: Made, precision: str) -> None:
    rows = rows_of(drop, precision)
    assert [(row["height"], row["width"], row["batch"], row["profile"]) for row in rows] == [
        (8, 8, 2, 0),
        (16, 12, 2, 0),
    ]
    for row in rows:
        assert (row["variant"], row["reference"]) == (f"device-{precision}", "keras")
        assert row["passed"]
        assert row["fault"] == ""
        assert 0 <= row["mean_abs"] <= row["max_abs"] <= row["tolerance"]
        assert row["cosine"] == pytest.approx(1, abs=1e-4)
        assert row["argmax_flips"] == 0
    assert rows[0]["tolerance"] == {"fp32": 1e-5, "fp16": 1e-2}[precision]
    assert rows[0]["file"] == "golden/p0-8x8-b2.npz"


def test_a_difference_above_the_tolerance_fails_at_its_size_alone(drop: Made) -> None:
    rows = rows_of(edit_golden(drop, image=same, expected=lambda a: a + np.float32(0.1)))
    assert [row["passed"] for row in rows] == [False, True]
    assert rows[0]["max_abs"] == pytest.approx(0.1, abs=1e-4)
    assert rows[0]["fault"] == "differs by 0.1, 1e-05 is allowed"


def test_a_changed_decision_is_counted(drop: Made) -> None:
    rows = rows_of(edit_golden(drop, image=same, expected=lambda a: a[:, ::-1]))
    assert rows[0]["argmax_flips"] == 2
    assert not rows[0]["passed"]


def test_no_number_fails(drop: Made) -> None:
    """The network itself makes NaN: its weights are changed."""
    path = drop.folder / "onnx/fp32.onnx"
    model = onnx.load(path)
    model.graph.initializer[1].raw_data = np.full((4, 3), np.nan, np.float32).tobytes()
    onnx.save(model, path)
    rows = rows_of(drop.rewrite())
    assert [row["passed"] for row in rows] == [False, False]
    assert rows[0]["fault"] == "the output has NaN or infinity in it"
    assert math.isinf(rows[0]["max_abs"])


def test_another_shape_fails_with_its_message(drop: Made) -> None:
    rows = rows_of(edit_golden(drop, image=same, expected=lambda a: a[:, :2]))
    assert rows[0]["fault"] == "the output has the shape (2, 3), not (2, 2)"
    assert not rows[0]["passed"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image": same}, "it cannot be read: 'expected is not a file in the archive'"),
        ({"expected": same, "image": lambda a: a[:1]}, "its images are float32 (1, 1, 8, 8), not float32 (2"),
        ({"expected": same, "image": lambda a: a.astype(np.float64)}, "its images are float64"),
        ({"expected": lambda a: a[:1], "image": same}, "its expected outputs are float32 (1, 3)"),
        ({"expected": np.array([{}]), "image": same}, "it cannot be read: Object arrays cannot be loaded"),
    ],
)
def test_golden_data_that_are_not_what_the_manifest_says(
    drop: Made, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ArtifactError) as refused:
        rows_of(edit_golden(drop, **change))
    assert refused.value.what.endswith("p0-8x8-b2.npz is not the golden data that the manifest names")
    assert refused.value.cause.startswith(told)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive"])
def test_golden_files_that_are_none(drop: Made, content: bytes) -> None:
    (drop.folder / "golden/p0-8x8-b2.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match="it cannot be read"):
        rows_of(drop.rewrite())


def test_a_network_that_does_not_open(drop: Made) -> None:
    (drop.folder / "onnx/fp32.onnx").write_bytes(b"no network")
    with pytest.raises(ArtifactError, match="ONNX Runtime does not open"):
        rows_of(drop.rewrite())


def test_a_network_that_fails_at_a_size_is_a_failing_row(drop: Made) -> None:
    """It takes 8 rows alone: the second golden file has 16."""
    path = drop.folder / "onnx/fp32.onnx"
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 8
    onnx.save(model, path)
    rows = rows_of(drop.rewrite())
    assert [row["passed"] for row in rows] == [True, False]
    assert rows[1]["fault"].startswith("ONNX Runtime fails: ")
    assert "index: 2 Got: 16 Expected: 8" in rows[1]["fault"]


@pytest.mark.skipif(isinstance(first_gpu(), Gpu), reason="there is a GPU")
@pytest.mark.skipif(importlib.util.find_spec("polygraphy") is None, reason="polygraphy is not installed")
def test_without_a_gpu_an_engine_is_an_error_and_nothing_ends(drop: Made, tmp_path: Path) -> None:
    engine = Engine(key="0" * 64, folder=tmp_path, flavour="tensorrt_rtx", built=False, seconds=0.0)
    with pytest.raises(DeviceError) as refused:
        self_test(drop.folder, read_manifest(drop.folder), "fp32", "tensorrt", engine)
    assert refused.value.what == (
        "tensorrt does not run tiny at fp32: it was built, and no NVIDIA GPU answers here to run it"
    )


def test_of_a_map_the_classes_are_the_axis_of_decisions() -> None:
    expected = np.zeros((1, 3, 2, 2), np.float32)
    expected[:, 1] = 1
    outputs = expected.copy()
    outputs[0, :, 0, 0] = (1, 0, 0)
    row = compare(outputs, expected, 2.0, axis=1)
    assert (row["argmax_flips"], row["max_abs"], row["passed"]) == (1, 1.0, True)


def test_shapes_just_outside_of_the_profiles(drop: Made) -> None:
    """Profiles that touch: what another one serves is not outside."""
    second = {"min": [16, 16], "opt": [16, 16], "max": [32, 20], "batch": [1, 1, 4]}
    drop.rewrite(
        lambda m: (m["profiles"].append(second), m["golden"].append({**m["golden"][0], "profile": 1}))
    )
    drop.rewrite(lambda m: m["golden"][2].update(height=16, width=16, file="golden/p0-16x12-b2.npz"))
    assert list(outside(read_manifest(drop.folder))) == [
        (0, Size(7, 8), 1),
        (0, Size(8, 7), 1),
        (0, Size(16, 16), 5),
        (1, Size(33, 20), 4),
        (1, Size(32, 21), 4),
        (1, Size(32, 20), 5),
    ]


def test_what_json_cannot_write_is_written_as_the_report_does(capsys: pytest.CaptureFixture[str]) -> None:
    row = compare("why", np.zeros((1, 3), np.float32), 0.1)
    output.print_facts("install", {"parity": [row, (math.nan,)]})
    facts = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert facts["parity"][0]["max_abs"] == "inf"
    assert facts["parity"][1] == ["nan"]

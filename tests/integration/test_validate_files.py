"""Files of any origin against each other: every gate has a fault that it catches, in a real exported ONNX."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import faulty_onnx as faults
import numpy as np
import onnx
import onnx_models
import pytest
from builds import fcnship as command
from keras import layers
from onnx import TensorProto, helper

import fcnship
from fcnship.errors import ArtifactError, FcnshipError, ModelRefused, ParityFailed, UsageError
from fcnship.graph.onnx_export import export
from fcnship.precision.activations import Activations
from fcnship.precision.fp16 import narrowed
from fcnship.precision.int8 import quantized
from fcnship.reports.json_report import read_report
from fcnship.verify.noise import MULTIPLE
from fcnship.verify.reproducer import read_reproducer

# Keras 3 hands variables to NumPy 2 in the old way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
STRIDE = 4
PROFILE = "12-30@4"


@pytest.fixture(scope="module")
def model() -> Any:
    """Stride 4, one channel, a softmax over five classes."""
    body = onnx_models.stack(
        onnx_models.conv(6, strides=2, padding="same", activation="relu"),
        onnx_models.conv(8, strides=2, padding="same", activation="relu"),
    )
    built = onnx_models.with_weights(onnx_models.network(body, channels=1))
    for layer in built.layers:  # outputs that differ clearly from image to image
        if isinstance(layer, layers.Dense):
            layer.kernel.assign(layer.kernel * 6)
    return built


@pytest.fixture(scope="module")
def files(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.keras``, ``savedmodel/``, ``nchw.onnx`` and ``nhwc.onnx`` of one network. For looking only."""
    folder = tmp_path_factory.mktemp("files")
    model.save(folder / "model.keras")
    model.export(folder / "savedmodel", verbose=False)
    for layout in ("nchw", "nhwc"):
        export(model, folder / f"{layout}.onnx", layout, {})  # type: ignore[arg-type]
    return folder


def rows(run: fcnship.Run, what: str = "parity") -> list[Any]:
    assert run.report
    return list(run.report[what])


def test_keras_savedmodel_and_onnx_in_both_orders_agree(files: Path, tmp_path: Path) -> None:
    paths = [files / name for name in ("model.keras", "savedmodel", "nchw.onnx", "nhwc.onnx")]
    run = fcnship.validate(*paths, profile=PROFILE, out=tmp_path)
    assert run.passed
    found = rows(run)
    assert {row["variant"] for row in found} == {"savedmodel", "onnx-fp32", "onnx-fp32:nhwc"}
    sizes = {(row["height"], row["width"]) for row in found}
    assert {(11, 11), (12, 12), (30, 30), (31, 31), (12, 30)} <= sizes
    assert {(h % STRIDE, w % STRIDE) for h, w in sizes} >= {(r, r) for r in range(STRIDE)}
    assert {row["batch"] for row in found} == {1, 4}
    assert all(row["floors"] == pytest.approx(row["max_abs"] / row["noise_floor"], rel=1e-3) for row in found)
    assert read_report(tmp_path / "report.json") == run.report
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.json",
        "report.md",
        "report.html",
        "junit.xml",
    }


def test_the_budget_of_real_files_adds_up(files: Path) -> None:
    paths = [files / name for name in ("model.keras", "savedmodel", "nchw.onnx")]
    budget = rows(fcnship.validate(*paths, profile="12-16"), "budget")
    cases: dict[Any, list[Any]] = {}
    for row in budget:
        cases.setdefault((row["height"], row["width"], row["batch"]), []).append(row)
    for steps in cases.values():
        steps.sort(key=lambda row: row["variant"] == "onnx-fp32")
        assert [row["variant"] for row in steps] == ["savedmodel", "onnx-fp32"]
        total = steps[-1]["total_mean"]
        assert sum(row["contribution"] for row in steps) == pytest.approx(total, rel=1e-4, abs=1e-12)
        assert steps[-1]["total_max"] <= sum(row["step_max"] for row in steps) * (1 + 1e-4)


FAULTS: dict[str, faults.Edit] = {
    "wrong weight": faults.with_weights(faults.wrong_weight),
    "swapped channels": faults.with_weights(faults.swapped_channels, 1),
    "transposed kernel": faults.with_weights(faults.transposed),
    "pad off by one": faults.off_by_one_pad,
    "dropped bias": faults.dropped_bias,
    "height with remainder 3": faults.where_remainder_is(2, STRIDE, 3, 1e-3),
    "width with remainder 3": faults.where_remainder_is(3, STRIDE, 3, 1e-3),
    "one row of the batch": faults.in_batch_row(2, 1e-3),
    "NaN at one height": faults.nan_from(13),
    "constant": faults.constant,
}
SMALLEST = {
    "height with remainder 3": (15, 12, 1),
    "width with remainder 3": (12, 15, 1),
    "one row of the batch": (12, 12, 3),
    "NaN at one height": (13, 12, 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_caught_shrunk_and_shown_again(name: str, files: Path, tmp_path: Path) -> None:
    bad = faults.faulty(files / "nchw.onnx", FAULTS[name], tmp_path / "bad.onnx")
    with pytest.raises(ParityFailed) as caught:
        fcnship.validate(files / "model.keras", bad, profile=PROFILE, out=tmp_path / "report")
    report = caught.value.run.report
    assert report["verdict"] == "fail"
    (told,) = report["reproducers"]
    if name in SMALLEST:
        assert (told["height"], told["width"], told["batch"]) == SMALLEST[name]
    kept = tmp_path / "report" / told["path"]
    held = read_reproducer(kept)
    assert held.images.shape == (told["batch"], told["height"], told["width"], 1)
    assert told["command"] in report["reasons"][0]["next"]
    with pytest.raises(ParityFailed) as again:
        fcnship.reproduce(kept)
    assert again.value.run.row["fault"] == told["fault"]
    assert fcnship.reproduce(kept, files / "nchw.onnx").agrees


def test_a_constant_output_fails_under_any_tolerance(files: Path, tmp_path: Path) -> None:
    bad = faults.faulty(files / "nchw.onnx", faults.constant, tmp_path / "bad.onnx")
    with pytest.raises(ParityFailed, match="the output is the same for different images"):
        fcnship.validate(files / "nchw.onnx", bad, profile="12-16", atol=10)


def test_a_fixed_tolerance_is_used_and_told(files: Path, tmp_path: Path) -> None:
    bad = faults.faulty(
        files / "nchw.onnx", faults.where_remainder_is(2, STRIDE, 3, 1e-6), tmp_path / "bad.onnx"
    )
    run = fcnship.validate(files / "nchw.onnx", bad, profile="12-16", atol=1e-2)
    assert run.report
    assert run.report["tolerance"] == "fixed: 0.01 plus 0 times the largest output, as asked for"
    assert {row["tolerance"] for row in rows(run)} == {0.01}
    with pytest.raises(ParityFailed):
        fcnship.validate(files / "nchw.onnx", bad, profile="12-16", atol=1e-8)


@pytest.fixture(scope="module")
def narrow(files: Path) -> Path:
    """``fp16.onnx`` and ``int8.onnx`` of the same network, beside the others."""
    model = onnx.load(files / "nchw.onnx")
    onnx.save(narrowed(model), files / "fp16.onnx")
    rng, ranges = np.random.default_rng(0), {}
    reader = Activations(model)
    for _ in range(8):
        for name, values in reader.of(rng.random((1, 20, 20, 1), np.float32)):
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))
    onnx.save(quantized(model, ranges), files / "int8.onnx")
    return files


@pytest.mark.parametrize("references", [["nchw.onnx"], ["model.keras"], ["model.keras", "nhwc.onnx"]])
def test_narrow_files_are_held_to_what_their_steps_predict(narrow: Path, references: list[str]) -> None:
    names = [*references, "fp16.onnx", "int8.onnx"]
    run = fcnship.validate(*(narrow / name for name in names), profile="12-16", value_range=(0, 1))
    assert run.report
    assert run.report["tolerance"].endswith(
        "; for FP16 and INT8 a multiple of how far the float32 network moves with rounding steps of that size"
    )
    shares: dict[str, list[float]] = {"onnx-fp16": [], "onnx-int8": []}
    for row in rows(run):
        if row["variant"] in shares:
            shares[row["variant"]].append(row["tolerance"] / (row["noise_floor"] * MULTIPLE))
    assert np.median(shares["onnx-fp16"]) < 2.0**13 / 2  # by the ratio of the steps alone it is 2**13
    assert len(set(shares["onnx-int8"])) > 3  # and for INT8 2**16 everywhere


def test_a_fault_below_the_steps_of_fp16_is_caught_where_the_float32_network_is_there(
    narrow: Path, tmp_path: Path
) -> None:
    fault = faults.where_remainder_is(2, STRIDE, 3, 2e-3)
    bad = faults.faulty(narrow / "fp16.onnx", fault, tmp_path / "bad.onnx")
    run = fcnship.validate(narrow / "savedmodel", bad, profile="12-16")  # by the ratio of the steps alone
    assert run.passed
    with pytest.raises(ParityFailed):
        fcnship.validate(narrow / "savedmodel", narrow / "nhwc.onnx", bad, profile="12-16")


def test_a_stranger_s_names_and_another_data_order_do_not_matter(files: Path, tmp_path: Path) -> None:
    model = onnx.load(files / "nhwc.onnx")
    for node in model.graph.node:
        node.input[:] = ["x" if name == "image" else name for name in node.input]
        node.output[:] = ["y" if name == "probabilities" else name for name in node.output]
    model.graph.input[0].name, model.graph.output[0].name = "x", "y"
    onnx.save(model, tmp_path / "stranger.onnx")
    run = fcnship.validate(files / "nchw.onnx", tmp_path / "stranger.onnx", profile="12-16")
    assert run.passed
    assert run.report
    assert "optimisation" in run.report["tolerance"]  # ONNX has no float64 copy


def test_a_file_of_one_size_is_compared_there_alone(files: Path, tmp_path: Path) -> None:
    model = onnx.load(files / "nchw.onnx")
    for place, side in ((2, 20), (3, 24)):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_value = side
    onnx.save(model, tmp_path / "fixed.onnx")
    run = fcnship.validate(files / "nchw.onnx", tmp_path / "fixed.onnx")
    assert {(row["height"], row["width"]) for row in rows(run)} == {(20, 24)}
    with pytest.raises(FcnshipError, match="asks for other sizes than 20x24"):
        fcnship.validate(files / "nchw.onnx", tmp_path / "fixed.onnx", profile="12-16")


def test_images_are_noise_where_the_data_does_not_fit_and_that_is_said(tmp_path: Path) -> None:
    network = onnx_models.with_weights(onnx_models.network(onnx_models.conv(4)))
    export(network, tmp_path / "colour.onnx", "nchw", {})
    shutil.copy(tmp_path / "colour.onnx", tmp_path / "copy.onnx")
    run = fcnship.validate(tmp_path / "colour.onnx", tmp_path / "copy.onnx", profile="8-12")
    assert run.report
    assert any(text.startswith("the images are noise (seed 0)") for text in run.report["warnings"])
    assert run.report["data"]["name"] == "noise"


def test_unlike_things_are_refused(files: Path, tmp_path: Path) -> None:
    colour = onnx_models.network(onnx_models.conv(4))
    colour.save(tmp_path / "colour.keras")
    keras = files / "model.keras"
    with pytest.raises(ModelRefused, match=r"colour.keras has 3 channels, .*model.keras has 1"):
        fcnship.validate(keras, tmp_path / "colour.keras")
    more = onnx_models.network(
        onnx_models.conv(4), channels=1, head=lambda x: layers.GlobalAveragePooling2D()(x)
    )
    more.save(tmp_path / "more.keras")
    with pytest.raises(ModelRefused, match=r"more.keras has 4 classes, .*model.keras has 5"):
        fcnship.validate(keras, tmp_path / "more.keras")
    (tmp_path / "text.txt").write_text("no model")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    (tmp_path / "alone.engine").write_bytes(b"no engine")
    for name, kind, text in (
        ("text.txt", ModelRefused, "is no model that fcnship opens"),
        ("bad.onnx", ArtifactError, "cannot be read as ONNX"),
        ("alone.engine", ArtifactError, "does not say what the engine beside it is"),
        ("nothing.onnx", UsageError, "no such file or folder"),
        ("", ModelRefused, "a folder without saved_model.pb"),
    ):
        with pytest.raises(kind, match=text if name else "is no model that fcnship opens"):
            fcnship.validate(keras, tmp_path / name)
    with pytest.raises(UsageError, match="is no run folder"):
        fcnship.validate(keras)


def test_two_inputs_are_refused(files: Path, tmp_path: Path) -> None:
    sides = ["n", 1, "h", "w"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in "ab"]
    output = helper.make_tensor_value_info("c", TensorProto.FLOAT, sides)
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "two", inputs, [output])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        tmp_path / "two.onnx",
    )
    with pytest.raises(ModelRefused, match="has 2 inputs and 1 outputs"):
        fcnship.validate(files / "nchw.onnx", tmp_path / "two.onnx")


def test_outputs_of_another_machine(files: Path, tmp_path: Path) -> None:
    saved = tmp_path / "outputs.npz"
    fcnship.validate(files / "nchw.onnx", files / "savedmodel", profile=PROFILE, save_outputs=saved)
    run = fcnship.validate(files / "model.keras", load_outputs=saved)
    assert {row["variant"] for row in rows(run)} == {"onnx-fp32", "savedmodel"}
    assert run.passed
    with pytest.raises(FcnshipError, match="the hash of the images differs") as caught:
        fcnship.validate(files / "model.keras", load_outputs=saved, value_range=(0, 2))
    assert caught.value.exit_code == 3
    bad = faults.faulty(
        files / "nchw.onnx", faults.where_remainder_is(2, STRIDE, 3, 1e-3), tmp_path / "bad.onnx"
    )
    with pytest.raises(ParityFailed):
        fcnship.validate(bad, files / "savedmodel", profile=PROFILE, save_outputs=saved)
    with pytest.raises(ParityFailed, match="onnx-fp32 differs from keras in"):
        fcnship.validate(files / "model.keras", load_outputs=saved)


def test_the_command_line_does_the_same(files: Path, tmp_path: Path) -> None:
    bad = faults.faulty(files / "nchw.onnx", faults.in_batch_row(2, 1e-3), tmp_path / "bad.onnx")
    words = ("validate", str(files / "nchw.onnx"), str(bad), "--profile", PROFILE)
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 4
    assert done.stdout.startswith("FAIL  onnx-fp32")
    assert "give --out DIR to keep the report and a reproducer" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.onnx"]
    done = command(*words, "--out", "here", "--json", cwd=tmp_path)
    (told,) = json.loads(done.stdout)["reproducers"]
    assert told["command"] == "fcnship reproduce here/reproduce/onnx-fp32-bad.npz"
    again = command(*told["command"].split()[1:], cwd=tmp_path)
    assert (again.returncode, "FAILS: the largest error 0.001" in again.stdout) == (4, True)
    good = command(*told["command"].split()[1:], str(files / "nchw.onnx"), cwd=tmp_path)
    assert (good.returncode, "agrees now" in good.stdout) == (0, True)
    wrong = command(*words, "--max-slowdown", "1.05", cwd=tmp_path)
    assert (wrong.returncode, "--max-slowdown does not go with" in wrong.stderr) == (2, True)


def test_every_size_is_compared_where_all_are_asked_for(files: Path) -> None:
    run = fcnship.validate(files / "nchw.onnx", files / "nhwc.onnx", profile="12-30", sizes="all")
    sizes = {(row["height"], row["width"]) for row in rows(run)}
    assert {(side, side) for side in range(12, 31)} <= sizes
    assert {height for height, width in sizes if height != width} >= set(range(12, 31)) - {12, 30}


def test_damaged_reproducers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(UsageError, match="no such file"):
        fcnship.reproduce(path)
    np.savez(path, images=np.zeros(3))
    with pytest.raises(ArtifactError, match="cannot be read as a reproducer"):
        fcnship.reproduce(path)

"""Which layer: faults injected into exported Keras networks are found in the layer that has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faulty_onnx as faults
import keras
import numpy as np
import onnx
import onnx_models
import pytest
from builds import fcnship as command
from builds import read
from keras import layers
from onnx import helper, numpy_helper

import fcnship
from fcnship.errors import ParityFailed, UsageError
from fcnship.graph.onnx_export import export
from fcnship.hashing import sha256_of_file
from fcnship.precision.fp16 import narrowed
from fcnship.sizes import Size
from fcnship.verify.attribution.attributed import Candidate, Place
from fcnship.verify.attribution.attribution import Attribution
from fcnship.verify.attribution.cut_graph import CutGraph
from fcnship.verify.attribution.layer_errors import layer_errors
from fcnship.verify.attribution.references import KerasReference
from fcnship.verify.image_batches import ImageBatches

# Keras 3 hands variables to NumPy 2 in the old way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
ROUNDING = 3e-6
IMAGES = ImageBatches(channels=3, value_range=(0.0, 1.0))
PLACE = Place(size=Size(20, 27), batch=2)
ALL = [
    "stem + stem_bn",
    "stem_relu",
    "block/a",
    "block/b",
    "sum1",
    "shared",
    "shared (call 2)",
    "sum2",
    "deep + deep_bn",
    "deep_relu",
    "pool",
    "scores",
]


def tangle() -> Any:
    """Two residual branches, a nested model, a shared layer, and BatchNormalization behind convolutions."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
    block = keras.Sequential(
        [
            keras.Input((None, None, 8)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="a"),
            layers.Dropout(0.3, name="drop"),
            layers.Conv2D(8, (3, 1), padding="same", name="b"),
        ],
        name="block",
    )
    x = layers.Add(name="sum1")([x, block(x)])
    shared = layers.Conv2D(8, 3, padding="same", activation="relu", name="shared")
    x = layers.Add(name="sum2")([x, shared(shared(x))])
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", name="deep")(x)
    x = layers.ReLU(name="deep_relu")(layers.BatchNormalization(name="deep_bn")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return onnx_models.with_weights(
        keras.Model(image, layers.Dense(5, activation="softmax", name="scores")(x), name="tangle")
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.keras``, ``savedmodel/``, ``nchw.onnx`` and ``nhwc.onnx``. For looking only."""
    folder = tmp_path_factory.mktemp("files")
    model = tangle()
    model.save(folder / "model.keras")
    model.export(folder / "savedmodel", verbose=False)
    for layout in ("nchw", "nhwc"):
        export(model, folder / f"{layout}.onnx", layout, {})  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def attribution(files: Path) -> Attribution:
    """Against the Keras model, which is loaded once."""
    return Attribution("keras", files / "model.keras", "nhwc", IMAGES)


def rows_of(attribution: Attribution, path: Path, layout: str = "nchw", variant: str = "onnx-fp32") -> Any:
    candidate = Candidate(variant=variant, path=path, layout=layout)  # type: ignore[arg-type]
    return attribution.of(candidate, PLACE).as_json()


def weights(prefix: str, place: int, change: Callable[[Any], Any]) -> faults.Edit:
    """Change a weight of the first convolution or matrix whose name begins so."""

    def edit(graph: Any) -> None:
        node = _node(graph, prefix, ("Conv", "Gemm"))
        tensor = next(tensor for tensor in graph.initializer if tensor.name == node.input[place])
        value = np.ascontiguousarray(change(numpy_helper.to_array(tensor).copy()), np.float32)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))

    return edit


def pads(prefix: str, values: list[int]) -> faults.Edit:
    def edit(graph: Any) -> None:
        node = _node(graph, prefix, ("Conv",))
        for attribute in [a for a in node.attribute if a.name in ("auto_pad", "pads")]:
            node.attribute.remove(attribute)
        node.attribute.append(helper.make_attribute("pads", values))

    return edit


def without_activation(prefix: str) -> faults.Edit:
    def edit(graph: Any) -> None:
        _node(graph, prefix, ("Relu",)).op_type = "Identity"

    return edit


def _node(graph: Any, prefix: str, kinds: tuple[str, ...]) -> Any:
    return next(n for n in graph.node if n.name.startswith(f"{prefix}/") and n.op_type in kinds)


FAULTS: dict[str, tuple[faults.Edit, str, str]] = {
    "transposed kernel with a folded BatchNormalization": (
        weights("stem_bn", 1, faults.transposed),
        "stem + stem_bn",
        "its kernel is transposed: rows and columns are swapped",
    ),
    "dropped bias in a nested model": (
        weights("block/b", 2, lambda bias: 0 * bias),
        "block/b",
        "its bias is zero",
    ),
    "scale of two in a shared layer": (
        weights("shared", 1, lambda kernel: 2 * kernel),
        "shared (call 2)",
        "its kernel is 2 times the reference's",
    ),
    "mirrored depthwise kernel": (
        weights("deep", 1, lambda kernel: kernel[:, :, ::-1, ::-1]),
        "deep + deep_bn",
        "its kernel is mirrored: rows and columns are reversed",
    ),
    "swapped channels": (
        weights("block/a", 1, faults.swapped_channels),
        "block/a",
        "its kernel is in the reverse order of input channels",
    ),
    "pad off by one": (
        pads("block/a", [2, 2, 0, 0]),
        "block/a",
        "it pads 2, 2, 0, 0 (top, left, bottom, right), the reference 1, 1, 1, 1",
    ),
    "dropped bias of the last layer": (
        weights("scores", 2, lambda bias: 0 * bias),
        "scores",
        "its bias is zero",
    ),
    "forgotten activation": (
        without_activation("shared/call_2"),
        "shared (call 2)",
        "its activation relu is missing",
    ),
}


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_sound_export_is_cut_at_every_layer(files: Path, attribution: Attribution, layout: str) -> None:
    found = rows_of(attribution, files / f"{layout}.onnx", layout)
    in_order = sorted(found["rows"], key=lambda row: row["place"])
    assert [row["layer"] for row in in_order] == ALL
    assert all(row["local"] < ROUNDING and row["total"] < ROUNDING and not row["fault"] for row in in_order)
    assert found["finding"].startswith("no layer adds more than rounding does")


@pytest.mark.parametrize("name", FAULTS)
def test_the_layer_with_the_fault_is_first(
    name: str, files: Path, attribution: Attribution, tmp_path: Path
) -> None:
    edit, layer, told = FAULTS[name]
    found = rows_of(attribution, faults.faulty(files / "nchw.onnx", edit, tmp_path / "bad.onnx"))
    first = found["rows"][0]
    path = layer.partition(" (")[0]  # of a shared layer either call may be the worse
    assert (first["layer"].partition(" (")[0], first["fault"]) == (path, told)
    others = [row for row in found["rows"] if not row["layer"].startswith(path)]
    assert all(row["local"] < ROUNDING < first["local"] / 1000 for row in others)
    behind = [row for row in others if row["place"] > first["place"]]
    assert not behind or any(row["total"] > 1e-3 for row in behind)
    assert found["finding"] == f"{first['layer']} computes something else: {told}"


def test_fp16_s_worst_layer_is_the_one_of_huge_weights_and_keeping_it_helps(tmp_path: Path) -> None:
    model = tangle()
    shared = model.get_layer("shared")
    shared.kernel.assign(shared.kernel * 1500)
    model.get_layer("deep_bn").moving_variance.assign(np.full(8, 1e13, np.float32))
    model.save(tmp_path / "model.keras")
    export(model, tmp_path / "fp32.onnx", "nchw", {})
    onnx.save(narrowed(onnx.load(tmp_path / "fp32.onnx")), tmp_path / "fp16.onnx")
    attribution = Attribution("keras", tmp_path / "model.keras", "nhwc", IMAGES)
    candidate = Candidate(variant="onnx-fp16", path=tmp_path / "fp16.onnx", layout="nchw")
    found = attribution.of(candidate, PLACE)
    first = found.as_json()["rows"][0]
    assert first["layer"] == "shared (call 2)"
    assert first["local"] == float("inf")
    assert "float16 ends at 65504" in first["fault"]
    trials = found.tried([(PLACE.size, 2), (Size(30, 30), 1)], None)  # the FP32 graph is exported again
    told = found.as_json(trials)
    assert "--keep-fp32 shared" in told["suggestion"]["flags"]
    assert trials[-1]["rows"][0]["before_max_abs"] == float("inf")
    assert all(row["after_max_abs"] < 0.01 for row in trials[-1]["rows"])


OTHER_NETWORKS = (
    "batchnorm first",
    "brightest",
    "modern block",
    "transposed",
    "group norm",
    "dense on a map",
)


@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_other_networks_are_cut_where_keras_is(name: str, tmp_path: Path) -> None:
    model = onnx_models.with_weights({**onnx_models.PLAIN, **onnx_models.OTHERS}[name]())
    images = np.random.default_rng(0).random((2, 31, 37, model.inputs[0].shape[-1]), dtype=np.float32)
    export(model, tmp_path / "model.onnx", "nchw", {})
    errors = layer_errors(KerasReference(model), CutGraph.read(tmp_path / "model.onnx"), "nchw", images)
    assert len(errors) >= 3
    assert max(error.local for error in errors) < 1e-5


def test_files_by_the_command(files: Path, tmp_path: Path) -> None:
    edit, layer, told = FAULTS["pad off by one"]
    bad = faults.faulty(files / "nchw.onnx", edit, tmp_path / "bad.onnx")
    with pytest.raises(ParityFailed) as caught:
        fcnship.validate(files / "model.keras", bad, profile="12-20")
    reason = caught.value.run.report["reasons"][0]
    assert f"fcnship validate {files / 'model.keras'} {bad} --attribute" in reason["next"]
    words = [
        "validate",
        files / "model.keras",
        bad,
        files / "savedmodel",
        "--profile",
        "12-20",
        "--attribute",
    ]
    done = command(*map(str, words), "--size", "16", "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 4
    assert f"{layer} computes something else: {told}" in " ".join(done.stdout.split())
    assert "savedmodel was not taken apart: only ONNX files can be cut" in " ".join(done.stdout.split())
    for name in ("report.md", "report.html"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "Which layer" in text
        assert "block/a" in text
    with pytest.raises(UsageError, match=r"the layers of .*savedmodel cannot be looked into"):
        fcnship.validate(files / "savedmodel", bad, profile="12-20", attribute=True)


def test_a_run_folder(tiny_copy: Path) -> None:
    run = tiny_copy / "artifacts/tiny"
    _built_so(run, faults.with_weights(faults.transposed))
    with pytest.raises(ParityFailed) as caught:
        fcnship.validate(run, attribute=True)
    report = caught.value.run.report
    found = {row["variant"]: row for row in report["attribution"]}
    assert found["onnx-fp32"]["rows"][0]["fault"] == "its kernel is transposed: rows and columns are swapped"
    assert found["savedmodel"]["status"] == "skipped"
    assert found["onnx-fp32"]["finding"] in report["reasons"][0]["next"]


def _built_so(run: Path, edit: faults.Edit) -> None:
    """Put a fault into a run's ONNX file as if it, and the engine made of it, had been built so."""
    path = run / "onnx/fp32.onnx"
    before = sha256_of_file(path)
    faults.faulty(path, edit, path)
    for about in run.glob("engines/*.json"):
        text = about.read_text(encoding="utf-8").replace(before, sha256_of_file(path))
        about.write_text(text, encoding="utf-8")
    record = read(run / "run.json")
    for artifact in (artifact for stage in record["stages"] for artifact in stage["artifacts"]):
        file = run / artifact["path"]
        artifact |= {"bytes": file.stat().st_size, "sha256": sha256_of_file(file)}
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")

"""The fp16 stage in a real run folder: what it keeps in FP32 and why, its record, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

from fcnship import api
from fcnship.driver import changes_of, drive
from fcnship.errors import ModelRefused, UsageError
from fcnship.options import Options
from fcnship.precision.truth import products_of
from fcnship.session import Session
from fcnship.sizes import Profile
from fcnship.stages.fp16 import FILE, Fp16
from fcnship.stages.onnx import FILE as SOURCE

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def network() -> Any:
    """``loud`` makes values of a hundred thousand, ``quiet`` makes them small again; ``block`` is nested."""
    rng = np.random.default_rng(0)
    image = keras.Input((None, None, 1), name="picture")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(image)
    x = layers.Conv2D(4, 1, activation="relu", name="loud")(x)
    x = layers.Conv2D(4, 1, activation="relu", name="quiet")(x)
    block = keras.Sequential(
        [
            keras.Input((None, None, 4)),
            layers.Conv2D(4, 3, strides=2, name="inner"),
            layers.ReLU(name="relu"),
        ],
        name="block",
    )
    x = layers.GlobalAveragePooling2D(name="pool")(block(x))
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="head")(x), name="loud_and_quiet")
    for variable in model.variables:
        scale = {"loud": 1e5, "quiet": 3e-4, "block": 0.1}.get(variable.path.split("/")[0], 1.0)
        scale = 0.0 if variable.path.endswith("bias") else scale
        variable.assign(scale * np.abs(rng.normal(0.3, 0.1, variable.shape)))
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model's file and its run, built up to the ONNX file. For looking only."""
    folder = tmp_path_factory.mktemp("fp16")
    network().save(folder / "net.keras")
    api.export(folder / "net.keras", profile="8-16", out=folder, name="run", value_range=(0, 1))
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to work in."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def session_at(folder: Path, **options: Any) -> Session:
    given = {"precisions": ("fp32", "fp16"), "value_range": (0.0, 1.0), **options}
    profiles = (Profile.parse("8-16"),)
    return Session(
        Options(model=str(folder / "net.keras"), profiles=profiles, out=folder, name="run", **given)
    )


def done(folder: Path, **options: Any) -> dict[str, Any]:
    """The facts of the stage, driven as a build drives it."""
    session = session_at(folder, **options)
    drive([Fp16()], session)
    return dict(session.record("fp16").facts)


def types(folder: Path) -> dict[str, str]:
    return {product.layer: product.type for product in products_of(onnx.load(folder / "run" / FILE))}


def test_what_leaves_the_range_stays_and_is_named(folder: Path) -> None:
    facts = done(folder)
    kept = {entry["layer"]: entry["reason"] for entry in facts["kept"]}
    assert list(kept) == ["loud", "quiet"]
    assert kept["loud"].startswith("it makes values up to ")
    assert kept["quiet"].startswith("it reads values up to ")
    assert kept["quiet"].endswith("and FP16 ends at 65504")
    assert types(folder) == {
        "stem": "fp16",
        "loud": "fp32",
        "quiet": "fp32",
        "block/inner": "fp16",
        "head": "fp16",
    }
    assert facts["types"] == {"fp16": 3, "fp32": 2}
    assert (facts["io"], facts["sizes"], facts["images"]) == ("fp32", ["8x8", "16x16"], 64)
    made = onnx.load(folder / "run" / FILE)
    casts = sum(node.op_type == "Cast" for node in made.graph.node)
    assert facts["float16_nodes"] + facts["float32_nodes"] + casts == len(made.graph.node)
    assert facts["float32_nodes"] == 4
    assert json.loads((folder / "run/run.json").read_text())["stages"][-1]["facts"] == facts


def test_the_file_runs_at_any_size_and_agrees(folder: Path) -> None:
    done(folder)
    providers = ["CPUExecutionProvider"]
    narrow = onnxruntime.InferenceSession(folder / "run" / FILE, providers=providers)
    wide = onnxruntime.InferenceSession(folder / "run" / SOURCE, providers=providers)
    for end in ("get_inputs", "get_outputs"):
        (ours,), (theirs,) = getattr(narrow, end)(), getattr(wide, end)()
        assert (ours.name, ours.type, ours.shape) == (theirs.name, theirs.type, theirs.shape)
    rng = np.random.default_rng(1)
    for shape in ((1, 1, 8, 8), (3, 1, 13, 31)):
        feed = {"image": rng.random(shape, np.float32)}
        np.testing.assert_allclose(narrow.run(None, feed)[0], wide.run(None, feed)[0], atol=2e-3)
    size = {file: (folder / "run" / file).stat().st_size for file in (FILE, SOURCE)}
    assert size[FILE] < size[SOURCE]


def test_layers_that_were_asked_for_stay_too(folder: Path) -> None:
    facts = done(folder, keep_fp32=("block", "loud"))
    assert facts["kept"][:2] == [
        {"layer": "block", "reason": "asked for by --keep-fp32"},
        {"layer": "loud", "reason": "asked for by --keep-fp32"},
    ]
    assert [entry["layer"] for entry in facts["kept"][2:]] == ["quiet"]
    assert types(folder)["block/inner"] == "fp32"


def test_an_unknown_layer_is_a_usage_error(folder: Path) -> None:
    with pytest.raises(UsageError) as refused:
        done(folder, keep_fp32=("stern",))
    assert str(refused.value) == (
        "--keep-fp32 stern: the network has no such layer\n"
        "  cause: did you mean stem?\n"
        "  next:  give a layer's name as in Keras: --keep-fp32 stem"
    )
    assert not (folder / "run" / FILE).exists()


def test_ends_in_float16(folder: Path) -> None:
    assert done(folder, io="fp16")["io"] == "fp16"
    graph = onnx.load(folder / "run" / FILE).graph
    kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT16}
    assert [value.name for value in (*graph.input, *graph.output)] == ["image", "probabilities"]


def test_pixels_that_float16_cannot_hold_are_refused_at_its_ends(folder: Path) -> None:
    """Scanners and scientific cameras give 16 bits."""
    run = json.loads((folder / "run/run.json").read_text())
    for stage in run["stages"]:
        if "value_range" in stage["facts"]:
            stage["facts"]["value_range"] = [0, 65535]
    (folder / "run/run.json").write_text(json.dumps(run))
    with pytest.raises(ModelRefused) as refused:
        done(folder, io="fp16")
    assert refused.value.what == (
        "the network takes pixel values from 0 to 65535, and --io fp16 ends at 65504"
    )


def test_nothing_left_in_fp16_is_refused(folder: Path) -> None:
    with pytest.raises(ModelRefused) as refused:
        done(folder, keep_fp32=("stem", "block", "head"))
    assert refused.value.what == (
        "nothing would be left in FP16: every convolution and product has to stay FP32"
    )
    assert "\n    head: asked for by --keep-fp32\n    loud: it makes values up to " in refused.value.cause


def test_not_asked_for(folder: Path) -> None:
    session = session_at(folder, precisions=("fp32",))
    drive([Fp16()], session)
    record = session.record("fp16")
    assert (record.status, record.reason) == ("skipped", "not asked for: --precision fp32")
    assert not (folder / "run" / FILE).exists()


def test_it_is_done_again_only_for_what_it_depends_on(folder: Path) -> None:
    done(folder)
    assert changes_of(Fp16(), session_at(folder)) == []
    for options, name in (
        ({"io": "fp16"}, "io"),
        ({"keep_fp32": ("stem",)}, "keep fp32"),
        ({"precisions": ("fp32",)}, "asked for"),
    ):
        assert name in [change.input for change in changes_of(Fp16(), session_at(folder, **options))]
    # Asked for no longer: the file goes.
    drive([Fp16()], session_at(folder, precisions=("fp32",)))
    assert not (folder / "run" / FILE).exists()


def test_two_runs_give_the_same_bytes(folder: Path) -> None:
    done(folder)
    first = (folder / "run" / FILE).read_bytes()
    drive([Fp16()], session_at(folder), force=True)
    assert (folder / "run" / FILE).read_bytes() == first

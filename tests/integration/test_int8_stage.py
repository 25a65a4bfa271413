"""The int8 stage in a real run folder: the file, its record, the budget, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from fcnship.data.collection import sha256_of_image
from fcnship.errors import AccuracyBelowFloor, DataRefused, InputRefused, UsageError
from fcnship.options import Options
from fcnship.precision.calibrate import calibrate
from fcnship.precision.drawing import draw
from fcnship.precision.int8 import calibrated_tensors, weighted_layers
from fcnship.precision.sensitivity import Measure
from fcnship.session import Session
from fcnship.sizes import Profile, Size
from fcnship.stages import int8
from fcnship.stages.int8 import FILE, Int8, budget_sizes
from fcnship.stages.onnx import FILE as SOURCE

RECIPE = 'method = "minmax"\nimages = 24\nsizes = "profile"\n'


def session_at(folder: Path, recipe: str = RECIPE, **options: Any) -> Session:
    """On the run of ``tiny.py``, with a calibration recipe that takes a moment."""
    path = folder / "few.toml"
    path.write_text(recipe, encoding="utf-8")
    given = {
        "model": str(folder / "tiny.py"),
        "out": folder / "artifacts",
        "profiles": (Profile.parse("8-16"),),
        "precisions": ("fp32", "int8"),
        "calibration": str(path) if "int8" in options.get("precisions", "int8") else "default",
        **options,
    }
    return Session(Options(**given))


def done(session: Session) -> Any:
    """The facts of the stage, its requirements and promises checked as a build checks them."""
    stage = Int8()
    stage.requires(session)
    result = stage.run(session)
    stage.ensures(session, result)
    return result


@pytest.fixture(scope="module")
def made(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Any]:
    """One run of the stage, for looking only."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("int8") / "copy"))
    session = session_at(folder)
    return session, done(session)


def test_it_is_skipped_where_it_was_not_asked_for(tiny_copy: Path) -> None:
    result = done(session_at(tiny_copy, precisions=("fp32",)))
    assert (result.status, result.files) == ("skipped", ())
    assert result.reason == "not asked for: --precision fp32"
    assert not (tiny_copy / "artifacts" / "tiny" / FILE).exists()


def test_the_file_runs_at_every_size_and_is_near_float32(made: tuple[Session, Any]) -> None:
    session, result = made
    assert result.files == (FILE,)
    runs: list[Any] = [
        onnxruntime.InferenceSession(str(session.workspace.path(file)), providers=["CPUExecutionProvider"])
        for file in (SOURCE, FILE)
    ]
    for height, width in ((8, 8), (11, 9), (16, 16)):
        batch = np.random.default_rng(height).uniform(0, 1, (3, 1, height, width)).astype(np.float32)
        exact, narrow = (each.run(None, {"image": batch})[0] for each in runs)
        assert 0 < np.abs(exact - narrow).max() < 0.02


def test_the_record_is_json_and_says_what_was_done(made: tuple[Session, Any]) -> None:
    session, result = made
    facts = json.loads(json.dumps(result.facts))
    original = onnx.load(session.workspace.path(SOURCE))
    assert facts["recipe"]["method"] == "minmax"
    assert len(facts["audit"]["images"]) == facts["audit"]["distinct"] == 24
    assert [row["tensor"] for row in facts["audit"]["tensors"]] == calibrated_tensors(original)
    assert list(facts["ranges"]) == calibrated_tensors(original)
    assert [row["layer"] for row in facts["layers"]] == list(weighted_layers(original))
    assert {row["precision"] for row in facts["layers"]} == {"int8"}
    assert all(row["alone"] is None for row in facts["layers"]), "no sensitivity run without a budget"
    assert (facts["quantized_layers"], facts["kept"], facts["budget"]) == (3, [], None)
    size = session.workspace.path(FILE).stat().st_size
    assert facts["bytes_ratio"] == pytest.approx(size / session.workspace.path(SOURCE).stat().st_size)


@pytest.mark.parametrize(
    ("input_", "options"),
    [
        ("calibration", {"recipe": RECIPE + "seed = 1\n"}),
        ("keep fp32", {"keep_fp32": ("conv2d",)}),
        ("budget", {"int8_budget": 0.5}),
        ("profiles", {"profiles": (Profile.parse("8-12"),)}),
    ],
)
def test_its_inputs_name_what_would_change_it(input_: str, options: Any, tiny_copy: Path) -> None:
    before = Int8().inputs(session_at(tiny_copy))
    now = Int8().inputs(session_at(tiny_copy, **options))
    assert [key for key in now if now[key] != before[key]] == [input_]


def test_layers_that_were_asked_to_stay_do_stay(tiny_copy: Path) -> None:
    layers = list(weighted_layers(onnx.load(tiny_copy / "artifacts" / "tiny" / SOURCE)))
    recipe = f'{RECIPE}keep_fp32 = ["{layers[2]}"]\n'
    facts = done(session_at(tiny_copy, recipe, keep_fp32=(layers[0],))).facts
    assert facts["kept"] == [
        {"layer": layers[0], "reason": "asked for by --keep-fp32"},
        {"layer": layers[2], "reason": "kept by the recipe few"},
    ]
    assert [row["precision"] for row in facts["layers"]] == ["fp32", "int8", "fp32"]
    assert facts["quantized_layers"] == 1


def test_a_layer_that_is_not_there_is_refused_by_name(tiny_copy: Path) -> None:
    with pytest.raises(UsageError, match=r"--keep-fp32 conv2x: the network has no such layer"):
        done(session_at(tiny_copy, keep_fp32=("conv2x",)))
    with pytest.raises(UsageError, match=r"keep_fp32 in .*few.toml: conv2x: the network has no such layer"):
        done(session_at(tiny_copy, f'{RECIPE}keep_fp32 = ["conv2x"]\n'))


def test_all_layers_kept_is_refused(tiny_copy: Path) -> None:
    layers = tuple(weighted_layers(onnx.load(tiny_copy / "artifacts" / "tiny" / SOURCE)))
    with pytest.raises(InputRefused, match="no layer is left to quantize"):
        done(session_at(tiny_copy, keep_fp32=layers))


def test_a_budget_is_held_on_images_that_neither_calibrated_nor_test(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def spying(*arguments: Any) -> Any:
        seen.append(arguments[1])
        return Measure(*arguments)

    monkeypatch.setattr(int8, "Measure", spying)
    session = session_at(tiny_copy, int8_budget=2.0)
    facts = done(session).facts
    assert facts["budget"]["points"] == 2.0
    assert max(row["loss"] for row in facts["budget"]["sizes"]) <= 2.0
    assert {(row["height"], row["width"]) for row in facts["budget"]["sizes"]} == {
        (size.height, size.width) for size in budget_sizes(session.profiles)
    }
    assert all(row["alone"]["error"] >= 0 for row in facts["layers"])
    calibrated = {row["sha256"] for row in facts["audit"]["images"]}
    assert not calibrated & {sha256_of_image(image) for image in seen[0].images}
    assert len(seen[0].images) == 1000


def test_a_budget_that_nothing_meets_fails_the_build(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges a thousand times too wide leave no layer with any resolution."""

    def wide(*arguments: Any, **named: Any) -> Any:
        found = calibrate(*arguments, **named)
        for name, (low, high) in found.ranges.items():
            found.ranges[name] = (1e4 * low, 1e4 * high)
        return found

    monkeypatch.setattr(int8, "calibrate", wide)
    session = session_at(tiny_copy, int8_budget=0.01)
    # An untrained network's decisions are no better than chance, and cannot get worse: its own are the truth.
    original: Any = onnxruntime.InferenceSession(str(session.workspace.path(SOURCE)))
    data = session.data
    pixels = data.x_train.astype(np.float32).transpose(0, 3, 1, 2) / data.value_range[1]
    answers = original.run(None, {"image": pixels})[0]
    data.y_train[:] = answers.argmax(axis=1)
    with pytest.raises(AccuracyBelowFloor, match=r"INT8 cannot stay within 0.01 points of float32"):
        done(session)


def test_one_sample_reused_is_refused(tiny_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reused(*arguments: Any) -> Any:
        drawn = draw(*arguments)
        object.__setattr__(
            drawn,
            "images",
            [type(image)(pixels=drawn.images[0].pixels, size=image.size) for image in drawn.images],
        )
        return drawn

    monkeypatch.setattr(int8, "draw", reused)
    with pytest.raises(DataRefused) as refusal:
        done(session_at(tiny_copy))
    assert refusal.value.what.startswith("calibration was to use 24 different images, and used 1: "), (
        refusal.value.what
    )


def test_the_sizes_of_a_budget_cover_the_profile() -> None:
    sizes = budget_sizes([Profile.parse("28-224")])
    assert {Size(28, 28), Size(224, 224)} <= set(sizes)
    assert sum(size.height != size.width for size in sizes) == 2
    assert budget_sizes([Profile.parse("32")]) == [Size(32, 32)]

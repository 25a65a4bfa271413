"""TensorRT engines, built by the real TensorRT-RTX on this machine's processor; no GPU is needed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx
import pytest
from builds import BUILD_TINY, built, fcnship, read, records, redone, sha256

from fcnship import api
from fcnship.errors import ModelRefused
from fcnship.machine import gpu_name
from fcnship.options import Options
from fcnship.runners import Unrunnable, open_runner
from fcnship.session import Session
from fcnship.sizes import Profile
from fcnship.stages.engine import Engine, usable_flavours

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this machine"
)
ENGINE = "engines/tensorrt_rtx-fp32.engine"
PROFILES = [
    {"min": [8, 8], "opt": [8, 8], "max": [16, 16], "batch": [1, 1, 8]},
    {"min": [16, 12], "opt": [24, 24], "max": [48, 40], "batch": [1, 2, 4]},
]


def engine(tiny_folder: Path, out: Path, *profiles: str, **options: Any) -> Path:
    """The run folder of a build up to the engine, from the tiny model as it was trained."""
    model = tiny_folder / "artifacts/tiny/keras/model.keras"
    return api.engine(
        model, profile=profiles or ["8-16"], out=out, name="run", flavour="tensorrt_rtx", **options
    ).folder


def test_one_profile(tiny_folder: Path, tmp_path: Path) -> None:
    run = engine(tiny_folder, tmp_path)
    about = read((run / ENGINE).with_suffix(".json"))
    assert about["onnx_sha256"] == sha256(run / "onnx/fp32.onnx")
    assert about["profiles"] == PROFILES[:1]
    assert (about["flavour"], about["precision"], about["layout"]) == ("tensorrt_rtx", "fp32", "nchw")
    assert about["version"] == metadata.version("tensorrt-rtx")
    assert about["polygraphy"] == metadata.version("polygraphy")
    assert {"8.0", "8.6", "8.9", "12.0"} <= set(about["targets"])
    assert about["tf32"] is False
    assert about["layers"] >= len(onnx.load(run / "onnx/fp32.onnx").graph.node)
    recorded = {a["path"]: a["sha256"] for a in records(run)["engine"]["artifacts"]}
    assert recorded == {path: sha256(run / path) for path in (ENGINE, ENGINE.replace(".engine", ".json"))}
    assert not list(run.rglob(".fcnship-tmp-*"))


def test_two_profiles(tiny_folder: Path, tmp_path: Path) -> None:
    run = engine(tiny_folder, tmp_path / "two", "8-16", "16x12,24,48x40@1,2,4")
    about = read((run / ENGINE).with_suffix(".json"))
    assert about["profiles"] == PROFILES
    one = engine(tiny_folder, tmp_path / "one")
    assert sha256(run / ENGINE) != sha256(one / ENGINE)
    assert about["onnx_sha256"] == sha256(one / "onnx/fp32.onnx")


def test_two_builds_give_the_same_bytes(tiny_folder: Path, tmp_path: Path) -> None:
    first, second = (engine(tiny_folder, tmp_path / name) for name in ("a", "b"))
    assert (first / ENGINE).read_bytes() == (second / ENGINE).read_bytes()
    assert (first / ENGINE).stat().st_size > 100_000


def test_the_order_of_a_photograph_can_be_kept(tiny_folder: Path, tmp_path: Path) -> None:
    about = read((engine(tiny_folder, tmp_path, layout="nhwc") / ENGINE).with_suffix(".json"))
    assert (about["layout"], about["profiles"]) == ("nhwc", PROFILES[:1])


def _cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:2000])


def _foreign_operator(file: Path) -> None:
    model = onnx.load(file)
    model.graph.node[0].op_type = "Unheard"
    onnx.save(model, file)


@pytest.mark.parametrize(
    ("breakage", "told"),
    [(_cut_off, "Failed to parse the ONNX model."), (_foreign_operator, "operator: Unheard")],
)
def test_a_broken_onnx_file_is_refused_with_the_logger_s_lines(
    tiny_folder: Path, tmp_path: Path, breakage: Any, told: str
) -> None:
    model = str(tiny_folder / "artifacts/tiny/keras/model.keras")
    run = api.export(model, profile="8-16", out=tmp_path, name="run").folder
    breakage(run / "onnx/fp32.onnx")
    options = Options(
        model=model, profiles=(Profile.parse("8-16"),), out=tmp_path, name="run", flavour="tensorrt_rtx"
    )
    with pytest.raises(ModelRefused) as refused:
        Engine().run(Session(options))
    assert refused.value.what == "tensorrt-rtx made no engine: Could not parse ONNX correctly"
    assert refused.value.cause.startswith("its logger says:\n    [E] ")
    assert told in refused.value.cause
    assert list((run / "engines").iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "input_name", "what"),
    [
        ([1, 3, 8, 8], "image", "the builder says that it does not support this network with these profiles"),
        ([1, 8, 8], "image", "the builder says that it does not support this network with these profiles"),
        ([1, 1, 8, 8], "picture", "the network's inputs are ['image'], not ['picture']"),
    ],
)
def test_what_tensorrt_refuses_in_silence_is_an_error(
    tiny_folder: Path, tmp_path: Path, shape: list[int], input_name: str, what: str
) -> None:
    request = {
        "onnx": str(tiny_folder / "artifacts/tiny/onnx/fp32.onnx"),
        "engine": str(tmp_path / "engine"),
        "facts": str(tmp_path / "facts"),
        "flavour": "tensorrt_rtx",
        "input": input_name,
        "profiles": [{"min": shape, "opt": shape, "max": shape}],
    }
    (tmp_path / "request.json").write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-m", "fcnship.device.build", str(tmp_path / "request.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (3, what)
    assert [path.name for path in tmp_path.iterdir()] == ["request.json"]


@pytest.mark.skipif(not usable_flavours()["tensorrt"], reason="full TensorRT can build here")
def test_a_flavour_that_is_not_here_ends_with_exit_code_7(tiny_copy: Path) -> None:
    done = fcnship(*BUILD_TINY, "--seed", "1", "--flavour", "tensorrt", cwd=tiny_copy)
    assert done.returncode == 7
    reason = usable_flavours()["tensorrt"]
    assert done.stderr == (
        f"fcnship: no tensorrt engine can be built here: {reason}\n"
        "  cause: --flavour tensorrt was given\n"
        "  next:  pip install tensorrt, or leave out --flavour; fcnship doctor says more\n"
    )
    # It was told before the training that the other seed asks for.
    assert redone(built(*BUILD_TINY, cwd=tiny_copy)) == []


@pytest.mark.skipif(gpu_name() is not None, reason="there is a GPU")
def test_without_a_gpu_the_runner_says_so_and_lives(tiny_folder: Path, tmp_path: Path) -> None:
    """A runtime that is asked to load an engine without a GPU can end the process: this one still runs."""
    run = engine(tiny_folder, tmp_path)
    with pytest.raises(Unrunnable, match="no NVIDIA GPU answers here"):
        open_runner("engine-fp32", run / ENGINE, "nchw")

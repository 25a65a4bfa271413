"""Engines of every precision by the real TensorRT-RTX, and the types that they are built with."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from builds import read, records, sha256

from fcnship.driver import drive
from fcnship.errors import ModelRefused, ParityFailed
from fcnship.options import Options, Precision
from fcnship.session import Session
from fcnship.sizes import Profile
from fcnship.stages import engine
from fcnship.stages.engine import Engine
from fcnship.stages.fp16 import Fp16
from fcnship.stages.int8 import Int8
from fcnship.stages.validate import built_variants

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this machine"
)
RECIPE = 'method = "minmax"\nimages = 24\nsizes = "profile"\n'
ALL: tuple[Precision, ...] = ("fp32", "fp16", "int8")


def session_at(folder: Path, precisions: tuple[Precision, ...] = ALL, **options: Any) -> Session:
    """On a copy of the run of ``tiny.py``: two convolutions and a matrix product."""
    recipe = folder / "few.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return Session(
        Options(
            model=str(folder / "tiny.py"),
            out=folder / "artifacts",
            profiles=(Profile.parse("8-16"), Profile.parse("16-32")),
            precisions=precisions,
            calibration=str(recipe) if "int8" in precisions else "default",
            flavour="tensorrt_rtx",
            **options,
        )
    )


def built(session: Session) -> Path:
    drive([Fp16(), Int8(), Engine()], session)
    return session.workspace.root


@pytest.fixture(scope="module")
def all_built(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder with all three. For looking only."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("engines") / "copy"))
    return built(session_at(folder))


def about(run: Path, precision: str) -> dict[str, Any]:
    return dict(read(run / f"engines/tensorrt_rtx-{precision}.json"))


def test_an_engine_and_its_json_for_each_precision(all_built: Path) -> None:
    recorded = {a["path"]: a["sha256"] for a in records(all_built)["engine"]["artifacts"]}
    for precision in ALL:
        said = about(all_built, precision)
        assert (said["precision"], said["io"], said["flavour"]) == (precision, "fp32", "tensorrt_rtx")
        assert said["onnx"] == f"onnx/{precision}.onnx"
        assert said["onnx_sha256"] == sha256(all_built / said["onnx"])
        assert len(said["profiles"]) == 2
        plan = f"engines/tensorrt_rtx-{precision}.engine"
        assert recorded[plan] == sha256(all_built / plan)
    assert len({recorded[f"engines/tensorrt_rtx-{precision}.engine"] for precision in ALL}) == 3


def test_the_types_are_those_of_tensorrt_s_own_network(all_built: Path) -> None:
    assert about(all_built, "fp32")["types"] == {"fp32": 3}
    assert about(all_built, "fp16")["types"] == {"fp16": 3}
    types = about(all_built, "int8")["types"]
    assert types["int8"] >= 2
    assert sum(types.values()) == 3
    facts = records(all_built)["engine"]["facts"]
    assert {name: said["types"] for name, said in facts["engines"].items()} == {
        name: about(all_built, name)["types"] for name in ALL
    }


def test_the_variants_of_the_run(all_built: Path) -> None:
    session = session_at(all_built.parents[1])
    assert built_variants(session)[2:] == [
        *((f"onnx-{name}", f"onnx/{name}.onnx") for name in ALL),
        *((f"engine-{name}", f"engines/tensorrt_rtx-{name}.engine") for name in ALL),
    ]


def test_only_what_was_asked_for_is_built(tiny_copy: Path) -> None:
    run = built(session_at(tiny_copy, ("fp16",)))
    assert sorted(path.name for path in (run / "engines").iterdir()) == [
        "tensorrt_rtx-fp16.engine",
        "tensorrt_rtx-fp16.json",
    ]
    # Its source is there all the same, and compared.
    assert [name for name, _ in built_variants(session_at(tiny_copy, ("fp16",)))][2:] == [
        *("onnx-fp32", "onnx-fp16", "engine-fp16")
    ]


def test_a_kept_layer_is_fp32_in_the_engine_too(tiny_copy: Path) -> None:
    run = built(session_at(tiny_copy, ("fp16",), keep_fp32=("conv2d_1",)))
    said = about(run, "fp16")
    assert said["types"] == {"fp16": 2, "fp32": 1}
    assert list(said["other_types"].values()) == ["fp32"]
    assert next(iter(said["other_types"])).startswith("conv2d_1/")


def test_float16_ends_are_told(tiny_copy: Path) -> None:
    assert about(built(session_at(tiny_copy, ("fp16",), io="fp16")), "fp16")["io"] == "fp16"


def test_a_float32_file_named_fp16_fails_the_build(tiny_copy: Path) -> None:
    session = session_at(tiny_copy, ("fp32", "fp16"))
    run = built(session)
    shutil.copy(run / "onnx/fp32.onnx", run / "onnx/fp16.onnx")
    with pytest.raises(ParityFailed) as untrue:
        Engine().run(session)
    assert untrue.value.exit_code == 4
    assert untrue.value.what == "onnx/fp16.onnx is not fp16: conv2d computes in fp32"
    assert list((run / "engines").iterdir()) == []


def test_a_float32_file_named_int8_fails_the_build(tiny_copy: Path) -> None:
    session = session_at(tiny_copy, ("int8",))
    run = built(session)
    shutil.copy(run / "onnx/fp32.onnx", run / "onnx/int8.onnx")
    with pytest.raises(ParityFailed, match=r"onnx/int8\.onnx is not int8: conv2d computes in fp32"):
        Engine().run(session)


def test_a_layer_that_tensorrt_would_compute_otherwise_fails_the_build(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is FP16, and TensorRT is given another one."""
    session = session_at(tiny_copy, ("fp16",))
    run = built(session)
    original = engine._built

    def from_another(given: Any, flavour: Any, source: Any, path: Any) -> Any:
        return original(given, flavour, dataclasses.replace(source, file="onnx/fp32.onnx"), path)

    monkeypatch.setattr(engine, "_built", from_another)
    with pytest.raises(ParityFailed) as untrue:
        Engine().run(session)
    assert untrue.value.what == "engines/tensorrt_rtx-fp16.engine is not fp16: conv2d computes in fp32"
    assert list((run / "engines").iterdir()) == []


def test_when_one_fails_none_is_left_without_a_record(tiny_copy: Path) -> None:
    session = session_at(tiny_copy, ("fp32", "fp16"))
    run = built(session)
    broken = onnx.load(run / "onnx/fp16.onnx")
    next(node for node in broken.graph.node if node.op_type == "Relu").op_type = "Unheard"
    onnx.save(broken, run / "onnx/fp16.onnx")
    with pytest.raises(ModelRefused, match="tensorrt-rtx made no engine"):
        Engine().run(session)
    assert list((run / "engines").iterdir()) == []


def test_the_device_s_own_program_says_what_each_layer_computes_in(all_built: Path, tmp_path: Path) -> None:
    shape = [1, 1, 8, 8]
    request = {
        "onnx": str(all_built / "onnx/int8.onnx"),
        "engine": str(tmp_path / "engine"),
        "facts": str(tmp_path / "facts"),
        "flavour": "tensorrt_rtx",
        "input": "image",
        "profiles": [{"min": shape, "opt": shape, "max": shape}],
    }
    (tmp_path / "request.json").write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-m", "fcnship.device.build", str(tmp_path / "request.json")]
    subprocess.run(command, check=True, capture_output=True)
    products = read(tmp_path / "facts")["products"]
    names = {n.name for n in onnx.load(all_built / "onnx/int8.onnx").graph.node}
    assert set(products) <= names
    assert {"int8"} <= set(products.values()) <= {"int8", "fp32"}

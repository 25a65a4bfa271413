"""Engines are taken if they were built for exactly this, else built. By the real TensorRT-RTX, on the CPU."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drops import DEVICE, Made

from fcnship.device.engines import Engine, engine_for, installed_engine
from fcnship.device.key import key_of, key_parts
from fcnship.device.manifest import read_manifest
from fcnship.device.probe import Probe, probe
from fcnship.errors import ArtifactError, DeviceError, EnvironmentLacks

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this machine"
)


def board(l4t: str = "36.4.0") -> Probe:
    """This machine's own TensorRT-RTX, as if it were built into a board with this L4T. Without a GPU, so that
    the engine is for any, and TensorRT-RTX builds it here.
    """
    version = probe().tensorrt
    return replace(DEVICE, tensorrt=version, tensorrt_flavour="tensorrt_rtx", board="Board X", l4t=l4t)


def built(
    drop: Made, engines: Path, device: Probe | None = None, ready: Path | None = None, precision: str = "fp32"
) -> Engine:
    manifest = read_manifest(drop.folder)
    cache = engines.parent / "timing.cache"
    return engine_for(drop.folder, manifest, precision, engines, device or board(), ready, cache)


@pytest.fixture(scope="module")
def first(drops: tuple[Made, Made], tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The engine of the first drop on a board with L4T 36.4.0, built once."""
    return built(drops[0], tmp_path_factory.mktemp("store") / "engines")


@pytest.fixture
def engines(first: Engine, tmp_path: Path) -> Path:
    """A copy of its store, to spoil."""
    return Path(shutil.copytree(first.folder.parent, tmp_path / "engines"))


def test_a_built_engine_says_what_it_is(first: Engine, drops: tuple[Made, Made]) -> None:
    about = json.loads((first.folder / "about.json").read_text(encoding="utf-8"))
    plan = (first.folder / "engine.plan").read_bytes()
    assert (first.built, first.reason, first.flavour) == (True, "there is none of this key", "tensorrt_rtx")
    assert first.seconds > 0
    assert sorted(path.name for path in first.folder.iterdir()) == ["about.json", "engine.plan"]
    assert first.folder.name == first.key == about["key"] == key_of(about["parts"])
    assert about["plan"] == {"sha256": hashlib.sha256(plan).hexdigest(), "bytes": len(plan)}
    assert about["facts"]["types"] == {"fp32": 2}
    assert about["facts"]["timing_cache"] == "none"  # TensorRT-RTX times nothing when it builds
    assert about["parts"] == key_parts(read_manifest(drops[0].folder), "fp32", board())
    assert [path.name for path in first.folder.parent.iterdir()] == [first.key]
    assert [path.name for path in first.folder.parents[1].iterdir()] == ["engines"]


def test_the_second_time_it_is_taken(drop: Made, first: Engine, engines: Path) -> None:
    before = (engines / first.key / "engine.plan").stat().st_mtime_ns
    again = built(drop, engines)
    assert (again.key, again.built, again.seconds, again.reason) == (first.key, False, 0.0, "")
    assert (engines / first.key / "engine.plan").stat().st_mtime_ns == before


def test_after_a_jetpack_upgrade_another_is_built(drop: Made, first: Engine, engines: Path) -> None:
    again = built(drop, engines, board("36.4.3"))
    assert again.built
    assert again.reason == "built for L4T 36.4.0, this is 36.4.3"
    assert again.key != first.key
    assert {path.name for path in engines.iterdir()} == {first.key, again.key}
    assert not built(drop, engines).built  # the old one stays, for a rollback


def test_each_precision_has_its_own(drop: Made, first: Engine, engines: Path) -> None:
    half = built(drop, engines, precision="fp16")
    assert half.built
    assert half.key != first.key
    about = json.loads((half.folder / "about.json").read_text(encoding="utf-8"))
    assert about["facts"]["types"] == {"fp16": 2}


def _cut_off(engine: Path) -> None:
    plan = engine / "engine.plan"
    plan.write_bytes(plan.read_bytes()[:1000])


def _changed_byte(engine: Path) -> None:
    data = bytearray((engine / "engine.plan").read_bytes())
    data[5000] ^= 1
    (engine / "engine.plan").write_bytes(data)


def _no_plan(engine: Path) -> None:
    (engine / "engine.plan").unlink()


def _no_about(engine: Path) -> None:
    (engine / "about.json").write_bytes(b"")


def _of_another_schema(engine: Path) -> None:
    about = (engine / "about.json").read_text(encoding="utf-8")
    (engine / "about.json").write_text(
        about.replace("fcnship.engine/1", "fcnship.engine/2"), encoding="utf-8"
    )


def _parts_of_another(engine: Path) -> None:
    about = (engine / "about.json").read_text(encoding="utf-8")
    (engine / "about.json").write_text(about.replace("36.4.0", "36.4.9"), encoding="utf-8")


def _a_link(engine: Path) -> None:
    elsewhere = engine.parents[1] / "elsewhere"
    (engine / "engine.plan").rename(elsewhere)
    (engine / "engine.plan").symlink_to(elsewhere)


def _a_file(engine: Path) -> None:
    shutil.rmtree(engine)
    engine.write_bytes(b"x")


FAULTS = [
    (_cut_off, "engine.plan has 1000 bytes, about.json says "),
    (_changed_byte, "engine.plan has another SHA-256 than about.json says"),
    (_no_plan, "engine.plan: No such file or directory"),
    (_no_about, "line 1, column 1: Expecting value"),
    (_of_another_schema, "about.json.schema is 'fcnship.engine/2', which does not fit"),
    (_parts_of_another, "about.json: its key is not that of its parts"),
    (_a_link, "it is reached by a symbolic link"),
    (_a_file, "about.json: Not a directory"),
]


@pytest.mark.parametrize(("spoil", "told"), FAULTS)
def test_a_damaged_one_is_never_taken(
    spoil: Any, told: str, drop: Made, first: Engine, engines: Path
) -> None:
    spoil(engines / first.key)
    manifest = read_manifest(drop.folder)
    with pytest.raises(ArtifactError, match="holds no whole engine") as refused:
        installed_engine(manifest, "fp32", engines, board(), first.key)
    assert told in refused.value.what
    if spoil in (_changed_byte, _a_file):  # two builds stand for all: each takes a second
        again = built(drop, engines)
        assert again.built
        assert told in again.reason
        assert not built(drop, engines).built
        assert (engines / first.key / "engine.plan").read_bytes() == (
            first.folder / "engine.plan"
        ).read_bytes()


def test_a_ready_engine_of_this_key_is_taken(drop: Made, first: Engine, tmp_path: Path) -> None:
    given = built(drop, tmp_path / "empty", ready=first.folder)
    assert (given.key, given.built) == (first.key, False)
    assert (given.folder / "engine.plan").read_bytes() == (first.folder / "engine.plan").read_bytes()
    assert [path.name for path in (tmp_path / "empty").iterdir()] == [first.key]
    assert not built(drop, tmp_path / "empty", ready=first.folder).built


def test_a_ready_engine_of_another_key_is_refused(drop: Made, first: Engine, tmp_path: Path) -> None:
    device = replace(board("36.4.3"), board="Board Y", tensorrt="1.7.9.9")
    with pytest.raises(ArtifactError) as refused:
        built(drop, tmp_path / "empty", device, ready=first.folder)
    assert str(refused.value) == (
        f"{first.folder} is not an engine for this: it was built for TensorRT {board().tensorrt}, "
        "this is 1.7.9.9; board Board X, this is Board Y; L4T 36.4.0, this is 36.4.3\n"
        "  cause: an engine is valid for its network, TensorRT and GPU alone; a JetPack upgrade "
        "changes them\n"
        "  next:  let it be built here: fcnship-device install DROP, without --engine"
    )
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("folder", ["nothing", "."])
def test_a_ready_folder_without_an_engine_is_refused(drop: Made, tmp_path: Path, folder: str) -> None:
    with pytest.raises(ArtifactError) as refused:
        built(drop, tmp_path / "empty", ready=tmp_path / folder)
    told = "holds no whole engine: about.json: No such file or directory"
    assert refused.value.what == f"{tmp_path / folder} {told}"


def test_an_installed_engine_is_not_loaded_after_an_upgrade(drop: Made, first: Engine) -> None:
    manifest, engines = read_manifest(drop.folder), first.folder.parent
    assert installed_engine(manifest, "fp32", engines, board(), first.key).folder == first.folder
    with pytest.raises(ArtifactError, match=r"it was built for L4T 36\.4\.0, this is 36\.5\.0\n"):
        installed_engine(manifest, "fp32", engines, board("36.5.0"), first.key)
    with pytest.raises(ArtifactError, match=r"about\.json: No such file or directory"):
        installed_engine(manifest, "fp32", engines, board(), "0" * 64)


def test_what_tensorrt_refuses_is_told_and_leaves_nothing(drop: Made, tmp_path: Path) -> None:
    (drop.folder / "onnx/fp32.onnx").write_bytes(b"no network")
    with pytest.raises(DeviceError) as refused:
        built(drop.rewrite(), tmp_path / "engines")
    assert refused.value.what.startswith(
        f"tensorrt_rtx {board().tensorrt} made no engine of onnx/fp32.onnx: Could not parse ONNX correctly"
    )
    assert "[E]" in refused.value.cause
    assert list((tmp_path / "engines").iterdir()) == []


def test_a_disk_that_takes_no_plan_is_told(drop: Made, tmp_path: Path) -> None:
    """The builder's process may write no file as large as a plan, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(EnvironmentLacks) as refused:
            built(drop, tmp_path / "engines")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.value.what.endswith("could not be built: [E] [Errno 27] File too large")
    assert list((tmp_path / "engines").iterdir()) == []

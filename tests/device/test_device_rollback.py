"""Rollback, status and gc."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from devices import ORIN
from drops import DEVICE, Made
from refusals import refused
from test_device_install import entries, installed

from fcnship.device.engine_files import PLAN, About, write_about
from fcnship.device.gc import collect
from fcnship.device.installed import read_installed
from fcnship.device.key import key_of, key_parts
from fcnship.device.manifest import read_manifest
from fcnship.device.rollback import rollback
from fcnship.device.status import status
from fcnship.device.store import Root


def back(root: Path, **options: Any) -> dict[str, Any]:
    """Roll back on the device that has ONNX Runtime alone."""
    return rollback(root, options.get("signers"), options.get("device", DEVICE), lambda line: None)


@pytest.fixture
def two(drop: Made, newer: Made, root: Path) -> dict[str, str]:
    """Both drops installed, the newer one live: what lies in the root."""
    installed(drop, root)
    installed(newer, root)
    return entries(root)


def test_back_and_forward_again(drop: Made, newer: Made, root: Path, two: dict[str, str]) -> None:
    facts = back(root)
    assert (facts["release"], facts["previous"], facts["changed"]) == (drop.release, newer.release, True)
    assert (facts["version"], facts["backend"], facts["precision"]) == ("1", "onnxruntime", "fp32")
    assert all(row["passed"] for row in facts["parity"])
    assert back(root)["release"] == newer.release


def test_it_runs_as_it_was_installed(drop: Made, newer: Made, root: Path) -> None:
    installed(drop, root, precision="fp16")
    installed(newer, root)
    assert back(root)["precision"] == "fp16"


def test_nothing_to_roll_back_to(drop: Made, root: Path) -> None:
    message = (
        f"there is nothing to roll back to in {root}\n"
        "  cause: a second release was never installed there, or gc or a killed command took it away\n"
        "  next:  fcnship-device status shows what is there; install the older drop again"
    )
    assert refused(lambda: back(root)) == (2, message)
    assert not root.exists()
    installed(drop, root)
    assert refused(lambda: back(root)) == (2, message)


def test_a_damaged_previous_stays_where_it_is(
    drop: Made, newer: Made, root: Path, two: dict[str, str]
) -> None:
    path = root / "releases" / drop.release / "onnx/fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    before = entries(root)
    code, message = refused(lambda: back(root))
    assert (code, "onnx/fp32.onnx has not the SHA-256" in message) == (8, True)
    assert entries(root) == before


def test_a_previous_that_never_proved_itself(drop: Made, root: Path, two: dict[str, str]) -> None:
    (root / "releases" / drop.release / "install.json").unlink()
    assert refused(lambda: back(root)) == (
        8,
        f"{root / 'releases' / drop.release} is not what was installed there\n"
        "  cause: its install.json is missing\n"
        "  next:  install the drop that you want again: fcnship-device install DROP",
    )


def test_a_previous_that_is_another_drop(drop: Made, newer: Made, root: Path, two: dict[str, str]) -> None:
    """Whole in itself, under the name of another: the name is the promise."""
    drop.rewrite(lambda m: m.update(version="evil"))
    for path in drop.folder.rglob("*"):
        if path.is_file():
            target = root / "releases" / Root(root).previous() / path.relative_to(drop.folder)  # type: ignore[operator]
            target.write_bytes(path.read_bytes())
    assert refused(lambda: back(root))[0] == 8
    assert Root(root).linked("current") == newer.release


def test_a_device_that_lost_its_runtime(newer: Made, root: Path, two: dict[str, str]) -> None:
    assert refused(lambda: back(root, device=replace(DEVICE, onnxruntime=None)))[0] == 7
    assert entries(root) == two


def test_signers_that_came_later_count(keys: Path, root: Path, two: dict[str, str]) -> None:
    assert refused(lambda: back(root, signers=keys / "allowed_signers"))[0] == 8
    assert entries(root) == two


def test_a_second_command(root: Path, two: dict[str, str]) -> None:
    with Root(root).locked():
        assert refused(lambda: back(root))[0] == 8
        assert refused(lambda: collect(root, dry_run=False))[0] == 8


def test_gc_takes_uploads_that_nobody_goes_on_with(root: Path, two: dict[str, str]) -> None:
    old, cut, fresh = (root / "incoming" / (letter * 64) for letter in "abc")
    for upload in (old, cut, fresh):
        (upload / "onnx").mkdir(parents=True)
        (upload / "onnx/fp32.onnx.part").write_bytes(b"half of it")
    long_ago = time.time() - 7200
    for path in (old / "onnx/fp32.onnx.part", old / "onnx", old, cut / "onnx", cut):
        os.utime(path, (long_ago, long_ago))
    assert collect(root, dry_run=True)["uploads"] == [old.name] and old.is_dir()
    facts = collect(root, dry_run=False)
    assert (facts["uploads"], facts["freed_bytes"], facts["changed"]) == ([old.name], 10, True)
    assert sorted(path.name for path in (root / "incoming").iterdir()) == [cut.name, fresh.name]
    for path in root.glob("incoming/**/*"):
        os.utime(path, (long_ago, long_ago))
    assert len(collect(root, dry_run=False)["uploads"]) == 2
    assert not (root / "incoming").exists()
    assert entries(root) == two


def test_gc_after_a_first_deploy_that_was_cut(root: Path) -> None:
    upload = root / "incoming" / ("a" * 64)
    upload.mkdir(parents=True)
    os.utime(upload, (0, 0))
    assert collect(root, dry_run=False)["uploads"] == [upload.name]


def test_status_without_ssh_keygen_is_not_called_damage(
    drop: Made, keys: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(drop.sign(keys / "ours"), root)
    (root / "allowed_signers").write_bytes((keys / "allowed_signers").read_bytes())
    assert status(root, DEVICE)["current"]["whole"]
    monkeypatch.setenv("PATH", "/nowhere")
    assert refused(lambda: status(root, DEVICE))[0] == 7


def test_status_of_nothing(root: Path) -> None:
    facts = status(root, DEVICE)
    assert (facts["current"], facts["previous"], facts["releases"]) == (None, None, [])
    assert not root.exists()


def test_status(drop: Made, newer: Made, root: Path, two: dict[str, str]) -> None:
    facts = status(root, DEVICE)
    assert (facts["current"]["release"], facts["current"]["version"]) == (newer.release, "2")
    assert (facts["current"]["whole"], facts["current"]["backend"]) == (True, "onnxruntime")
    assert (facts["previous"]["release"], facts["previous"]["whole"]) == (drop.release, True)
    assert (facts["releases"], facts["engines"]) == (sorted([drop.release, newer.release]), [])
    assert facts["signature_required"] is False
    assert entries(root) == two


def _runs_an_engine(root: Path) -> str:
    """Write into the previous release that it was installed with an engine for an Orin; the engine's key."""
    release = root / "releases" / str(Root(root).previous())
    parts = key_parts(read_manifest(release), "fp32", ORIN)
    key = key_of(parts)
    record = read_installed(release)
    assert record is not None
    engine = {"key": key, "built": True, "seconds": 1.0, "reason": ""}
    replace(record, backend="tensorrt", runtime="10.3.0", engine=engine).write(release)
    folder = root / "engines" / key
    folder.mkdir()
    (folder / PLAN).write_bytes(b"a plan")
    write_about(folder, About.of(parts, folder, {}, 1.0))
    return key


def test_an_engine_matches_until_jetpack_is_upgraded(root: Path, two: dict[str, str]) -> None:
    key = _runs_an_engine(root)
    before = status(root, ORIN)["previous"]
    assert (before["engine"]["key"], before["engine_matches"]) == (key, True)
    assert status(root, replace(ORIN, l4t="36.4.7"))["previous"]["engine_matches"] is False


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (shutil.rmtree, "about.json: No such file or directory"),
        (lambda folder: (folder / PLAN).write_bytes(b"A PLAN"), "engine.plan has another SHA-256"),
    ],
)
def test_status_tells_a_damaged_engine(spoil: Any, fault: str, root: Path, two: dict[str, str]) -> None:
    """`run` would refuse it: what is called whole can be run."""
    spoil(root / "engines" / _runs_an_engine(root))
    before = status(root, ORIN)["previous"]
    assert before["whole"] is False
    assert before["fault"].startswith(f"its engine is damaged: {fault}")


def test_no_rollback_to_an_engine_on_a_device_without_tensorrt(root: Path, two: dict[str, str]) -> None:
    """Nor to ONNX Runtime instead: what was installed with TensorRT runs with TensorRT."""
    _runs_an_engine(root)
    before = entries(root)
    assert refused(lambda: back(root))[0] == 7
    assert entries(root) == before


def test_gc_keeps_the_engines_of_both(root: Path, two: dict[str, str]) -> None:
    key = _runs_an_engine(root)
    (root / "engines" / ("e" * 64)).mkdir()
    assert collect(root, dry_run=False)["engines"] == ["e" * 64]
    assert [path.name for path in (root / "engines").iterdir()] == [key]


def test_status_of_a_damaged_live_release(drop: Made, newer: Made, root: Path, two: dict[str, str]) -> None:
    (root / "releases" / newer.release / "README.md").unlink()
    with pytest.raises(Exception) as caught:
        status(root, DEVICE)
    assert str(caught.value) == (
        f"the live release in {root} is damaged\n"
        f"  cause: {root / 'releases' / newer.release} is not the drop that was made: README.md is missing\n"
        "  next:  install its drop again, or fcnship-device rollback"
    )
    assert caught.value.facts["previous"]["whole"] is True  # type: ignore[attr-defined]


def test_gc_keeps_current_and_previous(drop: Made, newer: Made, root: Path, two: dict[str, str]) -> None:
    assert collect(root, dry_run=False)["changed"] is False
    third = newer.copy(newer.folder.parent / "third").rewrite(lambda m: m.update(version="3"))
    installed(third, root)
    (root / "engines" / ("e" * 64)).mkdir()
    foretold = collect(root, dry_run=True)
    assert (foretold["releases"], foretold["engines"]) == ([drop.release], ["e" * 64])
    assert foretold["changed"] is False
    assert Root(root).names() == sorted([drop.release, newer.release, third.release])
    facts = collect(root, dry_run=False)
    assert {**facts, "changed": False, "dry_run": True} == foretold
    assert facts["freed_bytes"] > 1000
    assert Root(root).names() == sorted([newer.release, third.release])
    assert not list((root / "engines").iterdir())
    assert back(root)["release"] == newer.release


def test_gc_of_nothing(root: Path) -> None:
    assert refused(lambda: collect(root, dry_run=False)) == (
        2,
        f"{root} holds no releases\n"
        "  cause: nothing was installed there, or --root names another folder\n"
        "  next:  name the root that `fcnship-device install` was given with --root",
    )
    assert not root.exists()


def test_gc_removes_no_engine_while_it_is_not_known_which_is_used(
    drop: Made, root: Path, two: dict[str, str]
) -> None:
    (root / "releases" / drop.release / "install.json").write_text("{", encoding="utf-8")
    (root / "engines" / ("e" * 64)).mkdir()
    assert refused(lambda: collect(root, dry_run=False))[0] == 8
    assert (root / "engines" / ("e" * 64)).is_dir()

"""What somebody changed in a root by hand is noticed before it is loaded, and an install mends it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drops import Made
from test_device_cli import ran

from fcnship.device.store import Root


@pytest.fixture
def live(drop: Made, root: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder of a release that is live."""
    assert ran(capsys, "install", drop.folder, "--root", root, "--backend", "onnxruntime")[0] == 0
    return root / "releases" / drop.release


Change = Callable[[dict[str, Any]], object]
EDITS: list[tuple[Change, str]] = [
    (lambda r: r.update(backend="tensorrt"), "backend is tensorrt, which its engine does not fit"),
    (lambda r: r.update(engine={"key": "0" * 64}), "backend is onnxruntime, which its engine does not fit"),
    (lambda r: r.update(precision="fp16"), "parity is no proof of fp16"),
    (lambda r: r["parity"][0].update(passed=False), "parity is no proof of fp32"),
    (lambda r: r.update(parity=[]), "parity is no proof of fp32"),
    (lambda r: r.update(release="0" * 64), "its install.json is another"),
    (
        lambda r: (r.update(precision="int8"), [row.update(variant="device-int8") for row in r["parity"]]),
        "its install.json is another",
    ),
]


@pytest.mark.parametrize(("edit", "told"), EDITS)
def test_an_edited_install_json(
    edit: Change, told: str, live: Path, drop: Made, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((live / "install.json").read_text(encoding="utf-8"))
    edit(record)
    (live / "install.json").write_text(json.dumps(record), encoding="utf-8")
    golden = drop.folder / "golden/p0-8x8-b2.npz"
    for words in (["status"], ["run", golden], ["bench", "--seconds", "0.01"]):
        status, _, text = ran(capsys, *words, "--root", root)
        assert (status, "Traceback" in text) == (8, False), text
    assert told in ran(capsys, "status", "--root", root)[1]["error"]["cause"]
    assert ran(capsys, "install", drop.folder, "--root", root, "--backend", "onnxruntime")[0] == 0
    assert ran(capsys, "run", golden, "--root", root)[0] == 0


def test_a_live_release_without_its_manifest(live: Path, root: Path, capsys: Any) -> None:
    (live / "manifest.json").unlink()
    status, facts, _ = ran(capsys, "run", live / "golden/p0-8x8-b2.npz", "--root", root)
    assert (status, facts["error"]["cause"]) == (8, "there is no file manifest.json in it")


@pytest.mark.parametrize("kind", ["file", "link", "archive"])
def test_something_else_in_a_releases_place(
    kind: str, live: Path, drop: Made, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live.rename(tmp_path / live.name)
    if kind == "link":
        live.symlink_to(tmp_path / live.name)
    elif kind == "file":
        live.touch()
    else:
        import tarfile

        with tarfile.open(live, "w") as archive:
            for path in sorted(drop.folder.rglob("*")):
                archive.add(path, path.relative_to(drop.folder).as_posix(), recursive=False)
    assert ran(capsys, "status", "--root", root)[0] == 8
    status, facts, text = ran(capsys, "install", drop.folder, "--root", root, "--backend", "onnxruntime")
    assert (status, facts["changed"]) == (0, True), text
    assert live.is_dir() and not live.is_symlink()
    assert ran(capsys, "status", "--root", root)[0] == 0
    assert kind != "link" or (tmp_path / live.name / "onnx/fp32.onnx").is_file()


def test_a_lock_that_is_a_folder(live: Path, drop: Made, root: Path, capsys: Any) -> None:
    (root / "lock").unlink()
    (root / "lock").mkdir()
    status, _, text = ran(capsys, "install", drop.folder, "--root", root)
    assert (status, "Traceback" in text) == (2, False)


@pytest.mark.parametrize("command", ["status", "run", "bench"])
def test_a_root_that_is_no_folder(command: str, drop: Made, root: Path, capsys: Any) -> None:
    root.touch()
    words = [command, drop.folder / "golden/p0-8x8-b2.npz"] if command == "run" else [command]
    status, facts, _ = ran(capsys, *words, "--root", root)
    assert (status, facts["error"]["what"]) == (2, f"{root} cannot be read: Not a directory")


def test_nothing_of_others_is_removed(live: Path, drop: Made, newer: Made, root: Path, capsys: Any) -> None:
    """Neither by gc nor by the next install, which clears away what a killed one left."""
    for folder in ("releases", "engines", "incoming"):
        (root / folder / "notes").mkdir(parents=True)
        os.utime(root / folder / "notes", (0, 0))
    assert ran(capsys, "gc", "--root", root)[1]["freed_bytes"] == 0
    assert ran(capsys, "install", newer.folder, "--root", root, "--backend", "onnxruntime")[0] == 0
    assert all((root / folder / "notes").is_dir() for folder in ("releases", "engines", "incoming"))
    assert Root(root).names() == sorted([drop.release, newer.release])


def test_an_image_that_is_a_pipe_is_not_waited_for(
    live: Path, root: Path, tmp_path: Path, capsys: Any
) -> None:
    os.mkfifo(tmp_path / "image.pgm")
    status, facts, _ = ran(capsys, "run", tmp_path / "image.pgm", "--root", root)
    assert (status, facts["error"]["cause"]) == (3, "it is no plain file")

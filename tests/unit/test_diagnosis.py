"""What ``fcnship doctor`` finds, on libraries that are broken in known ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from fcnship import diagnosis
from fcnship.diagnosis import diagnose

BROKEN = {
    "whole": "",
    "missing_part": "import no_such_part",
    "quitting": "raise SystemExit(3)",
    "crashing": "import os\nos.abort()",
    "talking": "print('hello')",
}
ENDED = "the import ended Python with status -6"


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of libraries that Python finds."""
    folder = tmp_path / "lib"
    folder.mkdir()
    for name, text in BROKEN.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_each_import_says_what_it_raises(libraries: Path) -> None:
    found = diagnosis._imported(["whole", "missing_part", "quitting", "talking", "not_there"])
    assert found == {
        "whole": "",
        "missing_part": "ModuleNotFoundError: No module named 'no_such_part'",
        "quitting": "SystemExit: 3",
        "talking": "",
        "not_there": "ModuleNotFoundError: No module named 'not_there'",
    }


def test_a_library_that_ends_python_is_told_from_the_others(libraries: Path) -> None:
    assert diagnosis._imported(["whole", "crashing"]) == {"whole": "", "crashing": ENDED}


def test_files_of_the_current_folder_are_no_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shadow.py").touch()
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert diagnosis._imported(["shadow"]) == {"shadow": "ModuleNotFoundError: No module named 'shadow'"}


def found(
    monkeypatch: pytest.MonkeyPatch, problems: dict[str, str], flavours: dict[str, str], gpu: str | None
) -> diagnosis.Diagnosis:
    monkeypatch.setattr(diagnosis, "version_of", lambda name: None if name == "tensorrt" else "1.0")
    monkeypatch.setattr(
        diagnosis, "_imported", lambda modules: {module: problems.get(module, "") for module in modules}
    )
    monkeypatch.setattr(diagnosis, "usable_flavours", lambda: flavours)
    monkeypatch.setattr(diagnosis, "gpu_name", lambda: gpu)
    return diagnose()


NONE = {"tensorrt": "tensorrt is not installed", "tensorrt_rtx": "tensorrt-rtx is not installed"}


def test_a_broken_library_is_named_with_what_it_prevents(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosed = found(monkeypatch, {"tf2onnx": "ImportError: half of it"}, NONE, None)
    assert not diagnosed.healthy
    abilities = {ability.name: ability for ability in diagnosed.abilities}
    assert abilities["train, convert, SavedModel"].possible
    onnx = abilities["ONNX"]
    assert (onnx.possible, onnx.reason) == (False, "tf2onnx: ImportError: half of it")
    assert all(ability.next for ability in diagnosed.abilities if not ability.possible)
    assert not any(ability.next for ability in diagnosed.abilities if ability.possible)


def test_what_is_optional_does_not_make_it_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosed = found(monkeypatch, {}, {**NONE, "tensorrt_rtx": ""}, None)
    assert diagnosed.healthy
    missing = next(library for library in diagnosed.libraries if library.name == "tensorrt")
    assert (missing.problem, missing.optional) == ("not installed", True)
    possible = {ability.name: ability.possible for ability in diagnosed.abilities}
    assert possible["engine, TensorRT-RTX"]
    assert not possible["run engines"]


def test_with_a_gpu_engines_run(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosed = found(monkeypatch, {}, dict.fromkeys(NONE, ""), "a GPU")
    assert all(ability.possible for ability in diagnosed.abilities)
    assert diagnosed.as_json()["gpu"] == "a GPU"

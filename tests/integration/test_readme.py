"""The README's two commands, word for word, in a copy of the project and a fresh virtual environment."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = re.findall(r"```sh\n(\S.*?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[:2]
# The second command runs every test, this one among them; inside this test it runs the unit tests.
INSIDE = {"PYTEST_ADDOPTS": "tests/unit -q"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone would hold: the tracked files, and those that git would add."""
    if os.environ.get("FCNSHIP_OFFLINE"):
        pytest.skip("FCNSHIP_OFFLINE is set: the README's first command downloads TensorFlow")
    target = tmp_path_factory.mktemp("clone")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def run(command: str, folder: Path, **extra: str) -> float:
    """Run a command as a newcomer's shell does, and give the seconds that it took."""
    foreign = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"}
    environment = {key: value for key, value in os.environ.items() if key not in foreign}
    start = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**environment, **extra},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return time.monotonic() - start


def test_there_are_two_commands():
    assert len(COMMANDS) == 2
    assert "fcnship build --profile 28-224" in COMMANDS[0]
    assert COMMANDS[1].endswith("python -m pytest")


def test_the_commands_do_what_the_readme_says(copy: Path):
    first = run(COMMANDS[0], copy)
    folder = copy / "artifacts" / "multiscale"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "pass"
    assert {stage["name"]: stage["status"] for stage in report["stages"]} == {
        "train": "done",
        "convert": "skipped",
        "savedmodel": "done",
        "onnx": "done",
        "fp16": "skipped",
        "int8": "skipped",
        "engine": "done",
        "validate": "done",
    }
    for name in (
        "keras/model.keras",
        "savedmodel/saved_model.pb",
        "onnx/fp32.onnx",
        "report.html",
        "junit.xml",
    ):
        assert (folder / name).stat().st_size > 0, name
    assert next((folder / "engines").glob("*.engine")).stat().st_size > 0
    second = run(COMMANDS[1], copy, **INSIDE)
    print(f"first command {first:.0f} s, second (unit tests only) {second:.0f} s")

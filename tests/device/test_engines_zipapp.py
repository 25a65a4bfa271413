"""An engine is built by the one file that lies in a drop, with no Python packages but a device's own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest
from drops import Made

from fcnship.ship.zipapp import zipapp_bytes

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this machine"
)
# What TensorRT's own packages bring, by the names under which they lie in site-packages.
ON_THE_DEVICE = ("numpy", "numpy.libs", "tensorrt_rtx", "tensorrt_rtx_bindings", "tensorrt_rtx_libs")
BUILD = """
import json, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fcnship.device.engines import engine_for
from fcnship.device.manifest import read_manifest
from fcnship.device.probe import probe
drop, engines = Path(sys.argv[2]), Path(sys.argv[3])
found = replace(probe(), board="Board X", gpu=None)
engine = engine_for(drop, read_manifest(drop), "fp32", engines, found, None, engines.parent / "timing.cache")
print(json.dumps({"key": engine.key, "built": engine.built, "names": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Starts a Python that has NumPy and TensorRT-RTX, and neither Polygraphy nor anything else of ours."""
    folder = tmp_path_factory.mktemp("device")
    venv.create(folder / "venv", symlinks=True)
    packages = folder / "packages"
    packages.mkdir()
    numpy = importlib.util.find_spec("numpy")
    assert numpy and numpy.origin
    site = Path(numpy.origin).parents[1]
    for name in ON_THE_DEVICE:
        if (site / name).exists():
            (packages / name).symlink_to(site / name)
    (folder / "fcnship-device").write_bytes(zipapp_bytes())

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(packages)}
        command = [str(folder / "venv/bin/python"), *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd=folder
        )

    return run


def test_an_engine_is_built_from_inside_the_one_file(
    python: Any, drops: tuple[Made, Made], tmp_path: Path
) -> None:
    words = ("-c", BUILD, "fcnship-device", str(drops[0].folder), str(tmp_path / "engines"))
    done = python(*words)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert first["built"]
    assert not {"polygraphy", "tensorflow", "onnx", "fcnship.api"} & set(first["names"])
    about = json.loads((tmp_path / "engines" / first["key"] / "about.json").read_text(encoding="utf-8"))
    assert about["facts"]["types"] == {"fp32": 2}
    again = json.loads(python(*words).stdout)
    assert (again["key"], again["built"]) == (first["key"], False)


def test_the_one_file_says_what_is_there(python: Any) -> None:
    done = python("fcnship-device", "probe")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["probe"]
    assert found["tensorrt_flavour"] == "tensorrt_rtx"
    assert found["onnxruntime"] is None
    assert python("-c", "import polygraphy").returncode == 1

"""How a plan is opened, as far as that goes without a GPU. The rest is in tests/gpu."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fcnship.device.cuda_memory import DriverMemory

PACKAGE = Path(__file__).parents[2] / "pipeline"


def told(script: str, **environment: str) -> str:
    """What a process of its own prints: Polygraphy is told once in each which TensorRT it drives."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE), **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("environment", ["0", "1"])
@pytest.mark.parametrize(("flavour", "rtx"), [("tensorrt", "False"), ("tensorrt_rtx", "True")])
def test_the_flavour_of_the_engine_counts_and_not_the_environment(
    flavour: str, rtx: str, environment: str
) -> None:
    script = f"from fcnship.device.backends.tensorrt import drive; drive({flavour!r})\n"
    script += "from polygraphy import config; print(config.USE_TENSORRT_RTX)"
    assert told(script, POLYGRAPHY_USE_TENSORRT_RTX=environment) == f"{rtx}\n"


def test_one_process_drives_one_flavour() -> None:
    script = """
from fcnship.device.backends import Unrunnable
from fcnship.device.backends.tensorrt import drive
drive("tensorrt_rtx")
try:
    drive("tensorrt")
except Unrunnable as error:
    print(error)
"""
    assert told(script) == "the other TensorRT is at work in this process already\n"


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel here")
def test_a_plan_may_bring_no_native_code(tmp_path: Path) -> None:
    """Whoever gives a plan (``install --engine``) could else run what they like. Nothing of it is loaded."""
    (tmp_path / "engine.plan").write_bytes(b"no plan" * 1000)
    script = f"""
from pathlib import Path
import tensorrt_rtx
made = []
class Watched(tensorrt_rtx.Runtime):
    def __init__(self, logger):
        super().__init__(logger)
        made.append(self)
tensorrt_rtx.Runtime = Watched
from fcnship.device.backends import Unrunnable
from fcnship.device.backends.tensorrt import _engine, drive
drive("tensorrt_rtx")
try:
    _engine(Path({str(tmp_path / "engine.plan")!r}), "tensorrt_rtx")
except Unrunnable as error:
    print(error, [runtime.engine_host_code_allowed for runtime in made])
"""
    assert told(script).splitlines()[-1] == (
        "it was built, and this GPU does not load it (TensorRT's log says why) [False]"
    )


def test_the_driver_offers_all_that_polygraphy_asks_of_libcudart() -> None:
    """By the same names and arguments; that it copies rightly only a GPU can show."""
    from polygraphy.cuda import Cuda  # pyright: ignore[reportAttributeAccessIssue]

    for name, function in inspect.getmembers(Cuda, inspect.isfunction):
        if not name.startswith("_") and name != "check":
            ours = inspect.signature(getattr(DriverMemory, name))
            assert list(ours.parameters) == list(inspect.signature(function).parameters), name

"""The builder's process dies, or the process that waits for it. The plan goes into a named pipe that nobody
empties: there the builder stands still.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from drops import Made

from fcnship.device.building import BuildFailed, build_apart
from fcnship.device.engine_refusals import build_error
from fcnship.errors import DeviceError, EnvironmentLacks

real_builder = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this machine"
)
PARTS = {"flavour": "tensorrt", "tensorrt": "10.3.0"}


def request_for(folder: Path, drop: Made) -> dict[str, object]:
    os.mkfifo(folder / "plan")
    shape = [1, 1, 8, 8]
    return {
        "onnx": str(drop.folder / "onnx/fp32.onnx"),
        "engine": str(folder / "plan"),
        "flavour": "tensorrt_rtx",
        "input": "image",
        "profiles": [{"min": shape, "opt": shape, "max": shape}],
    }


def builders(folder: Path) -> list[int]:
    """The processes that build what the request in ``folder`` asks for."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if words[-2:-1] == [str(folder / "request.json").encode()]:
            found.append(int(process.name))
    return found


@real_builder
def test_a_killed_builder_is_told_from_one_that_refuses(drop: Made, tmp_path: Path) -> None:
    request = request_for(tmp_path, drop)

    def kill() -> None:
        with (tmp_path / "plan").open("rb"):  # goes on when the builder opens the other end
            os.kill(builders(tmp_path)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(BuildFailed) as failed:
        build_apart(request, tmp_path)
    killer.join()
    assert (failed.value.status, failed.value.refused) == (-9, False)


@real_builder
def test_the_builder_ends_with_the_one_who_waits_for_it(drop: Made, tmp_path: Path) -> None:
    request = request_for(tmp_path, drop)
    code = "import json, sys; from pathlib import Path; from fcnship.device.building import build_apart\n"
    code += "build_apart(json.loads(sys.argv[1]), Path(sys.argv[2]))"
    waiting = subprocess.Popen([sys.executable, "-c", code, json.dumps(request), str(tmp_path)])
    with (tmp_path / "plan").open("rb"):
        builder = os.pidfd_open(builders(tmp_path)[0])
        waiting.kill()
        waiting.wait()
        ended, _, _ = select.select([builder], [], [], 20)
        os.close(builder)
    assert ended


@pytest.mark.parametrize(
    ("status", "lines", "kind", "what", "cause"),
    [
        (
            3,
            ["[E] no such layer", "refused"],
            DeviceError,
            "tensorrt 10.3.0 made no engine of onnx/fp16.onnx: refused",
            "its logger says:\n    [E] no such layer",
        ),
        (
            -9,
            [],
            EnvironmentLacks,
            "tensorrt 10.3.0 was killed while it built an engine of onnx/fp16.onnx",
            "most likely the system ran out of memory",
        ),
        (
            -11,
            ["[I] a", "[!] b", "c"],
            DeviceError,
            "tensorrt 10.3.0 was ended by SIGSEGV while it built an engine of onnx/fp16.onnx",
            "its last words:\n    [!] b",
        ),
        (
            1,
            ["Traceback", "KeyError: 1"],
            DeviceError,
            "tensorrt 10.3.0 ended with status 1 while it built an engine of onnx/fp16.onnx",
            "its last words:\n    Traceback\n    KeyError: 1",
        ),
        (
            5,
            ["[E] [Errno 28] No space left on device"],
            EnvironmentLacks,
            "an engine of onnx/fp16.onnx could not be built: [E] [Errno 28] No space left on device",
            "the disk is full, or may not be written",
        ),
    ],
)
def test_each_end_has_its_message(status: int, lines: list[str], kind: type, what: str, cause: str) -> None:
    error = build_error(BuildFailed(status, lines), PARTS, "onnx/fp16.onnx")
    assert (type(error), error.what, error.cause) == (kind, what, cause)
    assert error.next

"""Starts ``build.py`` in a process of its own, because TensorRT may end the process when it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fcnship.device.build import REFUSED, UNWRITTEN

_LOG_LINES = 12
_HOME = Path(__file__).absolute().parents[2]
# Not with -m, which searches the current folder first: a json.py in it would be imported. Where this runs
# from a zipapp, that comes before all else: what was verified builds, not another fcnship of the device's.
_BUILD = f"""
import sys
home, path = [{str(_HOME)!r}], [*filter(None, sys.path)]
sys.path[:] = [*home, *path] if {_HOME.is_file()} else [*path, *home]
from fcnship.device.build import main
sys.exit(main())
"""


class BuildFailed(Exception):
    """No engine was made. ``refused``: TensorRT said so. ``unwritten``: a file could not be read or written.
    Else its process ended with ``status``, negative for a signal.

    ``last`` is the last line that was said, ``told`` the lines that tell why.
    """

    def __init__(self, status: int, lines: list[str]) -> None:
        severe = [line for line in lines if line.startswith(("[E]", "[!]"))]
        self.status, self.refused, self.unwritten = status, status == REFUSED, status == UNWRITTEN
        self.last = lines[-1] if lines else "it said nothing"
        self.told = "\n    ".join((severe or lines)[-_LOG_LINES:])
        super().__init__(f"{ended(status)}: {self.last}")


def ended(status: int) -> str:
    """How a process ended, from its status: a negative one is a signal."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def build_apart(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Build what ``request`` says (see build.py) and give the facts of it. Its files lie in ``folder``.

    Raises:
        BuildFailed: there is no engine.
    """
    asked, facts = folder / "request.json", folder / "facts.json"
    whole = {**request, "facts": str(facts.resolve()), "parent": os.getpid()}
    asked.write_text(json.dumps(whole), encoding="utf-8")
    command = [sys.executable, "-c", _BUILD, str(asked)]
    done = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, text=True, errors="replace", check=False
    )
    if done.returncode:
        lines = [line.rstrip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        raise BuildFailed(done.returncode, lines)
    found: dict[str, Any] = json.loads(facts.read_text(encoding="utf-8"))
    return found

"""A command that is killed at any moment leaves a whole live release, and the next command works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drops import Made

KILLS = 100


@pytest.fixture
def folder(drops: tuple[Made, Made], tmp_path: Path) -> Path:
    """The two drops, under the names that crashes.py knows."""
    for drop, name in zip(drops, ("one", "two"), strict=True):
        drop.copy(tmp_path / name)
    return tmp_path


def crashes(*arguments: object) -> dict[str, Any]:
    """What crashes.py found; it ends with an error if a kill left anything that is not whole."""
    command = [sys.executable, str(Path(__file__).with_name("crashes.py")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_hundred_random_kills(folder: Path) -> None:
    found = crashes("random", folder, KILLS, 7)
    assert found["killed"] == KILLS, found


@pytest.mark.parametrize(("command", "least"), [("install", 20), ("repair", 20), ("rollback", 5), ("gc", 5)])
def test_a_kill_at_every_step(folder: Path, command: str, least: int) -> None:
    found = crashes("steps", folder, command)
    assert found["steps"] >= least, found

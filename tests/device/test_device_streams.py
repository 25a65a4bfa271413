"""fcnship-device as a program whose output cannot be written, or that is told to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drops import Made

PACKAGE = Path(__file__).parents[2] / "pipeline"
# What a library in C++ would do: past Python, to the file behind standard output.
LOUD = "import os; os.write(1, b'a library says\\n'); print('and so does another')"


def program(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    code = "import sys; from fcnship.device.cli import main; sys.exit(main())"
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(
        [sys.executable, "-c", options.pop("code", code), *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        text=True,
        check=False,
        **options,
    )


def test_an_answer_that_cannot_be_written(root: Path) -> None:
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = program("status", "--root", root, stdout=full)
    assert (done.returncode, done.stderr) == (
        7,
        f"fcnship-device: nothing is installed in {root}\n"
        "fcnship-device: the answer cannot be written to standard output: No space left on device\n"
        "  cause: status itself is done; most likely the disk that its output goes to is full\n"
        "  next:  fcnship-device status says what is live\n",
    )


@pytest.mark.parametrize("words", [("status",), ("rollback",)])
def test_text_that_cannot_be_written_stops_nothing(words: tuple[str, ...], root: Path) -> None:
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = program(*words, "--root", root, stderr=full)
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["ok"]) == ((0, True) if words == ("status",) else (2, False))


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-"])
@pytest.mark.parametrize("command", ["status", "rollback"])
def test_without_standard_error_the_json_stands_alone(closed: str, command: str, root: Path) -> None:
    script = f'exec "$@" {closed}'
    code = "import sys; from fcnship.device.cli import main; sys.exit(main())"
    done = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-c", code, command, "--root", str(root)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        check=False,
    )
    assert json.loads(done.stdout)["command"] == command


def test_what_a_library_prints_goes_to_standard_error(root: Path) -> None:
    code = f"""
import sys
from fcnship.device import cli, status
def loud(*_):
    {LOUD}
    raise RuntimeError("made up")
status.status = loud
sys.exit(cli.main())
"""
    done = program("status", "--root", root, code=code)
    assert json.loads(done.stdout)["error"]["what"] == "RuntimeError: made up"
    assert "a library says" in done.stderr and "and so does another" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_is_told_and_nothing_is_left(number: signal.Signals, drop: Made, root: Path) -> None:
    """In the middle of an install: the copy that was begun is cleared away, and the JSON says why."""
    code = f"""
import os, signal, sys
from fcnship.device import cli, install
signal.signal({int(number)}, signal.default_int_handler)  # whoever ran this may ignore it
def proved(*_):
    os.kill(os.getpid(), {int(number)})
    signal.pause()
install._proved = proved
sys.exit(cli.main())
"""
    done = program("install", drop.folder, "--root", root, "--backend", "onnxruntime", code=code)
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["error"]["exit"]) == (128 + number, 128 + number), done.stderr
    assert facts["error"]["what"] == f"interrupted by {number.name}"
    assert list((root / "releases").iterdir()) == []


def test_a_signal_that_is_ignored_stays_so(drop: Made, root: Path) -> None:
    """As with ``nohup``."""
    code = f"""
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from fcnship.device import cli, status
whole = status.status
def hung_up(*words):
    os.kill(os.getpid(), {int(signal.SIGHUP)})
    return whole(*words)
status.status = hung_up
sys.exit(cli.main())
"""
    done = program("status", "--root", root, code=code)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)


def test_a_signal_during_an_import_is_told_as_one(drop: Made, root: Path, tmp_path: Path) -> None:
    """A library in C says then that it does not load, and nothing is missing here."""
    (tmp_path / "onnxruntime.py").write_text(
        f"""
import os, signal
try:
    os.kill(os.getpid(), {int(signal.SIGTERM)})
    signal.pause()
except KeyboardInterrupt:
    raise ImportError("initialization failed")
""",
        encoding="utf-8",
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from fcnship.device.cli import main; main()"
    facts = json.loads(program("install", drop.folder, "--root", root, code=code).stdout)
    assert facts["error"]["what"] == "interrupted by SIGTERM"

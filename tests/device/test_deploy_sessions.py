"""Deploys that are stopped, that meet another one, and that the user's ssh configuration has ideas about."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deploying import HOST, Device, with_program
from drops import Made
from sshd import MISSING, serving

from fcnship import api_ship
from fcnship.errors import DeviceError
from fcnship.events import Silence
from fcnship.ship.destination import destination_of
from fcnship.ship.ssh import Connection
from fcnship.workspace import StageRecord

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
# It works until it is interrupted, and tells what became of it.
WORKS_ON = """\
import pathlib, signal, sys
at_work = pathlib.Path(sys.argv[sys.argv.index("--root") + 1]) / "at work"
at_work.touch()
try:
    print("at work", file=sys.stderr, flush=True)
    signal.pause()
except KeyboardInterrupt:
    at_work.unlink()
"""


class Interrupting(Silence):
    """Presses Ctrl-C once the device's own program is at work."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, text: str) -> None:
        self.told.append(text)
        if text == "at work":
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_the_device_as_well(device: Device, drop: Made) -> None:
    """What nobody waits for any more must not go live behind their back."""
    (drop.folder / "fcnship-device").write_text(WORKS_ON, encoding="utf-8")
    events, before = Interrupting(), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            device.deploy(drop.rewrite().folder, events=events)
    finally:
        signal.signal(signal.SIGINT, before)
    assert device.root.is_dir() and not (device.root / "at work").exists()
    assert (
        f"{HOST} stops too, and has the old release or the new one, whole: "
        f"ssh -p {device.server.port} {HOST} {device.root}/current/fcnship-device status --root {device.root}"
    ) in events.told


class Meeting(Silence):
    """Looks at the upload by a second connection as soon as the first has brought it."""

    def __init__(self, port: int, request: dict[str, Any]) -> None:
        self._port, self._request = port, request
        self.other: Connection | None = None

    def stage_ended(self, record: StageRecord) -> None:
        if record.name == "upload":
            self.other = Connection(destination_of(HOST, self._port), self.say)
            self.other.ask("survey", files=[], **self._request)


def test_an_upload_that_another_session_works_with_is_left_to_it(device: Device, drop: Made) -> None:
    """Two people deploy the same drop at once: the first to be done takes nothing from the second."""
    with_program(drop)
    upload = device.root / "incoming" / drop.release
    request = {"root": str(device.root), "release": drop.release}
    events = Meeting(device.server.port, request)
    assert device.deploy(drop.folder, events=events).changed
    assert events.other and (upload / "manifest.json").is_file()
    with events.other:
        events.other.ask("clean", **request)
    assert not upload.parent.exists()


@pytest.mark.parametrize(
    "line", ["SessionType none", "StdinNull yes", "RequestTTY force", "RemoteCommand id"]
)
def test_settings_for_other_uses_of_the_host(device: Device, drop: Made, line: str) -> None:
    with device.client.config.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    asked = subprocess.run(["ssh", "-T", "-G", HOST], capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip(f"this OpenSSH does not know {line}")
    assert device.deploy(with_program(drop).folder).changed


def test_what_a_login_says_that_takes_nobody(device: Device, drop: Made) -> None:
    """nologin(8) and the like tell it on standard output."""
    program = device.server.folder / "bin" / "python3"
    program.write_text("#!/bin/sh\necho This account is currently not available.\nexit 1\n", encoding="utf-8")
    with pytest.raises(DeviceError) as caught:
        device.deploy(drop.folder)
    assert caught.value.cause == "This account is currently not available."


def test_a_jump_host_that_is_unknown_is_named_and_nobody_is_asked(
    device: Device, drop: Made, tmp_path: Path
) -> None:
    """BatchMode and strict keys do not reach the ssh of a ProxyJump: at a terminal it would ask."""
    with serving(tmp_path / "jump", device.client, known=False) as jump:
        hosts = f"Host gate\n  HostName {HOST}\n  Port {jump.port}\n"
        hosts += f"Host camera\n  HostName {HOST}\n  Port {device.server.port}\n  ProxyJump gate\nHost *\n"
        device.client.config.write_text(hosts + device.client.config.read_text(encoding="utf-8"))
        words = [sys.executable, "-m", "fcnship", "deploy", str(with_program(drop).folder), "camera"]
        code, told = _at_a_terminal([*words, "--root", str(device.root)])
        assert code == DeviceError.exit_code and "(yes/no" not in told
        assert "camera is not reached: the line ended on its way there, at gate" in told
        assert "Host key verification failed" in told
        assert jump.logins == 0

        with device.client.known_hosts.open("a", encoding="utf-8") as file:
            file.write(f"{jump.address} {jump.public_key}\n")
        assert api_ship.deploy(drop.folder, "camera", root=str(device.root), bench=False).changed
        assert jump.logins == 1


def _at_a_terminal(words: list[str]) -> tuple[int, str]:
    """Exit code and words of a program that has a terminal of its own, with nobody at it."""
    pid, terminal = pty.fork()
    if not pid:
        os.execvp(words[0], words)
    told = b""
    while True:
        try:
            told += os.read(terminal, 1 << 16)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if b"(yes/no" in told:
            os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), " ".join(told.decode(errors="replace").split())

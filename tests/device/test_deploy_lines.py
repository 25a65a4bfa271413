"""Lines that are cut, and devices that are not what they should be."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from deploying import HOST, Device, with_program
from drops import Made
from sshd import (
    MISSING,
    Client,
    Sshd,
    free_port,
    make_key,
    serving,
)

from fcnship import api_ship
from fcnship.errors import ArtifactError, DeviceError, UsageError
from fcnship.events import Silence
from fcnship.ship.ssh import Connection

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
LARGE = 24 << 20


class CutAfter(Silence):
    """Kills the server's end of the line once so many bytes have left."""

    how = signal.SIGKILL

    def __init__(self, server: Sshd, count: int) -> None:
        self._server, self._count = server, count
        self.sent = 0

    def progress(self, done: int, total: int, text: str) -> None:
        self.sent = done
        if done >= self._count:
            for session in self._server.sessions():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(session, self.how)


def test_a_cut_line_goes_on_where_it_was_cut(device: Device, drop: Made) -> None:
    (drop.folder / "large.bin").write_bytes(os.urandom(LARGE))
    with_program(drop)
    events = CutAfter(device.server, LARGE // 2)
    with pytest.raises(DeviceError, match="was cut") as caught:
        device.deploy(drop.folder, events=events)
    assert caught.value.next == "run the same command again: it goes on with what has arrived"
    assert device.live is None
    part = device.root / "incoming" / drop.release / "large.bin.part"
    arrived = part.stat().st_size
    assert 0 < arrived < LARGE

    found = device.deploy(drop.folder)
    assert device.live == drop.release
    assert found.sent_bytes <= LARGE - arrived + 1_000_000, "what had arrived is not sent again"
    assert (device.root / "current" / "large.bin").read_bytes() == (drop.folder / "large.bin").read_bytes()


class StopAfter(CutAfter):
    """Lets the server's end fall silent instead."""

    how = signal.SIGSTOP


def test_a_line_that_goes_dead_ends(device: Device, drop: Made) -> None:
    """By the user's own ServerAliveInterval; ours is only for those who have set none."""
    with device.client.config.open("a", encoding="utf-8") as file:
        file.write("ServerAliveInterval 1\nServerAliveCountMax 1\n")
    (drop.folder / "large.bin").write_bytes(os.urandom(LARGE))
    with pytest.raises(DeviceError, match="was cut") as caught:
        device.deploy(with_program(drop).folder, events=StopAfter(device.server, LARGE // 4))
    assert "not responding" in caught.value.cause


def test_a_part_that_is_no_beginning_is_not_gone_on_with(device: Device, drop: Made) -> None:
    with_program(drop)
    incoming = device.root / "incoming" / drop.release
    incoming.mkdir(parents=True)
    (incoming / "fcnship-device.part").write_bytes(b"no beginning of it")
    assert device.deploy(drop.folder).sent_bytes > (drop.folder / "fcnship-device").stat().st_size
    assert device.live == drop.release


def test_an_unknown_host(client: Client, drop: Made, tmp_path: Path) -> None:
    with serving(tmp_path / "server", client, known=False) as server:
        device = Device(client=client, server=server, root=tmp_path / "root", cwd=tmp_path)
        with pytest.raises(DeviceError, match="is not a known host: nothing was sent") as caught:
            device.deploy(drop.folder)
        assert caught.value.next == f"fcnship device add {HOST} --port {server.port}"
        assert not client.known_hosts.exists() and not device.root.exists() and server.logins == 0


def test_a_host_whose_key_has_changed(client: Client, drop: Made, tmp_path: Path) -> None:
    with serving(tmp_path / "before", client) as before:
        known = client.known_hosts.read_bytes()
    with serving(tmp_path / "now", client, port=before.port, known=False) as server:
        device = Device(client=client, server=server, root=tmp_path / "root", cwd=tmp_path)
        with pytest.raises(DeviceError, match=r"THE HOST KEY OF 127\.0\.0\.1 HAS CHANGED") as caught:
            device.deploy(drop.folder)
        assert f"ssh-keygen -R '{server.address}'" in caught.value.next
        with pytest.raises(DeviceError, match="HAS CHANGED"):
            api_ship.device_add(HOST, port=server.port, accepts=lambda host, key: True)
        assert client.known_hosts.read_bytes() == known and server.logins == 0


def test_a_key_that_is_not_authorised(device: Device, drop: Made) -> None:
    device.client.key.unlink()
    make_key(device.client.key)
    with pytest.raises(DeviceError, match=r"127\.0\.0\.1 does not let us in"):
        device.deploy(drop.folder)


def test_nobody_answers(client: Client, drop: Made) -> None:
    with pytest.raises(DeviceError, match="does not answer"):
        api_ship.deploy(drop.folder, HOST, port=free_port())
    with pytest.raises(DeviceError, match="there is no host"):
        api_ship.deploy(drop.folder, "no-such-host.invalid")


def test_a_device_without_python(client: Client, drop: Made, tmp_path: Path) -> None:
    with serving(tmp_path / "server", client) as server:
        shutil.rmtree(server.folder / "bin")
        (server.folder / "bin").mkdir()
        (server.folder / "bin" / "python3").write_text(
            "#!/bin/sh\necho 'bash: python3: not found' >&2\nexit 127\n"
        )
        (server.folder / "bin" / "python3").chmod(0o755)
        with pytest.raises(DeviceError, match=r"there is no python3 on 127\.0\.0\.1"):
            api_ship.deploy(drop.folder, HOST, port=server.port)


@pytest.mark.parametrize("mode", ["read-only", "no folder", "another's"])
def test_a_store_that_cannot_be_written(device: Device, drop: Made, mode: str, tmp_path: Path) -> None:
    if mode == "no folder":
        device.root.write_bytes(b"")
    else:
        device.root.mkdir()
    if mode == "read-only":
        device.root.chmod(0o555)
    if mode == "another's":
        (device.root / "passwd").write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DeviceError, match="cannot write to") as caught:
        device.deploy(drop.folder)
    told = {"read-only": "marked read-only", "no folder": "is no folder", "another's": "it holds 'passwd'"}
    assert told[mode] in caught.value.cause
    assert sorted(tmp_path.rglob("*")) == before


class CutsShort(Silence):
    """Writes to a file of the drop while it is sent."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def progress(self, done: int, total: int, text: str) -> None:
        if done > LARGE // 2:  # in the middle of it
            os.truncate(self._file, 1)


def test_a_drop_that_changes_while_it_is_sent(device: Device, drop: Made) -> None:
    large = drop.folder / "large.bin"
    large.write_bytes(os.urandom(LARGE))
    with_program(drop)
    with pytest.raises(ArtifactError, match="became shorter while it was sent"):
        device.deploy(drop.folder, events=CutsShort(large))
    assert device.live is None


def test_a_disk_that_takes_no_more(device: Device, drop: Made) -> None:
    """In the middle of a file: the device says so, and what was on its way is not waited for."""
    python = device.server.folder / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nulimit -f 4000\nexec {sys.executable} "$@"\n', encoding="utf-8")
    (drop.folder / "large.bin").write_bytes(os.urandom(LARGE))
    with pytest.raises(DeviceError, match=r"127\.0\.0\.1 could not store the drop: File too large"):
        device.deploy(with_program(drop).folder)
    assert device.live is None


def test_a_shell_that_talks(device: Device, drop: Made) -> None:
    """What start-up files print comes before the answers."""
    (device.server.folder / ".bashrc").write_text("echo Welcome; echo to the device\n", encoding="utf-8")
    (device.server.folder / "bin" / "python3").write_text(
        "#!/bin/sh\necho Welcome\necho to the device\nprintf '\\033]0;its title\\007'\n"
        f'exec {sys.executable} "$@"\n',
        encoding="utf-8",
    )
    assert device.deploy(with_program(drop).folder).changed


@pytest.mark.parametrize(
    "host",
    ["-oProxyCommand=touch x", "a b", "", "@host", "host;id", "$(id)", "user@-host", "a\nb", "ho`st"],
)
def test_hosts_that_are_none(client: Client, drop: Made, host: str) -> None:
    for command in (lambda: api_ship.deploy(drop.folder, host), lambda: api_ship.device_add(host)):
        with pytest.raises(UsageError, match="is not a device's address"):
            command()


@pytest.mark.parametrize("host", ["orin.local:2222", "jetson@10.0.0.7:22"])
def test_a_port_behind_the_host(client: Client, drop: Made, host: str) -> None:
    address, _, port = host.rpartition(":")
    for command in (lambda: api_ship.deploy(drop.folder, host), lambda: api_ship.device_add(host)):
        with pytest.raises(UsageError) as caught:
            command()
        assert str(caught.value) == (
            f"{host} is not a device's address\n"
            "  cause: a port is not a part of it\n"
            f"  next:  write it like {address} --port {port}"
        )


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[]",
        '{"ok": true}',
        '{"schema": "fcnship.device/1", "ok": 1}',
        '{"schema": "fcnship.device/1", "ok": true, "parity": [3]}',
        "\\033]0;owned\\007",
    ],
    ids=repr,
)
def test_a_program_that_says_something_else(device: Device, drop: Made, said: str) -> None:
    (drop.folder / "fcnship-device").write_text(f"print({said!r})", encoding="utf-8")
    with pytest.raises(DeviceError, match="fcnship-device install broke on"):
        device.deploy(drop.rewrite().folder)


@pytest.mark.parametrize(
    "answer",
    [
        {"free": "much"},
        {"have": ["a"]},
        {"have": {"manifest.json": 3}},
        {"partial": {"manifest.json": {"bytes": -1, "sha256": ""}}},
        {"root": None},
    ],
    ids=repr,
)
def test_a_device_that_says_something_else_of_its_store(
    answer: dict[str, Any], device: Device, drop: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Connection.ask
    monkeypatch.setattr(Connection, "ask", lambda self, op, **more: {**asked(self, op, **more), **answer})
    with pytest.raises(DeviceError, match="says something else than what it has of the drop"):
        device.deploy(with_program(drop).folder)
    assert device.live is None


def test_a_drop_without_its_program(device: Device, drop: Made) -> None:
    (drop.folder / "fcnship-device").unlink()
    with pytest.raises(ArtifactError, match="holds no fcnship-device"):
        device.deploy(drop.rewrite().folder)
    assert device.server.logins == 0


def test_roots_that_are_none(device: Device, drop: Made) -> None:
    for root in ("data", "-x", "", "/data/../etc", "/da\nta", "~other/x"):
        with pytest.raises(UsageError, match="is not a folder on a device"):
            device.deploy(drop.folder, root=root)


def test_a_root_that_a_shell_would_take_apart(device: Device, drop: Made, tmp_path: Path) -> None:
    root = tmp_path / "a 'b' $(touch c) ; \"d\" *"
    assert device.deploy(with_program(drop).folder, root=str(root)).changed
    assert (root / "current").is_symlink() and not (tmp_path / "c").exists()


def test_a_root_in_the_home(device: Device, drop: Made) -> None:
    assert (
        device.deploy(with_program(drop).folder, root="~/fcnship").root == f"{device.server.folder}/fcnship"
    )

"""``fcnship device add``: whose key is taken, whose is not, and who is asked."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from deploying import HOST, run, with_program
from drops import Made
from sshd import MISSING, Client, known_hosts_line, make_key, serving

from fcnship import api_ship
from fcnship.errors import DeviceError, UsageError

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def test_add_by_its_fingerprint(client: Client, drop: Made, tmp_path: Path) -> None:
    with serving(tmp_path / "server", client, known=False) as server:
        shown = subprocess.run(
            ["ssh-keygen", "-lf", str(server.folder / "host_key.pub")],
            capture_output=True,
            text=True,
            check=True,
        )
        fingerprint = re.search(r"SHA256:\S+", shown.stdout)
        assert fingerprint
        with pytest.raises(DeviceError, match="has another key than"):
            api_ship.device_add(HOST, port=server.port, fingerprint="SHA256:" + "A" * 43)
        with pytest.raises(UsageError, match="is not a fingerprint"):
            api_ship.device_add(HOST, port=server.port, fingerprint="SHA256:x")
        with pytest.raises(DeviceError, match="was not accepted"):
            api_ship.device_add(HOST, port=server.port)
        assert not client.known_hosts.exists()
        client.known_hosts.write_bytes(b"# no end of line")
        added = api_ship.device_add(HOST, port=server.port, fingerprint=fingerprint[0])
        assert (added.outcome, added.fingerprint) == ("added", fingerprint[0])
        lines = client.known_hosts.read_text(encoding="utf-8").splitlines()
        assert lines[1:] == [f"{server.address} {server.public_key}"]
        assert api_ship.device_add(HOST, port=server.port).outcome == "known"
        root = str(tmp_path / "root")
        assert api_ship.deploy(
            with_program(drop).folder, HOST, port=server.port, root=root, bench=False
        ).changed


def test_names_are_hashed_where_the_user_hashes_them(client: Client, tmp_path: Path) -> None:
    with client.config.open("a", encoding="utf-8") as file:
        file.write("HashKnownHosts yes\n")
    with serving(tmp_path / "server", client, known=False) as server:
        api_ship.device_add(HOST, port=server.port, accepts=lambda host, key: True)
        assert client.known_hosts.read_text(encoding="utf-8").startswith("|1|")
        assert api_ship.device_add(HOST, port=server.port).outcome == "known"
        assert (
            subprocess.run(
                ["ssh", "-oBatchMode=yes", "-p", str(server.port), HOST, "true"], check=False
            ).returncode
            == 0
        )


def test_a_person_is_asked(client: Client, tmp_path: Path) -> None:
    with serving(tmp_path / "server", client, known=False) as server:
        words = ["device", "add", HOST, "--port", str(server.port)]
        piped = run(words, client, tmp_path, given="y\n")
        assert piped.returncode == DeviceError.exit_code, "a pipe is nobody"
        assert not client.known_hosts.exists()
        assert _at_a_terminal(words, client, "n\n") == DeviceError.exit_code
        assert not client.known_hosts.exists()
        assert _at_a_terminal(words, client, "y\n") == 0
        assert client.known_hosts.read_text(encoding="utf-8") == f"{server.address} {server.public_key}\n"


def _at_a_terminal(words: list[str], client: Client, answer: str) -> int:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "fcnship", *words],
        env={**os.environ, **client.environment},
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        _, told = process.communicate(timeout=60)
    os.close(ours)
    assert re.search(rb"ED25519 SHA256:\S{43}\n", told) and b"[y/N]" in told
    return process.returncode


def test_one_key_of_several_that_has_changed(client: Client, tmp_path: Path) -> None:
    """ssh asks for the kinds that are known: the one that has changed among them is no known host."""
    with serving(tmp_path / "server", client, more_keys=["rsa"]) as server:
        other, kept = make_key(tmp_path / "other"), known_hosts_line(server.port, server.folder / "rsa_key")
        client.known_hosts.write_text(known_hosts_line(server.port, other) + kept, encoding="utf-8")
        with pytest.raises(DeviceError, match=r"HAS CHANGED: it was ED25519 SHA256:\S+ and is ED25519"):
            api_ship.device_add(HOST, port=server.port)
        client.known_hosts.write_text(kept, encoding="utf-8")
        assert api_ship.device_add(HOST, port=server.port).key == "ssh-rsa"


def test_the_key_of_a_host_that_nobody_knows(client: Client) -> None:
    """ssh-keyscan says the same five times over."""
    with pytest.raises(DeviceError) as caught:
        api_ship.device_add("device.invalid")
    assert caught.value.what == "device.invalid shows no key (device.invalid port 22)"
    assert caught.value.cause.count("getaddrinfo") == 1
    assert caught.value.next == (
        "check its name, that it is on, and that sshd runs there; "
        "or connect once by hand, and compare the fingerprint: ssh device.invalid"
    )

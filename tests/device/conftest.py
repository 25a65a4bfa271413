"""Small drops, made once; each test takes copies of them to change."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploying import Device
from drops import Made, make_drop
from sshd import Client, Sshd, make_client, serving


@pytest.fixture(scope="session")
def drops(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    """Two drops, versions 1 and 2 of one network with other weights. For looking and installing only."""
    folder = tmp_path_factory.mktemp("drops")
    return make_drop(folder / "one", "1", seed=1), make_drop(folder / "two", "2", seed=2)


@pytest.fixture
def drop(drops: tuple[Made, Made], tmp_path: Path) -> Made:
    """A copy of the first drop, to change."""
    return drops[0].copy(tmp_path / "drop")


@pytest.fixture
def newer(drops: tuple[Made, Made], tmp_path: Path) -> Made:
    """A copy of the second drop, to change."""
    return drops[1].copy(tmp_path / "newer")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where releases are to be kept; not there yet."""
    return tmp_path / "root"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two key pairs, ``ours`` and ``theirs``, and ``allowed_signers``, which allows ours."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    public = (folder / "ours.pub").read_text(encoding="utf-8")
    (folder / "allowed_signers").write_text(f"release@example.com {public}", encoding="utf-8")
    return folder


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A person with a key and an ssh of their own, whom this process works for."""
    client = make_client(tmp_path / "client")
    for name, value in client.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return client


@pytest.fixture
def server(client: Client, tmp_path: Path) -> Iterator[Sshd]:
    """A device that the client knows and may enter."""
    with serving(tmp_path / "server", client) as server:
        yield server


@pytest.fixture
def device(client: Client, server: Sshd, tmp_path: Path) -> Device:
    """An empty store on it."""
    return Device(client=client, server=server, root=tmp_path / "root", cwd=tmp_path)

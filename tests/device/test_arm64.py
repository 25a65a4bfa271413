"""The true architecture: a drop is deployed to an arm64 Debian under qemu, and proves itself there.

Set FCNSHIP_ARM64 to a folder; ``arm64.sh make`` fills it, here or beforehand in the background.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploying import HOST, with_program
from drops import Made
from sshd import MISSING, Client, free_port, known_hosts_line, make_client, make_key, wait_until_it_listens

from fcnship import api_ship

SCRIPT = Path(__file__).with_name("arm64.sh")
PARITY = 1e-5


def why_not() -> str:
    """Why there can be no arm64 device here; empty where there can."""
    if MISSING or "FCNSHIP_ARM64" not in os.environ:
        return MISSING or "FCNSHIP_ARM64 names no folder for an arm64 Debian (3 minutes, 300 MB)"
    return subprocess.run([SCRIPT, "why"], capture_output=True, text=True, check=False).stdout.strip()


REASON = why_not()
pytestmark = [pytest.mark.arm64, pytest.mark.skipif(bool(REASON), reason=REASON)]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    client = make_client(tmp_path / "client", user="root")
    for name, value in client.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return client


@pytest.fixture
def port(client: Client, tmp_path: Path) -> Iterator[int]:
    """The port of an sshd that runs as an arm64 program."""
    made = subprocess.run([SCRIPT, "make"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no arm64 Debian could be made here: {made.stderr.strip()[-300:]}")
    port, host_key = free_port(), make_key(tmp_path / "host_key")
    words = [str(port), str(client.key.with_suffix(".pub")), str(host_key)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([SCRIPT, "serve", *words], stdout=log, stderr=log)
        try:
            wait_until_it_listens(port, process, tmp_path / "log")
            client.known_hosts.write_text(known_hosts_line(port, host_key), encoding="utf-8")
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def test_a_drop_proves_itself_on_aarch64(port: int, drop: Made) -> None:
    with_program(drop)
    store = Path(os.environ["FCNSHIP_ARM64"]) / "root" / "root" / "store"
    shutil.rmtree(store, ignore_errors=True)
    found = api_ship.deploy(drop.folder, HOST, port=port, root="~/store", backend="onnxruntime", bench=False)
    assert found.device and found.changed and found.release == drop.release
    assert found.device["probe"]["machine"] == "aarch64"
    assert (found.device["backend"], found.device["precision"]) == ("onnxruntime", "fp32")
    rows = found.device["parity"]
    assert len(rows) == 2 and all(row["passed"] and row["max_abs"] <= PARITY for row in rows)
    assert (store / "current").readlink() == Path("releases") / drop.release
    again = api_ship.deploy(drop.folder, HOST, port=port, root="~/store", bench=False)
    assert (again.changed, again.sent) == (False, ())

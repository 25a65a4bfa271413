"""Deploys to a server of ``sshd.py``: within this process, and as a person does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drops import Made
from sshd import Client, Sshd

from fcnship import api_ship
from fcnship.ship.deploy import Deployment
from fcnship.ship.zipapp import zipapp_bytes

Done = subprocess.CompletedProcess[str]
HOST = "127.0.0.1"


def with_program(made: Made) -> Made:
    """The drop with the real fcnship-device in it."""
    program = made.folder / "fcnship-device"
    program.write_bytes(zipapp_bytes())
    program.chmod(0o755)
    return made.rewrite()


@dataclass(frozen=True, kw_only=True)
class Device:
    """A store behind a server, and the person who deploys to it from ``cwd``."""

    client: Client
    server: Sshd
    root: Path
    cwd: Path

    def deploy(self, drop: Path, **options: Any) -> Deployment:
        """Deploy within this process; without a bench, which most tests have no use for."""
        asked = {"port": self.server.port, "root": str(self.root), "bench": False, **options}
        return api_ship.deploy(drop, HOST, **asked)

    def words(self, drop: Path, *words: str) -> list[str]:
        """The same as words of a command line."""
        where = ["--port", str(self.server.port), "--root", str(self.root), "--no-bench"]
        return ["deploy", str(drop), HOST, *where, *words]

    def command(self, drop: Path, *words: str) -> Done:
        """Deploy as a person does."""
        return run(self.words(drop, *words), self.client, self.cwd)

    @property
    def live(self) -> str | None:
        """The release that ``current`` names."""
        link = self.root / "current"
        return link.readlink().name if link.is_symlink() else None


def run(words: list[str], client: Client, cwd: Path, given: str = "") -> Done:
    """Run ``fcnship WORDS`` as the client, with ``given`` on standard input."""
    return subprocess.run(
        [sys.executable, "-m", "fcnship", *words],
        cwd=cwd,
        env={**os.environ, **client.environment},
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

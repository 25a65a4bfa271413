"""fcnship-device on the device: its commands, its JSON, and its failures as errors here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fcnship.errors import (
    ArtifactError,
    DeviceError,
    EnvironmentLacks,
    FcnshipError,
    InputRefused,
    ParityFailed,
    UsageError,
)
from fcnship.ship.ssh import Connection
from fcnship.ship.upload import checked
from fcnship.ship.zipapp import NAME

SCHEMA = "fcnship.device/1"
_PARITY = {"height", "width", "batch", "max_abs", "tolerance", "passed"}
_LATENCY = {"height", "width", "batch", "p50_ms"}
_KINDS: Mapping[int, type[FcnshipError]] = {
    kind.exit_code: kind
    for kind in (UsageError, InputRefused, ParityFailed, EnvironmentLacks, ArtifactError, DeviceError)
}


@dataclass(frozen=True, kw_only=True)
class DeviceProgram:
    """The checked fcnship-device of a drop that lies in ``folder`` on the device."""

    connection: Connection
    root: str
    folder: str

    def install(self, backend: str, precision: str) -> dict[str, Any]:
        """What ``fcnship-device install`` says; ``backend`` and ``precision`` are passed on if not empty."""
        asked = {"--backend": backend, "--precision": precision}
        options = [word for option, value in asked.items() if value for word in (option, value)]
        return self._said(f"{self.folder}/{NAME}", "install", self.folder, "--root", self.root, *options)

    def bench(self, release: str) -> dict[str, Any]:
        """What its bench measures of the release that is live."""
        return self._said(f"{self.root}/releases/{release}/{NAME}", "bench", "--root", self.root)

    def _said(self, program: str, command: str, *words: str) -> dict[str, Any]:
        host = self.connection.to.name
        done = checked(self.connection.ask("run", arguments=[program, command, *words]), host)
        try:
            said = json.loads(done["stdout"])
        except ValueError:
            said = None
        if isinstance(said, dict) and said.get("schema") == SCHEMA and _fits(said):
            return said
        raise DeviceError(
            f"fcnship-device {command} broke on {host}: it ended with code {done['exit']}",
            cause=self.connection.last_words() or "it said nothing",
            next=f"look at it there: ssh {self.connection.to.as_typed} python3 {program} probe",
        )


def _fits(said: Mapping[str, Any]) -> bool:
    """Whether an answer has what is told of it here: a device may say what it likes."""
    tables = {"parity": _PARITY, "latency": _LATENCY}
    rows = [(row, keys) for table, keys in tables.items() for row in said.get(table) or ()]
    return isinstance(said.get("ok"), bool) and all(
        isinstance(row, dict) and keys <= row.keys() for row, keys in rows
    )


def error_of_device(host: str, said: Mapping[str, Any]) -> FcnshipError | None:
    """The device's failure as an error with its own exit code; None where it did what it was asked for."""
    if said["ok"]:
        return None
    error = said.get("error")
    error = error if isinstance(error, dict) else {}
    kind = _KINDS.get(error.get("exit", 0), DeviceError)
    words = {key: str(error.get(key, "")) for key in ("what", "cause", "next")}
    return kind(f"{host}: {words['what'] or 'it failed'}", cause=words["cause"], next=words["next"])

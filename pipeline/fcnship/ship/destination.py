"""Where a device is: what the user typed, and what their own OpenSSH configuration makes of it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fcnship.errors import DeviceError, EnvironmentLacks, UsageError

_SECONDS = 30
# No shell's, no ssh's and no known_hosts's special characters: a name may go into a ProxyCommand.
_DESTINATION = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._+-]*)@)?(?P<host>[A-Za-z0-9:_][A-Za-z0-9.:_%-]*)"
)
# One colon and digits behind it: an IPv6 address has two colons at least.
_WITH_PORT = re.compile(r"(?P<address>[A-Za-z0-9._+@-]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, kw_only=True)
class Destination:
    """``user@host`` as it was typed, and what ``ssh -G`` says of it."""

    typed: str
    port: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The host as the user calls it, without the user: how a device is named in reports."""
        return self.typed.rpartition("@")[2]

    @property
    def address(self) -> str:
        """``host port N``, as the connection is really made."""
        return f"{self.settings['hostname']} port {self.settings['port']}"

    @property
    def known_as(self) -> str:
        """The host's name in known_hosts."""
        if alias := self.settings.get("hostkeyalias"):
            return alias
        host, port = self.settings["hostname"], self.settings["port"]
        return host if port == "22" else f"[{host}]:{port}"

    @property
    def as_typed(self) -> str:
        """The port, where one was given, and the host, as a person types them behind ``ssh``."""
        return f"-p {self.port} {self.typed}" if self.port else self.typed

    def words(self) -> list[str]:
        """The end of an ssh command line."""
        return [*(["-p", str(self.port)] if self.port else []), "--", self.typed]

    def files(self, setting: str) -> list[Path]:
        """The paths of a setting that lists files; a single path may hold spaces."""
        text = self.settings.get(setting, "none")
        paths = [text] if Path(text).expanduser().exists() else text.split()
        return [Path(path).expanduser() for path in paths if path != "none"]


def destination_of(typed: str, port: int | None = None) -> Destination:
    """Look a host up in the user's OpenSSH configuration; connects to nothing.

    Raises:
        UsageError: it is no ``user@host``, or the port is none.
        EnvironmentLacks: there is no OpenSSH client.
        DeviceError: the user's configuration cannot be read.
    """
    if (with_port := _WITH_PORT.fullmatch(typed)) and port is None:
        raise UsageError(
            f"{typed} is not a device's address",
            cause="a port is not a part of it",
            next=f"write it like {with_port['address']} --port {with_port['port']}",
        )
    if not _DESTINATION.fullmatch(typed):
        raise UsageError(
            f"{ascii(typed)[1:-1] or 'nothing'} is not a device's address",
            cause="it is host or user@host: letters, digits and . _ - : alone, and no - at its beginning",
            next="write it like jetson@orin.local, and use --port or ~/.ssh/config for the rest",
        )
    if port is not None and not 1 <= port <= 65535:
        raise UsageError(f"{port} is not a port", cause="ports are 1 to 65535", next="leave out --port")
    for tool in ("ssh", "ssh-keygen", "ssh-keyscan"):
        require(tool)
    asked = Destination(typed=typed, port=port)
    done = asked_in_time(["ssh", "-T", "-G", *asked.words()], _SECONDS)
    rows = (line.partition(" ") for line in done.stdout.splitlines())
    settings = {name: value for name, _, value in rows}
    if done.returncode or not settings.get("hostname"):
        raise DeviceError(
            f"ssh cannot make out {typed}",
            cause=" ".join(done.stderr.split()) or "ssh -G told nothing of it",
            next=f"try it by itself: ssh -G {typed}",
        )
    return Destination(typed=typed, port=port, settings=settings)


def require(tool: str) -> None:
    """Refuse a machine without one of OpenSSH's programs.

    Raises:
        EnvironmentLacks: it is not there.
    """
    if shutil.which(tool) is None:
        raise EnvironmentLacks(
            f"there is no {tool} here",
            cause="OpenSSH's client is not installed, or not on the PATH",
            next="apt install openssh-client",
        )


def asked_in_time(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run one of OpenSSH's programs without a terminal.

    Raises:
        DeviceError: it did not end in time.
    """
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(
            f"{command[0]} did not end within {seconds:g} s",
            cause="the network or its name server does not answer",
            next="try it by hand: " + shlex.join(command),
        ) from None

"""A real OpenSSH server on the loopback, with a host key and authorised keys of its own, and its client.

The client is the ``ssh`` of the PATH, through a script that names a configuration file of the test's own: a
person's ~/.ssh is neither read nor written.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else None)
MISSING = (
    "" if SSHD and shutil.which("ssh-keyscan") else "OpenSSH is not installed: apt install openssh-server"
)
_CLIENT = """#!/bin/sh
exec {program} -F {config} "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Client:
    """A person with a key and a configuration of their own."""

    folder: Path

    @property
    def key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be this person."""
        return {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}


@dataclass(frozen=True, kw_only=True)
class Sshd:
    """A server at work: its folder, its port and its process."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"[127.0.0.1]:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def logins(self) -> int:
        """How often somebody was let in."""
        return self.log.count("Accepted publickey")

    @property
    def public_key(self) -> str:
        """Kind and key."""
        return known_hosts_line(self.port, self.folder / "host_key").partition(" ")[2].strip()

    def sessions(self) -> list[int]:
        """The processes that serve connections: one each, or two where the user is not root."""
        parents: dict[int, int] = {}
        # Not by /proc/PID/task/PID/children, which root alone may read of a server.
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                name, _, rest = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")
                if name.partition("(")[2].startswith("sshd"):
                    parents[int(stat.parent.name)] = int(rest.split()[1])
        found, last = [], {self.process.pid}
        while last := {pid for pid, parent in parents.items() if parent in last}:
            found += sorted(last)
        return found


def make_key(path: Path, kind: str = "ed25519") -> Path:
    """A key without a passphrase."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def known_hosts_line(port: int, host_key: Path) -> str:
    """What known_hosts has of a server on the loopback."""
    kind, key = host_key.with_name(host_key.name + ".pub").read_text(encoding="utf-8").split()[:2]
    return f"[127.0.0.1]:{port} {kind} {key}\n"


def make_client(folder: Path, user: str = "") -> Client:
    """A key, a configuration and an ``ssh`` that reads it."""
    (folder / "bin").mkdir(parents=True)
    client = Client(folder=folder)
    make_key(client.key)
    lines = [
        "IdentitiesOnly yes",
        "IdentityAgent none",
        f"IdentityFile {client.key}",
        f"UserKnownHostsFile {client.known_hosts}",
        "GlobalKnownHostsFile /dev/null",
        f"User {user or getpass.getuser()}",
    ]
    client.config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    program = folder / "bin" / "ssh"
    program.write_text(_CLIENT.format(program=shutil.which("ssh"), config=client.config), encoding="utf-8")
    program.chmod(0o755)
    return client


@contextlib.contextmanager
def serving(
    folder: Path,
    client: Client,
    *,
    port: int | None = None,
    known: bool = True,
    more_keys: Sequence[str] = (),
) -> Iterator[Sshd]:
    """A server that lets the client in, until the block ends; ``known``: the client knows its host key.

    ``more_keys``: kinds of further host keys, each in a file ``KIND_key``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    make_key(folder / "host_key")
    further = [make_key(folder / f"{kind}_key", kind) for kind in more_keys]
    shutil.copy(client.key.with_suffix(".pub"), folder / "authorized_keys")
    port = port or free_port()
    settings = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        *(f"HostKey {key}" for key in (folder / "host_key", *further)),
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        f"PidFile {folder / 'pid'}",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "Subsystem sftp internal-sftp",
        # A home of its own: the start-up files of this machine's user stay out of it.
        f"SetEnv PATH={device_programs(folder)}:/usr/bin:/bin HOME={folder}",
    ]
    (folder / "config").write_text("\n".join(settings) + "\n", encoding="utf-8")
    if (
        os.geteuid() == 0
    ):  # where the server parts with its rights; Debian's own service makes it at its start
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    command = [str(SSHD), "-D", "-f", str(folder / "config"), "-E", str(folder / "log")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    server = Sshd(folder=folder, port=port, process=process)
    try:
        wait_until_it_listens(port, process, folder / "log")
        if known:
            with client.known_hosts.open("a", encoding="utf-8") as file:
                file.write(known_hosts_line(port, folder / "host_key"))
        yield server
    finally:
        for pid in [*server.sessions(), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def device_programs(folder: Path) -> Path:
    """A folder whose python3 is the tests' own: the device's, with NumPy and ONNX Runtime."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    (programs / "python3").chmod(0o755)
    return programs


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Connect until it answers: it is asked again only once it has refused."""
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
    raise AssertionError(
        f"the server ended with code {process.returncode}: {log.read_text(errors='replace')}"
    )

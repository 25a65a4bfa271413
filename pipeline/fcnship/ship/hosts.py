"""``fcnship device add``: a host's key goes into known_hosts once a person or a fingerprint vouches for it.

Nothing else in fcnship ever accepts a key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fcnship.errors import DeviceError, UsageError
from fcnship.ship.destination import Destination, asked_in_time, destination_of

Outcome = Literal["added", "known"]
# ssh asks for the kinds of key that known_hosts has of a host: one is enough, the first that is offered.
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
_NAMES = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}
_SECONDS = 15
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A host's public key."""

    kind: str
    text: str

    @property
    def fingerprint(self) -> str:
        """``SHA256:...``, as OpenSSH writes it."""
        digest = hashlib.sha256(base64.b64decode(self.text)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{_NAMES.get(self.kind, 'ECDSA')} {self.fingerprint}"


@dataclass(frozen=True, kw_only=True)
class AddedDevice:
    """A device whose key is in known_hosts: since now, or since before."""

    host: str
    outcome: Outcome
    key: str
    fingerprint: str
    file: Path

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        facts = {"host": self.host, "outcome": self.outcome, "key": self.key, "fingerprint": self.fingerprint}
        return {"schema": "fcnship.device-add/1", **facts, "file": str(self.file)}


def add_device(
    host: str, port: int | None, fingerprint: str, accepts: Callable[[str, HostKey], bool]
) -> AddedDevice:
    """Add a host's key to the user's known_hosts, if ``fingerprint`` is its own or ``accepts`` says yes.

    Raises:
        UsageError: ``fingerprint`` is none.
        DeviceError: the host does not answer, has another fingerprint or another key than before, or nobody
            vouched for it.
    """
    if fingerprint and not _FINGERPRINT.fullmatch(fingerprint):
        raise UsageError(
            f"{ascii(fingerprint)[1:-1]} is not a fingerprint",
            cause="it is SHA256: and 43 more characters",
            next="on the device: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    to = destination_of(host, port)
    offered = _offered(to)
    known = _known(to)
    chosen = _vouched(to, offered, fingerprint) if fingerprint else offered[0]
    before = [key for key in offered if key in known]
    for key in offered:
        # ssh asks for the kinds that are known, so one of them that has changed is refused.
        if key not in known and (was := [k for k in known if k.kind == key.kind or not before]):
            raise _changed(to, was, key)
    if before and (not fingerprint or chosen in before):
        return _added(to, chosen if chosen in before else before[0], "known")
    if not fingerprint and not accepts(f"{to.name} ({to.address})", chosen):
        raise DeviceError(
            f"the key of {to.name} was not accepted: {chosen}",
            cause="nobody has vouched for it",
            next="compare it with what the device's own console shows: "
            "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    _append(to, chosen)
    return _added(to, chosen, "added")


def _added(to: Destination, key: HostKey, outcome: Outcome) -> AddedDevice:
    return AddedDevice(
        host=to.name, outcome=outcome, key=key.kind, fingerprint=key.fingerprint, file=_file(to)
    )


def _offered(to: Destination) -> list[HostKey]:
    """The host's keys, the kind that ssh prefers first."""
    words = ["-T", str(_SECONDS), "-p", to.settings["port"], "--", to.settings["hostname"]]
    done = _run("ssh-keyscan", *words)
    keys = _keys(done.stdout)
    if keys:
        return sorted(keys, key=lambda key: _KINDS.index(key.kind))
    jump = to.settings.get("proxyjump") or to.settings.get("proxycommand")
    # ssh-keyscan says the same of each kind of key.
    told = "; ".join(dict.fromkeys(line.strip() for line in done.stderr.splitlines() if line.strip()))
    by_hand = f"connect once by hand, and compare the fingerprint: ssh {to.as_typed}"
    raise DeviceError(
        f"{to.name} shows no key ({to.address})",
        cause="it is reached through another host, which ssh-keyscan cannot do"
        if jump
        else told or "nothing answers there",
        next=by_hand if jump else f"check its name, that it is on, and that sshd runs there; or {by_hand}",
    )


def _known(to: Destination) -> list[HostKey]:
    """The keys that the user's files have of this host.

    Raises:
        DeviceError: one of them is marked as revoked.
    """
    keys = []
    for path in [*to.files("userknownhostsfile"), *to.files("globalknownhostsfile")]:
        if not path.is_file():
            continue
        found = _run("ssh-keygen", "-F", to.known_as, "-f", str(path)).stdout
        if "@revoked" in found:
            raise DeviceError(
                f"a key of {to.name} is marked as revoked",
                cause=f"{path} has a @revoked line for it: the key was stolen, or thrown away",
                next="give the device a new host key, then remove the line by hand",
            )
        keys += _keys(found)
    return keys


def _keys(text: str) -> list[HostKey]:
    """The keys of lines like those of known_hosts; comments and certificate authorities are none."""
    rows = [line.split() for line in text.splitlines() if line and line[0] not in "#@"]
    return [HostKey(kind=row[1], text=row[2]) for row in rows if len(row) >= 3 and row[1] in _KINDS]


def _vouched(to: Destination, offered: Sequence[HostKey], fingerprint: str) -> HostKey:
    """The key with the fingerprint that was given; it alone is trusted."""
    for key in offered:
        if key.fingerprint == fingerprint:
            return key
    raise DeviceError(
        f"{to.name} has another key than {fingerprint}",
        cause=f"it shows {', '.join(map(str, offered))}: another device, or somebody else, answers there",
        next="look at the device's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
    )


def _changed(to: Destination, known: Sequence[HostKey], now: HostKey) -> DeviceError:
    return DeviceError(
        f"THE HOST KEY OF {to.name} HAS CHANGED: it was {known[0]} and is {now}",
        cause=f"it was installed anew, or somebody else answers in its place ({to.address})",
        next=f"find out which. If it was installed anew: ssh-keygen -R '{to.known_as}' and this again",
    )


def _append(to: Destination, key: HostKey) -> None:
    path = _file(to)
    line = f"{to.known_as} {key.kind} {key.text}\n"
    if to.settings.get("hashknownhosts") == "yes":
        line = f"{_hashed(to.known_as)} {key.kind} {key.text}\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(number, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            cut = size and os.pread(number, 1, size - 1) != b"\n"
            file.write(("\n" if cut else "").encode() + line.encode())
            file.flush()
            os.fsync(number)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}",
            cause="UserKnownHostsFile of your ssh configuration names it",
            next="make it writable, or name another file in ~/.ssh/config",
        ) from None


def _hashed(name: str) -> str:
    """A host's name as HashKnownHosts writes it: ``|1|salt|hash``, HMAC-SHA1 (known_hosts in sshd(8))."""
    salt = os.urandom(20)
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|".join(["", "1", *(base64.b64encode(part).decode() for part in (salt, digest))])


def _file(to: Destination) -> Path:
    files = to.files("userknownhostsfile")
    if files and files[0] != Path(os.devnull):
        return files[0]
    raise UsageError(
        "there is no file of known hosts to add a key to",
        cause="UserKnownHostsFile is none in your ssh configuration",
        next="name a file there, or take the line out",
    )


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return asked_in_time([*command], 4 * _SECONDS)

"""Brings a drop's files to a device: only what is not there, and from where an earlier upload was cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fcnship.device.manifest import MANIFEST, SIGNATURE, Manifest
from fcnship.errors import ArtifactError, DeviceError, EnvironmentLacks, FcnshipError
from fcnship.events import Events
from fcnship.hashing import sha256_of_file
from fcnship.ship.destination import Destination
from fcnship.ship.ssh import Connection
from fcnship.ship.zipapp import NAME

_CHUNK = 1 << 20
# What the release and its engine need beyond the drop is the device's own to check.
_SPARE_BYTES = 1 << 20
_SURVEY: Mapping[str, Any] = {
    "root": str,
    "writable": str,
    "signers": bool,
    "current": str | None,
    "whole": bool,
    "free": int,
    "have": dict,
    "partial": dict,
}


@dataclass(frozen=True, kw_only=True)
class Package:
    """A verified drop as a folder here, and the files that belong to it."""

    manifest: Manifest
    folder: Path
    files: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, manifest: Manifest, folder: Path) -> Package:
        """Describe a drop's files, its manifest and signature too."""
        files: list[Mapping[str, Any]] = [
            {"path": f.path, "bytes": f.bytes, "sha256": f.sha256} for f in manifest.files
        ]
        text = folder / MANIFEST
        files.append({"path": MANIFEST, "bytes": text.stat().st_size, "sha256": manifest.sha256})
        signature = folder / SIGNATURE
        if signature.is_file():
            size = signature.stat().st_size
            files.append({"path": SIGNATURE, "bytes": size, "sha256": sha256_of_file(signature)})
        return cls(manifest=manifest, folder=folder, files=tuple(files))

    @property
    def signed(self) -> bool:
        """Whether it has a signature."""
        return any(file["path"] == SIGNATURE for file in self.files)

    def request(self, root: str) -> dict[str, Any]:
        """What every request about it says."""
        return {"root": root, "release": self.manifest.sha256}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a device lacks of a drop. ``send``: the bytes of each file that are there already."""

    root: str
    current: str | None
    whole: bool
    send: Mapping[str, int] = field(default_factory=dict)
    reuse: Mapping[str, str] = field(default_factory=dict)
    send_bytes: int = 0

    def folder(self, release: str) -> str:
        """Where on the device the drop lies once everything is sent."""
        return f"{self.root}/releases/{release}" if self.whole else f"{self.root}/incoming/{release}"


def planned(package: Package, found: Mapping[str, Any], to: Destination) -> Plan:
    """What is to be sent, from what the device said that it has.

    Raises:
        DeviceError: the store cannot be written.
        DeviceError: it says something else than was asked for.
        ArtifactError: it takes signed drops alone, and this one has no signature.
        EnvironmentLacks: its disk has no room.
    """
    _check_survey(found, to)
    if found["signers"] and not package.signed:
        raise ArtifactError(
            f"{to.name} takes signed drops alone, and this one is not signed",
            cause=f"there is a file {found['root']}/allowed_signers on it",
            next="make the drop again with fcnship drop --sign KEY",
        )
    if found["writable"]:
        raise _unwritable(to, found["root"], found["writable"])
    if found["whole"]:
        return Plan(root=found["root"], current=found["current"], whole=True)
    incoming = f"{found['root']}/incoming/{package.manifest.sha256}/"
    lacking = [f for f in package.files if f["path"] not in found["have"]]
    send = {f["path"]: _arrived(package, f, found["partial"]) for f in lacking}
    reuse = {path: place for path, place in found["have"].items() if not place.startswith(incoming)}
    send_bytes = sum(f["bytes"] - send[f["path"]] for f in lacking)
    needed = send_bytes + sum(f["bytes"] for f in package.files if f["path"] in reuse) + _SPARE_BYTES
    if found["free"] < needed:
        raise EnvironmentLacks(
            f"{to.name} has too little room for the drop",
            cause=f"{needed / 1e6:.1f} MB are to be copied, {found['free'] / 1e6:.1f} MB are free",
            next=f"make room there, for instance with fcnship-device gc --root {found['root']}",
        )
    return Plan(
        root=found["root"],
        current=found["current"],
        whole=False,
        send=send,
        reuse=reuse,
        send_bytes=send_bytes,
    )


def _check_survey(found: Mapping[str, Any], to: Destination) -> None:
    """A device may say what it likes; what is used of it here has to be what it is taken for."""
    wrong = [key for key, kind in _SURVEY.items() if not isinstance(found.get(key), kind)]
    if not wrong and not all(isinstance(place, str) for place in found["have"].values()):
        wrong = ["have"]
    if not wrong and not all(_is_part(part) for part in found["partial"].values()):
        wrong = ["partial"]
    if wrong:
        raise DeviceError(
            f"{to.name} says something else than what it has of the drop",
            cause=f"its answer is wrong in {wrong[0]}",
            next=f"look at the device by hand: ssh {to.as_typed}",
        )


def _is_part(part: object) -> bool:
    return (
        isinstance(part, dict)
        and isinstance(part.get("bytes"), int)
        and part["bytes"] >= 0
        and isinstance(part.get("sha256"), str)
    )


def upload(package: Package, plan: Plan, connection: Connection, events: Events) -> None:
    """Do as planned; every file is hashed on the device once it is there.

    Raises:
        DeviceError: the line was cut, or the device's system refuses.
        ArtifactError: a file arrived damaged.
    """
    host, about = connection.to.name, package.request(plan.root)
    done = 0

    def sent(count: int) -> None:
        nonlocal done
        done += count
        events.progress(done, plan.send_bytes, f"{done / 1e6:.1f} of {plan.send_bytes / 1e6:.1f} MB")

    for file in package.files:
        path, wanted = file["path"], {"path": file["path"], "sha256": file["sha256"], **about}
        if path in plan.reuse:
            checked(connection.ask("reuse", source=plan.reuse[path], **wanted), host)
        elif path in plan.send:
            offset = plan.send[path]
            checked(connection.send(package.folder / path, offset, sent, **wanted), host)


def check_there(package: Package, plan: Plan, connection: Connection) -> None:
    """Before any of the drop is executed there: is it what was verified here, and signed if it has to be?

    Raises:
        ArtifactError: it is not.
    """
    device = package.manifest.file(NAME)
    checked(
        connection.ask(
            "check",
            folder=plan.folder(package.manifest.sha256),
            hashes={MANIFEST: package.manifest.sha256, NAME: device.sha256},
            files=package.files,
            **package.request(plan.root),
        ),
        connection.to.name,
    )


def checked(answer: dict[str, Any], host: str) -> dict[str, Any]:
    """An answer of the device, if it is no refusal.

    Raises:
        FcnshipError: it is one.
    """
    if "refused" in answer:
        raise _refusal(answer["refused"], answer["text"], host)
    return answer


def _refusal(kind: str, text: str, host: str) -> FcnshipError:
    match kind:
        case "signature":
            return ArtifactError(
                f"{host} does not take this drop: {text}",
                cause="its file allowed_signers says whose drops it takes; nothing of this one was executed",
                next="sign the drop with an allowed key: fcnship drop --sign KEY",
            )
        case "lacks":
            return EnvironmentLacks(
                text, cause="it has allowed_signers", next="sudo apt install openssh-client"
            )
        case "damaged":
            return ArtifactError(
                f"{host}: {text}",
                cause="the drop changed while it was sent, or somebody else deploys the same one just now",
                next="run the same command again",
            )
        case _:
            return DeviceError(
                f"{host} could not store the drop: {text}",
                cause="the disk is full or faulty, or somebody changed permissions",
                next="look at it there, and run the same command again",
            )


def _arrived(package: Package, file: Mapping[str, Any], partial: Mapping[str, Any]) -> int:
    """How much of a file an earlier upload has brought: none, if what came is not the file's beginning."""
    before = partial.get(file["path"])
    if before is None or before["bytes"] > file["bytes"]:
        return 0
    beginning = _sha256_of(package.folder / file["path"], before["bytes"])
    return int(before["bytes"]) if beginning == before["sha256"] else 0


def _sha256_of(path: Path, count: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while count and (chunk := file.read(min(_CHUNK, count))):
            digest.update(chunk)
            count -= len(chunk)
    return digest.hexdigest()


def _unwritable(to: Destination, root: str, why: str) -> DeviceError:
    return DeviceError(
        f"cannot write to {root} on {to.name}",
        cause=why,
        next=f"make it once: ssh -t {to.as_typed} 'sudo install -d -o $USER {root}'; or name your own --root",
    )


def names_of(files: Iterable[str]) -> str:
    """Paths for a person: the first few, and how many more."""
    listed = sorted(files)
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    return ", ".join(listed[:4]) + more

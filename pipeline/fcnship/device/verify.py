"""Is a drop what its maker made? Manifest, signature, every file's hash, before anything of it is loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from fcnship.device.archive import TarDrop
from fcnship.device.folder import FolderDrop, unreadable
from fcnship.device.manifest import (
    INSTALLED,
    MANIFEST,
    MAX_BYTES,
    SIGNATURE,
    DropFile,
    Manifest,
    no_drop,
    parse_manifest,
)
from fcnship.device.signature import MAX_BYTES as MAX_SIGNATURE_BYTES
from fcnship.device.signature import signer_of
from fcnship.errors import ArtifactError

_CHUNK = 1 << 20
Sink = Callable[[bytes], Any]


class Drop(Protocol):
    """A drop's files, wherever they lie. All of it is untrusted."""

    place: Path

    def listing(self) -> dict[str, int]:
        """Sizes in bytes by path."""
        ...

    def read(self, path: str, most: int) -> bytes:
        """The first bytes of one file."""
        ...

    def streams(self, paths: set[str]) -> Iterator[tuple[str, BinaryIO]]:
        """Each of these files, to be read while it is its turn."""
        ...


@dataclass(frozen=True, kw_only=True)
class Head:
    """A drop of which the manifest is read and believed, and no other file is opened yet.

    ``signer`` is None where no signature was asked for; ``text`` and ``signature`` are the very bytes.
    """

    drop: Drop
    manifest: Manifest
    text: bytes
    signature: bytes | None
    signer: str | None


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A drop of which every byte is the manifest's. ``signer`` is None where no signature was asked for."""

    manifest: Manifest
    signer: str | None
    signed: bool


def open_drop(place: Path) -> Drop:
    """The drop in a folder, a .tar or a .tar.gz.

    Raises:
        UsageError: there is none.
    """
    return FolderDrop(place) if place.is_dir() else TarDrop(place)


def verify_drop(place: Path, allowed_signers: Path | None) -> Verified:
    """Verify a drop, or a release, without writing anything.

    Raises:
        UsageError: there is none, or it cannot be read.
        InputRefused: the manifest is of another schema, or against it.
        ArtifactError: the signature or a file is not what it should be.
    """
    head = read_head(open_drop(place), allowed_signers)
    for _ in contents(head):
        pass
    return Verified(manifest=head.manifest, signer=head.signer, signed=head.signature is not None)


def verify_release(folder: Path, allowed_signers: Path | None) -> Verified:
    """Verify what lies under ``releases``: a folder of its own, by the name of its manifest's SHA-256.

    Raises as ``verify_drop``.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise _changed(folder, "it is no folder" if os.path.lexists(folder) else "it is gone")
    verified = verify_drop(folder, allowed_signers)
    if verified.manifest.sha256 != folder.name:
        raise _changed(folder, "its manifest has another SHA-256")
    return verified


def read_head(drop: Drop, allowed_signers: Path | None) -> Head:
    """Read the manifest, verify its signature if signers are given, and compare names and sizes.

    Raises as ``verify_drop``.
    """
    listing = drop.listing()
    if MANIFEST not in listing:
        raise no_drop(drop.place)
    text = drop.read(MANIFEST, MAX_BYTES + 1)
    signature = drop.read(SIGNATURE, MAX_SIGNATURE_BYTES + 1) if SIGNATURE in listing else None
    signer = None if allowed_signers is None else signer_of(text, signature, allowed_signers)
    manifest = parse_manifest(text)
    _check_listing(drop.place, listing, manifest)
    return Head(drop=drop, manifest=manifest, text=text, signature=signature, signer=signer)


def contents(head: Head, sink_of: Callable[[DropFile], Sink] | None = None) -> Iterator[DropFile]:
    """Each file of the drop, once its bytes were hashed and found right; ``sink_of`` takes them as they come.

    What is hashed is what was handed on, so nothing can change between the two.

    Raises:
        ArtifactError: a file's bytes are not the manifest's, or one is missing or stands twice.
        UsageError: it cannot be read.
    """
    waiting = {file.path: file for file in head.manifest.files}
    for path, stream in head.drop.streams(set(waiting)):
        file = waiting.pop(path, None)
        if file is None:
            raise _changed(head.drop.place, f"{path} came twice")
        _copy(head.drop.place, file, stream, sink_of(file) if sink_of else None)
        yield file
    if waiting:
        raise _changed(head.drop.place, f"{min(waiting)} is missing")


def _copy(place: Path, file: DropFile, stream: BinaryIO, sink: Sink | None) -> None:
    digest, left = hashlib.sha256(), file.bytes
    while True:
        try:
            data = stream.read(min(_CHUNK, left + 1))
        except OSError as error:
            raise unreadable(place / file.path, error) from None
        left -= len(data)
        if not data or left < 0:
            break
        digest.update(data)
        if sink:
            sink(data)
    if left or digest.hexdigest() != file.sha256:
        raise _changed(place, f"{file.path} has not the SHA-256 that the manifest lists")


def _check_listing(place: Path, listing: dict[str, int], manifest: Manifest) -> None:
    """Names and sizes must be the manifest's to the letter; a release has install.json besides."""
    own = {MANIFEST, SIGNATURE} | ({INSTALLED} if place.resolve().name == manifest.sha256 else set())
    wanted = {file.path: file.bytes for file in manifest.files}
    for path in sorted(set(wanted) - set(listing)):
        raise _changed(place, f"{path} is missing")
    for path in sorted(set(listing) - set(wanted) - own):
        raise _changed(place, f"{path!a} is not in the manifest")
    for path, size in wanted.items():
        if listing[path] != size:
            raise _changed(place, f"{path} has {listing[path]} bytes, the manifest lists {size}")


def _changed(place: Path, cause: str) -> ArtifactError:
    return ArtifactError(
        f"{place} is not the drop that was made",
        cause=cause,
        next="copy the drop again; if it is still so, somebody or something changed it on the way",
    )

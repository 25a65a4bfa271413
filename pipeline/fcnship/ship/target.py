"""Where a drop is written: whole or not at all, and over nothing but an older drop."""

from __future__ import annotations

import errno
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcnship.device.manifest import MANIFEST, MAX_BYTES, SIGNATURE
from fcnship.errors import UsageError
from fcnship.hashing import files_under
from fcnship.ship.tar import Form
from fcnship.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The drop that stands where the new one goes."""

    name: str
    version: str


def check_target(out: Path, form: Form) -> Earlier | None:
    """The drop that would be replaced, or None for a free place or an empty folder.

    Raises:
        UsageError: something else is there, or in the folder of the drop that is there, or it is no name, or
            nothing can be written there, as far as that can be told before any work is done.
    """
    if out.name in ("", ".."):
        raise UsageError(
            f"a drop cannot take the place of {out}",
            cause="it appears in one step, as a folder or a file of its own",
            next="write it like -o drops/multiscale",
        )
    try:
        standing = next(path for path in out.absolute().parents if path.exists())
        if not standing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(standing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        linked, there = out.is_symlink(), out.exists()
    except OSError as error:
        raise _unwritable(out, error) from None
    if linked:
        raise _in_the_way(out, "it is a symbolic link")
    if not there:
        return None
    if form == "folder":
        return _earlier_folder(out)
    if not out.is_file():
        raise _in_the_way(out, "it is no file")
    return _earlier_tar(out)


def _earlier_folder(out: Path) -> Earlier | None:
    if not out.is_dir():
        raise _in_the_way(out, "it is no folder")
    there = {path.relative_to(out).as_posix() for path in files_under(out)}
    if not any(out.iterdir()):
        return None
    if MANIFEST not in there:
        raise _in_the_way(out, f"there is no {MANIFEST} in it")
    manifest = _manifest(out, (out / MANIFEST).read_bytes())
    known = {MANIFEST, SIGNATURE, *(row["path"] for row in manifest["files"])}
    if strange := sorted(there - known):
        raise _in_the_way(out, f"files are in it that are no part of a drop: {', '.join(strange[:4])}")
    return Earlier(name=manifest["name"], version=manifest["version"])


def _earlier_tar(out: Path) -> Earlier:
    try:
        with tarfile.open(out) as archive:
            entry = archive.next()
            first = archive.extractfile(entry) if entry and entry.name == MANIFEST else None
            text = first.read(MAX_BYTES) if first else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError):
        raise _in_the_way(out, "it is no archive") from None
    manifest = _manifest(out, text)
    return Earlier(name=manifest["name"], version=manifest["version"])


def _manifest(out: Path, text: bytes) -> dict[str, Any]:
    """Read loosely: a drop of another version of fcnship may be replaced too."""
    try:
        manifest: dict[str, Any] = json.loads(text)
        if not str(manifest["schema"]).startswith("fcnship.drop/"):
            raise ValueError
        _ = manifest["name"], manifest["version"], [row["path"] for row in manifest["files"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _in_the_way(out, f"its {MANIFEST} is not one of fcnship") from None
    return manifest


def _in_the_way(out: Path, why: str) -> UsageError:
    return UsageError(
        f"{out} is there already, and is no drop",
        cause=f"{why}; only an older drop is replaced",
        next="give another -o, or move it away",
    )


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A path beside ``out`` that takes its place if the block ends well, flushed to the disk.

    Raises:
        UsageError: nothing can be written there.
    """
    try:
        with Workspace(out.parent).writing(out.name) as made:
            yield made
            for folder in [made, *made.rglob("*")] if made.is_dir() else []:
                if folder.is_dir():
                    _flush(folder)
    except OSError as error:
        raise _unwritable(out, error) from None


def _unwritable(out: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot write the drop {out}: {error.strerror or error}",
        cause="the disk is full, or the folder may not be written"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM)
        else "something on the way to it is no folder, or its name is too long",
        next="name a place that you may write with -o",
    )


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Remove releases that are neither current nor previous, engines that neither uses, and forgotten uploads."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from fcnship.device.installed import read_installed
from fcnship.device.store import Root, hashed
from fcnship.errors import ArtifactError, UsageError

# An upload writes all the time: what has rested so long was given up.
_RESTED_SECONDS = 3600.0


def collect(path: Path, *, dry_run: bool) -> dict[str, Any]:
    """Remove them, or with ``dry_run`` only name them.

    Raises:
        UsageError: there is no such root, or it cannot be used.
        ArtifactError: a link or an install.json is damaged, so that it is not known what is used; or another
            command is at work.
    """
    root = Root(path)
    if not root.releases.is_dir() and not root.incoming.is_dir():
        raise UsageError(
            f"{root.path} holds no releases",
            cause="nothing was installed there, or --root names another folder",
            next="name the root that `fcnship-device install` was given with --root",
        )
    if dry_run:
        root.check_ours()
        return _facts(root, _unused(root), dry_run=True)
    with root.locked():
        unused = _unused(root)
        facts = _facts(root, unused, dry_run=False)
        for folder in unused:
            root.discard(folder)
        with contextlib.suppress(OSError):  # not empty, or not there
            root.incoming.rmdir()
        return facts


def _unused(root: Root) -> list[Path]:
    kept = {name for name in (root.linked("current"), root.linked("previous")) if name}
    records = [read_installed(root.release(name)) for name in kept if root.release(name).is_dir()]
    if None in records:
        raise ArtifactError(
            f"a release that {root.path} links to has no install.json",
            cause="it was removed by hand: which engine that release runs is not known",
            next="install its drop again, then collect",
        )
    engines = {record.engine_key for record in records if record}
    releases = [root.release(name) for name in root.names() if name not in kept]
    unused = [root.engines / name for name in hashed(root.engines) if name not in engines]
    return [*releases, *unused, *_forgotten(root.incoming)]


def _forgotten(incoming: Path) -> list[Path]:
    """Uploads that nobody goes on with; a deploy that does so later sends their files again."""
    uploads = [incoming / name for name in hashed(incoming)]
    return [path for path in uploads if time.time() - _touched(path) > _RESTED_SECONDS]


def _touched(upload: Path) -> float:
    times = [upload.lstat().st_mtime]
    for folder, _, names in os.walk(upload):
        for name in (".", *names):
            with contextlib.suppress(FileNotFoundError):
                times.append((Path(folder) / name).lstat().st_mtime)
    return max(times)


def _facts(root: Root, unused: list[Path], *, dry_run: bool) -> dict[str, Any]:
    return {
        "root": str(root.path),
        "changed": bool(unused) and not dry_run,
        "dry_run": dry_run,
        "releases": [p.name for p in unused if p.parent == root.releases],
        "engines": [p.name for p in unused if p.parent == root.engines],
        "uploads": [p.name for p in unused if p.parent == root.incoming],
        "freed_bytes": sum(bytes_in(p) for p in unused),
    }


def bytes_in(path: Path) -> int:
    """Bytes of the files in a folder, links not followed."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # another command may be at work
                total += (Path(folder) / name).lstat().st_size
    return total

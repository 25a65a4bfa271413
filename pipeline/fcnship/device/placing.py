"""Puts a drop's files where releases lie: hashed as they are copied, flushed, and named in one step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from fcnship.device.manifest import INSTALLED, MANIFEST, SIGNATURE, DropFile
from fcnship.device.store import Root, remove, sync_folder
from fcnship.device.verify import Head, contents

# The one file of a drop that is run as it is.
PROGRAM = "fcnship-device"


def place_release(root: Root, head: Head) -> None:
    """Copy a drop to ``releases/<sha256>``; the lock is held. A damaged release of that name is repaired.

    Raises:
        ArtifactError: a file is not what the manifest lists; nothing was changed then.
        UsageError: it cannot be read.
        OSError: the disk takes no more.
    """
    with root.staging() as staged:
        unpack(head, staged)
        release = root.release(head.manifest.sha256)
        if release.is_dir() and not release.is_symlink():
            _repair(staged, release)
            return
        if os.path.lexists(release):  # a file or a link that somebody put there
            root.discard(release)
        root.publish(staged, release.name)


def unpack(head: Head, staged: Path) -> None:
    """Every file of the drop into a new folder, whole on the disk: each file is flushed, then each folder.

    Raises as ``place_release``.
    """
    _write(staged / MANIFEST, head.text)
    if head.signature is not None:
        _write(staged / SIGNATURE, head.signature)
    opened: dict[str, BinaryIO] = {}

    def sink_of(file: DropFile) -> BinaryIO:
        path = staged / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        opened[file.path] = _created(path, 0o755 if file.path == PROGRAM else 0o644)
        return opened[file.path]

    try:
        for file in contents(head, lambda file: sink_of(file).write):
            _finish(opened.pop(file.path))
    finally:
        for left in opened.values():
            left.close()
    for folder in [*sorted(p for p in staged.rglob("*") if p.is_dir()), staged]:
        sync_folder(folder)


def _write(path: Path, text: bytes) -> None:
    file = _created(path, 0o644)
    file.write(text)
    _finish(file)


def _created(path: Path, mode: int) -> BinaryIO:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    os.fchmod(number, mode)
    return os.fdopen(number, "wb")


def _finish(file: BinaryIO) -> None:
    with file:
        file.flush()
        os.fsync(file.fileno())


def _repair(staged: Path, release: Path) -> None:
    """Put whole files in the place of a damaged release's, one rename each, and take away what is too much.

    The folder itself stays: it may be live, and ``current`` must lead somewhere at every moment.
    """
    wanted = {path.relative_to(staged) for path in staged.rglob("*")}
    for name in sorted(wanted):
        source, target = staged / name, release / name
        if target.is_symlink() or (target.exists() and target.is_dir() != source.is_dir()):
            remove(target)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            source.replace(target)
    for path in sorted(release.rglob("*"), reverse=True):
        name = path.relative_to(release)
        if name not in wanted and name != Path(INSTALLED):
            remove(path)
    for folder in [*(release / name for name in wanted if (release / name).is_dir()), release]:
        sync_folder(folder)

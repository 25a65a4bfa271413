"""What a disk, its permissions or the memory say, as errors with an exit code."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from fcnship.errors import EnvironmentLacks, FcnshipError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_BROKEN = (errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENODEV, errno.ENXIO, errno.ESTALE)


def of_system(error: BaseException, root: Path | None = None) -> FcnshipError | None:
    """The error that a person is shown for one of the system's; None for what is none of its."""
    if isinstance(error, MemoryError):
        return EnvironmentLacks(
            "there is too little memory",
            cause="other programs hold it, or this one may take little (ulimit -v)",
            next="stop other programs and run the command again",
        )
    if not isinstance(error, OSError):
        return None
    place = os.fsdecode(error.filename) if error.filename else str(root or "the disk")
    if error.errno in _FULL:
        return EnvironmentLacks(
            f"the disk of {root or place} is full",
            cause=f"{error.strerror}; what was live is live still",
            next="fcnship-device gc, or make room on the disk",
        )
    if error.errno in _DENIED:
        return UsageError(
            f"{place}: {error.strerror}",
            cause="it is another user's, read-only, or on a file system without links (FAT, exFAT)",
            next="run this as the owner of the root, or name a root of your own with --root",
        )
    if error.errno in _BROKEN:
        return EnvironmentLacks(
            f"{place}: {error.strerror}",
            cause="the disk or its file system is damaged; what was live is live still",
            next="look at `dmesg`, and check the file system",
        )
    return None

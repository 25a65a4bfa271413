"""A drop as a folder: its names and sizes, and its files one by one, without following a single link."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fcnship.device.manifest import MAX_FILES, no_drop
from fcnship.errors import ArtifactError, UsageError

_MOST_ENTRIES = MAX_FILES + 100
_DEEPEST = 8
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device file",
    stat.S_IFBLK: "a device file",
}


class FolderDrop:
    """A folder that holds a drop. What lies in it may change while it is read: every file is opened without
    following links and looked at again once it is open.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        if not place.is_dir():
            raise no_drop(place)

    def listing(self) -> dict[str, int]:
        """Sizes in bytes by path; an empty folder is listed with a slash behind it.

        Raises:
            ArtifactError: something in it is neither a file nor a folder, or there is far too much of it.
            UsageError: it cannot be read.
        """
        found: dict[str, int] = {}
        try:
            for path, size in _walk(self.place, "", 0):
                found[path] = size
                if len(found) > _MOST_ENTRIES:
                    raise ArtifactError(
                        f"{self.place} holds more than {_MOST_ENTRIES} files",
                        cause="a drop has a few dozen; this is another folder, or was tampered with",
                        next="copy the drop into an empty folder",
                    )
        except OSError as error:
            raise unreadable(self.place, error) from None
        return found

    def read(self, path: str, most: int) -> bytes:
        """The first ``most`` bytes of one file. Raises as ``listing``."""
        with self._opened(path) as stream:
            return stream.read(most)

    def streams(self, paths: set[str]) -> Iterator[tuple[str, BinaryIO]]:
        """Each of these files, open while it is its turn. Raises as ``listing``."""
        for path in sorted(paths):
            with self._opened(path) as stream:
                yield path, stream

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[BinaryIO]:
        target = self.place / path
        try:
            # O_NONBLOCK: a pipe put in a file's place would else wait for ever.
            number = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise unreadable(target, error) from None
        with os.fdopen(number, "rb") as stream:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise _irregular(path, os.fstat(number).st_mode)
            yield stream


def unreadable(place: Path, error: OSError) -> UsageError:
    """That something cannot be read."""
    return UsageError(
        f"cannot read {ascii(str(place))[1:-1]}: {error.strerror}",
        cause="the medium is faulty or was taken away, or this user may not read it",
        next="look at it with ls -l, and copy the drop again",
    )


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        rows = sorted(entries, key=lambda entry: entry.name)
    if prefix and not rows:
        yield prefix, 0
    for entry in rows:
        facts = entry.stat(follow_symlinks=False)
        path = prefix + entry.name
        if stat.S_ISREG(facts.st_mode):
            yield path, facts.st_size
        elif stat.S_ISDIR(facts.st_mode) and depth < _DEEPEST:
            yield from _walk(folder / entry.name, f"{path}/", depth + 1)
        else:
            raise _irregular(path, facts.st_mode)


def _irregular(path: str, mode: int) -> ArtifactError:
    kind = _KINDS.get(stat.S_IFMT(mode), "a folder too deep")
    return ArtifactError(
        f"{path!a} in the drop is {kind}",
        cause="a drop holds plain files alone; this one was tampered with, or copied with links",
        next="copy the drop again as `fcnship drop` made it",
    )

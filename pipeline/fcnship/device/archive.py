"""A drop as a .tar or .tar.gz: read member by member, and nothing in it is believed.

Nothing is extracted by tarfile. The archive is read twice: once for its names and sizes, which must be the
manifest's to the letter, and once for its contents, of which no byte more than listed is written.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fcnship.device.folder import unreadable
from fcnship.device.manifest import MAX_FILES, no_drop
from fcnship.errors import ArtifactError, UsageError

_MOST_MEMBERS = 2 * MAX_FILES
_HEADER_BYTES = 64 << 10
# tarfile before Python 3.12.6 takes a minute over a header of 250,000 digits (CVE-2024-6232).
_NUMBER = re.compile(rb"[0-9]{40}")
_CHUNK = 1 << 20
# Weights shrink by a tenth, golden data by much more; a bomb by a thousand.
_RATIO, _FREE_BYTES = 100, 64 << 20
_GZIP = b"\x1f\x8b"
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device file",
    tarfile.BLKTYPE: "a device file",
    tarfile.FIFOTYPE: "a named pipe",
}
_BROKEN = (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError, IndexError, RecursionError)


class TarDrop:
    """A .tar or .tar.gz that holds a drop's files at its top.

    Raises:
        UsageError: the file cannot be read.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        with self._reading() as file:
            self._zipped = file.read(2) == _GZIP

    def listing(self) -> dict[str, int]:
        """Sizes in bytes by path.

        Raises:
            ArtifactError: a member is no plain file, its name leads out of the archive or stands twice, the
                archive is damaged, or it is a bomb.
            UsageError: the file cannot be read.
        """
        found: dict[str, int] = {}
        with self._members() as members:
            for name, member, _ in members:
                if name in found:
                    raise self._refused(f"the name {name!a} stands twice in it")
                found[name] = member.size
        return found

    def read(self, path: str, most: int) -> bytes:
        """The first ``most`` bytes of one file. Raises as ``listing``, and where it is not there."""
        with self._members() as members:
            for name, member, stream in members:
                if name == path:
                    return stream.read(min(member.size, most))
        raise self._refused(f"{path} is not in it")

    def streams(self, paths: set[str]) -> Iterator[tuple[str, BinaryIO]]:
        """Each of these files, to be read while it is its turn. Raises as ``listing``."""
        with self._members() as members:
            for name, _, stream in members:
                if name in paths:
                    yield name, stream

    @contextlib.contextmanager
    def _members(self) -> Iterator[Iterator[tuple[str, tarfile.TarInfo, BinaryIO]]]:
        """The plain files of the archive, each to be read while it is its turn."""
        with self._reading() as file, self.refusing():
            unzipped: Any = gzip.GzipFile(fileobj=file, mode="rb") if self._zipped else file
            yield self._walk(_Forward(unzipped, self.place.stat().st_size if self._zipped else None))

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn whatever is wrong with the archive's bytes into one refusal."""
        try:
            yield
        except _Bomb as bomb:
            raise self._refused(str(bomb)) from None
        except (*_BROKEN, gzip.BadGzipFile) as error:
            raise self._refused(f"it cannot be read to its end: {str(error)!a}") from None
        except OSError as error:
            raise unreadable(self.place, error) from None

    def _walk(self, forward: _Forward) -> Iterator[tuple[str, tarfile.TarInfo, BinaryIO]]:
        forward.next_member()
        archive = tarfile.open(fileobj=forward, mode="r:")  # noqa: SIM115
        count = 0
        while (member := archive.next()) is not None:
            count += 1
            if count > _MOST_MEMBERS:
                raise _Bomb(f"it has more than {_MOST_MEMBERS} members")
            name = self._name(member)
            if not member.isdir():
                self._check_plain(member, name)
                yield name, member, _Member(self, forward, member.size)  # type: ignore[misc]
            forward.next_member()

    def _name(self, member: tarfile.TarInfo) -> str:
        name = member.name.removeprefix("./")
        parts = name.split("/")
        if member.isdir() and name in (".", ""):
            return name
        if name.startswith("/") or not all(parts) or ".." in parts or "." in parts or "\0" in name:
            raise self._refused(f"the name {ascii(member.name)[:200]} leads out of it")
        return name

    def _check_plain(self, member: tarfile.TarInfo, name: str) -> None:
        if member.sparse is not None:
            raise self._refused(f"{name!a} is a sparse file")
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            kind = _KINDS.get(member.type, f"of the type {member.type!a}")
            raise self._refused(f"{name!a} is {kind}")
        if member.size < 0:
            raise self._refused(f"{name!a} has a size below zero")

    def _refused(self, cause: str) -> ArtifactError:
        return ArtifactError(
            f"the archive {self.place.name} is refused",
            cause=cause,
            next="copy the drop again; a drop's archive is what `fcnship drop -o FILE.tar` makes",
        )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[BinaryIO]:
        try:
            # O_NONBLOCK: a named pipe would else wait for ever.
            number = os.open(self.place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(
                f"cannot read {self.place}: {error.strerror}",
                cause="there is no such drop, or this user may not read it",
                next="name the folder or the .tar that `fcnship drop` made",
            ) from None
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise no_drop(self.place)
            yield file


class _Bomb(Exception):
    """The archive asks for more than any drop needs."""


class _Forward(io.RawIOBase):
    """A file that tarfile reads from front to back, counted: headers by what they may take, all of it by what
    it was compressed to. tarfile steps back by one byte at each member, and no further step back is possible.
    """

    def __init__(self, file: BinaryIO, compressed_bytes: int | None) -> None:
        super().__init__()
        self._file, self._at, self._last = file, 0, b""
        self._most = None if compressed_bytes is None else _FREE_BYTES + _RATIO * compressed_bytes
        self._allowance, self._stepped = 0, False

    def next_member(self) -> None:
        """Let headers be read anew."""
        self._allowance = _HEADER_BYTES

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at - len(self._last) if self._stepped else self._at

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._allowance:
            raise _Bomb("one of its headers is larger than any drop needs")
        self._allowance -= size
        before = b""
        if self._stepped and size:
            before, self._stepped = self._last, False
            size -= 1
        data = before + self.take(size)
        if _NUMBER.search(data):
            raise _Bomb("one of its headers has a number longer than any drop needs")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        target = offset if whence == 0 else self.tell() + offset
        if whence > 1 or target < self._at - len(self._last):
            raise tarfile.ReadError("a member begins before its header")
        self._stepped = False
        if self._most is None and target > self._at:  # not compressed: what is skipped need not be read
            self._file.seek(target - self._at, os.SEEK_CUR)
            self._at, self._last = target, b""
        while self._at < target:
            if not self.take(min(target - self._at, _CHUNK)):
                break
        self._stepped = target < self._at
        return self.tell()

    def take(self, size: int) -> bytes:
        """The next bytes, as they are: contents of a file, or what is skipped."""
        data = self._file.read(size) if size else b""
        self._at += len(data)
        self._last = data[-1:] or self._last
        if self._most is not None and self._at > self._most:
            raise _Bomb(f"it unpacks to more than {_RATIO} times its size")
        return data


class _Member(io.RawIOBase):
    """The contents of one member, while it is its turn."""

    def __init__(self, archive: TarDrop, forward: _Forward, size: int) -> None:
        super().__init__()
        self._archive, self._forward, self._left = archive, forward, size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = min(self._left, _CHUNK if size < 0 else size)
        with self._archive.refusing():
            data = self._forward.take(wanted)
            if len(data) < wanted:
                raise EOFError("it ends in the middle of a file")
        self._left -= len(data)
        return data

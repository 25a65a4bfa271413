"""Where a device keeps its releases, and the one way in which what is live changes.

    ROOT/lock                 held by the one command that changes things; its first line marks the root
    ROOT/releases/<sha256>/   a drop's files and install.json; the name is the SHA-256 of its manifest
    ROOT/engines/<key>/       engines, apart from releases, so that a rollback finds its own again
    ROOT/incoming/<sha256>/   what `fcnship deploy` sends, until it is installed
    ROOT/current, previous    symbolic links to releases/<sha256>
    ROOT/allowed_signers      if it is there, a drop must be signed by one of them

Everything is written under a temporary name, flushed to the disk (its folder too), and renamed. A rename is
atomic: after a kill or a power cut each name stands for the old or the new, whole. Temporary names that were
left behind go when the next command takes the lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from fcnship.device.disk import of_system
from fcnship.errors import ArtifactError, FcnshipError, UsageError

DEFAULT_ROOT = Path("/data/fcnship")
TEMPORARY = ".fcnship-tmp-"
Link = Literal["current", "previous"]

_MARK = "fcnship.device/1"
_OWN = {
    *("lock", "releases", "engines", "incoming", "timing.cache"),
    *("current", "previous", "allowed_signers", "lost+found"),
}
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TARGET = re.compile(r"releases/([0-9a-f]{64})", re.ASCII)
_SETUP = (
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.ENOENT,
    errno.EEXIST,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EISDIR,
)


class Root:
    """One device's store."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def releases(self) -> Path:
        """The folder of releases."""
        return self.path / "releases"

    @property
    def engines(self) -> Path:
        """The folder of engines."""
        return self.path / "engines"

    @property
    def incoming(self) -> Path:
        """The folder of uploads."""
        return self.path / "incoming"

    @property
    def timing_cache(self) -> Path:
        """TensorRT's timing cache."""
        return self.path / "timing.cache"

    def signers(self, given: Path | None) -> Path | None:
        """The list of allowed signers: the one given, or the root's own if there is one, readable or not."""
        own = self.path / "allowed_signers"
        return given or (own if os.path.lexists(own) else None)

    def release(self, name: str) -> Path:
        """The folder of one release."""
        return self.releases / name

    def linked(self, link: Link) -> str | None:
        """The release that ``current`` or ``previous`` names, or None.

        Raises:
            ArtifactError: it is no link of ours.
            UsageError: it cannot be read.
        """
        path = self.path / link
        try:
            target = str(path.readlink())
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise self._unreadable(error) from None
            raise _no_link(path, "it is no symbolic link") from None
        match = _TARGET.fullmatch(target)
        if match is None:
            raise _no_link(path, f"it leads to {target!a}")
        return match[1]

    def previous(self) -> str | None:
        """The release to roll back to: what ``previous`` names, unless that is live already."""
        name = self.linked("previous")
        return None if name == self.linked("current") else name

    def link(self, link: Link, name: str) -> None:
        """Let ``current`` or ``previous`` name a release, in one step."""
        temporary = self._temporary(self.path)
        temporary.symlink_to(f"releases/{name}")
        temporary.replace(self.path / link)
        sync_folder(self.path)

    def names(self) -> list[str]:
        """The releases that are there, whole or not. What else lies among them is not ours to touch."""
        return hashed(self.releases)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store for this process, clear away what a killed one left; made first if missing.

        The system drops the lock of a process that dies.

        Raises:
            UsageError: the folder cannot be made or written, or holds something else.
            ArtifactError: another process is at work in it.
        """
        with self._explaining(_SETUP):
            number = self._opened_lock()
        try:
            with self._explaining(_SETUP):
                self._take(number)
            with self._explaining():
                yield
        finally:
            os.close(number)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder on the store's own disk, which vanishes if the block leaves it there."""
        folder = self._temporary(self.releases)
        folder.mkdir()
        try:
            yield folder
        finally:
            remove(folder)

    def publish(self, staged: Path, name: str) -> None:
        """Make a staged folder, flushed already, the release ``name``, in one step."""
        staged.rename(self.release(name))
        sync_folder(self.releases)

    def discard(self, folder: Path) -> None:
        """Remove a release or an engine: its name goes in one step, its files after that."""
        doomed = self._temporary(folder.parent)
        folder.rename(doomed)
        sync_folder(folder.parent)
        remove(doomed)

    def _clear_temporary(self) -> None:
        for folder in (self.path, self.releases, self.engines):
            for path in _children(folder):
                if path.name.startswith(TEMPORARY):
                    remove(path)

    def _temporary(self, folder: Path) -> Path:
        return folder / f"{TEMPORARY}{secrets.token_hex(8)}"

    def _opened_lock(self) -> int:
        standing = next(path for path in (self.path, *self.path.parents) if path.exists())
        # The superuser may write anywhere; a folder marked read-only is refused all the same.
        if not standing.stat().st_mode & 0o222:
            raise PermissionError(errno.EACCES, f"{standing} is marked read-only")
        self.check_ours()
        self.path.mkdir(parents=True, exist_ok=True)
        return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._in_use(os.pread(lock, 200, 0)) from None
        os.pwrite(lock, f"{_MARK}\n{os.getpid():<10}\n".encode(), 0)
        for folder in (self.releases, self.engines):
            folder.mkdir(exist_ok=True)
        self._clear_temporary()

    def check_ours(self) -> None:
        """A folder that holds other things is not taken over: a root is empty, or was marked by us."""
        with contextlib.suppress(OSError):
            if (self.path / "lock").read_bytes().startswith(_MARK.encode()):
                return
        strange = [p.name for p in _children(self.path) if p.name not in _OWN]
        strange = [name for name in strange if not name.startswith(TEMPORARY)]
        if strange:
            raise UsageError(
                f"{self.path} is no folder of fcnship: it holds {min(strange)!a}",
                cause="--root names a folder that something else uses",
                next="name an empty folder, or one that is not there yet, with --root",
            )

    @contextlib.contextmanager
    def _explaining(self, no_root: tuple[int, ...] = ()) -> Iterator[None]:
        """Turn what a disk says that takes no more into messages; ``no_root`` are why it cannot be a root."""
        try:
            yield
        except OSError as error:
            if error.errno in no_root:
                raise UsageError(
                    f"cannot write to {self.path}: {error.strerror}",
                    cause="it is read-only, another user's, or something on the way to it is no folder",
                    next="name a folder that you may write with --root, or run this as its owner",
                ) from None
            if known := of_system(error, self.path):
                raise known from None
            raise

    def _unreadable(self, error: OSError) -> FcnshipError:
        return of_system(error, self.path) or UsageError(
            f"{self.path} cannot be read: {error.strerror}",
            cause="--root names something that is no folder",
            next="name the root that `fcnship-device install` was given with --root",
        )

    def _in_use(self, lock: bytes) -> ArtifactError:
        words = lock.decode("ascii", "replace").split()
        holder = f" (process {words[1]})" if len(words) > 1 and words[1].isdigit() else ""
        return ArtifactError(
            f"another fcnship-device{holder} is at work in {self.path}",
            cause="two installers at once would overwrite each other's files",
            next="wait for it to end and run the command again",
        )


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to the disk: only then does a rename in it outlive a power cut."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_whole(path: Path, text: bytes, temporary_in: Path) -> None:
    """Write a file under a temporary name on the same disk, flush it, and rename it to ``path``."""
    number, name = tempfile.mkstemp(prefix=TEMPORARY, dir=temporary_in)
    try:
        with os.fdopen(number, "wb") as file:
            os.fchmod(number, 0o644)
            file.write(text)
            file.flush()
            os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def hashed(folder: Path) -> list[str]:
    """The names in a folder that are a SHA-256, as all of ours are."""
    return sorted(path.name for path in _children(folder) if _SHA256.fullmatch(path.name))


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _no_link(path: Path, cause: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is not a link to a release",
        cause=cause,
        next=f"move {path} away by hand, then install a drop",
    )

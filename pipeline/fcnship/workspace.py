"""A run's folder: its lock, its stage records, and writes that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TextIO, get_args

from fcnship.errors import ArtifactError, UsageError
from fcnship.hashing import files_under, sha256_of_file

SCHEMA = "fcnship.run/1"
Status = Literal["done", "skipped", "failed"]
_TEMPORARY = ".fcnship-tmp-"
_KINDS = {
    "name": str,
    "seconds": int | float,
    "reason": str,
    "inputs": dict,
    "versions": dict,
    "facts": dict,
}


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file that a stage made: its path inside the run folder, its size and its SHA-256."""

    path: str
    bytes: int
    sha256: str

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Artifact:
        """Read an artifact of a stage record. A path that leads out of the run folder is no artifact."""
        path = PurePosixPath(row["path"])
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"path is {row['path']!r}")
        return cls(**row)


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What became of a stage: enough to know whether it must be done again, and what it made."""

    name: str
    status: Status
    seconds: float
    reason: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def sha256_of(self, path: str) -> str:
        """The recorded SHA-256 of an artifact of this stage."""
        return next(a.sha256 for a in self.artifacts if a.path == path)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> StageRecord:
        """Read a row of run.json.

        Raises:
            KeyError, TypeError, ValueError: it is no stage record.
        """
        record = cls(**{**row, "artifacts": tuple(Artifact.from_json(a) for a in row["artifacts"])})
        for key, kind in _KINDS.items():
            if not isinstance(getattr(record, key), kind):
                raise ValueError(f"{key} is {getattr(record, key)!r}")
        if record.status not in get_args(Status):
            raise ValueError(f"status is {record.status!r}")
        return record


class Workspace:
    """The folder of one run, ``artifacts/<name>``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, relative: str) -> Path:
        """A path inside the run folder."""
        return self.root / relative

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run folder for this process; made first if it is missing. The system drops the lock
        of a process that dies, and what it left half-written is cleared away by the next holder.

        Raises:
            UsageError: the folder cannot be made or written.
            ArtifactError: another process holds it.
        """
        with self._made() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise ArtifactError(
                    f"{self.root} is in use by another build{_holder(lock.read())}",
                    cause="two builds of one name would overwrite each other's files",
                    next="wait for it to end, or give this one another --name",
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            self._clear_temporary()
            yield

    def _made(self) -> TextIO:
        """The lock file, open, in a folder that is there and can be written."""
        try:
            # Root may write anywhere; a folder marked read-only is refused all the same.
            standing = next(path for path in (self.root, *self.root.absolute().parents) if path.exists())
            if not standing.stat().st_mode & 0o222:
                raise PermissionError(errno.EACCES, f"{standing} is marked read-only")
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root, prefix=_TEMPORARY):
                pass
            return (self.root / ".lock").open("a+")
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.root}: {error.strerror}",
                cause="it is read-only, its name is too long, or something on the way to it is no folder",
                next="change its permissions, or go on in a copy of it"
                if os.path.exists(self.path("run.json"))  # noqa: PTH110 - Path.exists raises for some
                else "name a folder that you may write with --out",
            ) from None

    def _clear_temporary(self) -> None:
        for path in self.root.rglob(f"{_TEMPORARY}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self, relative: str) -> Iterator[Path]:
        """A temporary path that becomes ``relative`` if the block ends well, and vanishes if it does not.

        The block may make a file or a folder there. It is flushed to the disk before it is renamed.
        """
        target = self.path(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=target.parent))
        try:
            made = folder / target.name
            yield made
            for file in files_under(made):
                _fsync(file)
            if target.is_dir() or (made.is_dir() and target.exists()):
                target.rename(folder / "replaced")
            made.replace(target)
            _fsync(target.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder inside the run folder for what nobody needs afterwards."""
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self.root) as folder:
            yield Path(folder)

    def write_text(self, relative: str, text: str) -> None:
        """Write a text file whole or not at all."""
        with self.writing(relative) as path:
            path.write_text(text, encoding="utf-8")

    def artifacts(self, *relatives: str) -> tuple[Artifact, ...]:
        """Describe files, or every file below folders, of the run folder."""
        found = [file for relative in relatives for file in files_under(self.path(relative))]
        return tuple(
            Artifact(
                path=file.relative_to(self.root).as_posix(),
                bytes=file.stat().st_size,
                sha256=sha256_of_file(file),
            )
            for file in found
        )

    def damage(self, record: StageRecord) -> dict[str, str]:
        """The artifacts of a record that are not what was recorded: path to what is wrong."""
        wrong = {}
        for artifact in record.artifacts:
            path = self.path(artifact.path)
            if not path.is_file():
                wrong[artifact.path] = "is missing"
            elif path.stat().st_size != artifact.bytes or sha256_of_file(path) != artifact.sha256:
                wrong[artifact.path] = "is not what was built"
        return wrong

    def run(self) -> dict[str, Any]:
        """The content of run.json, or an empty run.

        Raises:
            ArtifactError: run.json is there and is damaged, or another program's.
            UsageError: it may not be read.
        """
        path = self.path("run.json")
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            if run["schema"] != SCHEMA:
                raise self._foreign(f"its schema is {run['schema']!r}, this fcnship reads {SCHEMA!r}")
            return dict(run)
        except FileNotFoundError:
            return {"schema": SCHEMA, "options": {}, "stages": []}
        except (PermissionError, NotADirectoryError) as error:
            raise UsageError(
                f"cannot read {path}: {error.strerror}",
                cause="it belongs to somebody else, or something on the way to it is no folder",
                next="change its permissions, or name another run folder",
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
            if isinstance(error, KeyError) and error.args == ("schema",):
                raise self._foreign("'schema' is missing") from None
            raise self._damaged(error) from None

    def records(self) -> dict[str, StageRecord]:
        """The stage records, by the stage's name, in the order in which they were written."""
        try:
            return {row["name"]: StageRecord.from_json(row) for row in self.run()["stages"]}
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(error) from None

    def _foreign(self, what: str) -> ArtifactError:
        """For a file that somebody may still need: it is not to be removed lightly."""
        return ArtifactError(
            f"{self.path('run.json')} is damaged: {what}",
            cause="another program or another version of fcnship wrote it",
            next="name another run folder, or give another --name or --out; remove it if nobody needs it",
        )

    def _damaged(self, error: Exception) -> ArtifactError:
        what = str(error) if isinstance(error, ValueError | OSError) else "it holds no records of stages"
        what = f"{error} is missing" if isinstance(error, KeyError) else what
        return ArtifactError(
            f"{self.path('run.json')} is damaged: {what}",
            cause="it was cut off, edited or written by another program",
            next=f"remove it and build again: rm {shlex.quote(str(self.path('run.json')))}",
        )

    def write_record(self, record: StageRecord, options: Mapping[str, Any]) -> None:
        """Put a stage's record into run.json, in place of an older one of the same stage.

        Files of the older one that the new one does not have are removed, unless the stage failed.
        """
        before = self.records()
        records = {**before, record.name: record}
        run = {
            "schema": SCHEMA,
            "name": self.root.name,
            "options": dict(options),
            "stages": [asdict(r) for r in records.values()],
        }
        self.write_text("run.json", json.dumps(run, indent=1) + "\n")
        if record.name in before and record.status != "failed":
            kept = {artifact.path for artifact in record.artifacts}
            self.remove(a.path for a in before[record.name].artifacts if a.path not in kept)

    def remove(self, relatives: Iterable[str]) -> None:
        """Remove files or folders of the run folder, as far as they are there."""
        for path in map(self.path, relatives):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _holder(text: str) -> str:
    return f" (process {text.strip()})" if text.strip().isdigit() else ""


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

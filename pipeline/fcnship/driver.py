"""Runs stages: requires, run, ensures. Leaves alone what is unchanged, and can say why not."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fcnship.errors import FcnshipError, InputRefused, StageFailed, UsageError
from fcnship.workspace import StageRecord, Status, Workspace

if TYPE_CHECKING:
    from fcnship.session import Session


AGAIN = "would be done again before it"
# The input of a stage that may be left out: the others come and go with it, and would only hide the reason.
ASKED = "asked for"
_FULL = ("No space left on device", "File too large", "Disk quota exceeded")
_OF_THE_SYSTEM = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE),
    *(errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG),
}


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What a stage's work came to: the files it made (in the run folder) and the facts it found."""

    files: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "done"
    reason: str = ""


class Stage(Protocol):
    """One step of a build."""

    @property
    def name(self) -> str:
        """The word that names it in records and reports."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages whose artifacts are its inputs."""
        ...

    @property
    def libraries(self) -> tuple[str, ...]:
        """The distributions whose versions are its inputs."""
        ...

    def inputs(self, session: Session) -> Mapping[str, str]:
        """Its own inputs, each as a short text or a hash; cheap, and without heavy imports."""
        ...

    def requires(self, session: Session) -> None:
        """Raises if the stage cannot be run with what was given."""
        ...

    def run(self, session: Session) -> StageResult:
        """Does the work."""
        ...

    def ensures(self, session: Session, result: StageResult) -> None:
        """Raises if the work is not what it claims to be."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A stage that was stopped in the middle of its work may have kept something of it."""

    def goes_on(self, session: Session) -> str:
        """What it goes on from, in words; nothing if it begins anew."""
        ...


@dataclass(frozen=True, kw_only=True)
class Change:
    """Why a stage must be done again: an input, and what it was and is."""

    input: str
    before: str
    now: str

    def __str__(self) -> str:
        if not self.before:
            return f"{self.input}: {self.now}"
        return f"{self.input}: {self.before} -> {self.now}"


def drive(stages: Sequence[Stage], session: Session, *, force: bool = False) -> None:
    """Bring every stage up to date, in order, and write each one's record as soon as it has ended.

    Raises:
        FcnshipError: as raised by a stage; a foreign exception comes as StageFailed.
    """
    for index, stage in enumerate(stages):
        finished = [stage.name for stage in stages[:index]]
        with named(stage, finished):
            changes = changes_of(stage, session)
        if changes or force:
            _do(stage, session, finished)
        else:
            session.events.stage_unchanged(session.workspace.records()[stage.name])


def changes_of(stage: Stage, session: Session) -> list[Change]:
    """What makes a stage's record stale. Empty: the stage may be left alone."""
    record = session.workspace.records().get(stage.name)
    if record is None:
        return [Change(input="stage", before="", now="never built")]
    if record.status == "failed":
        return [Change(input="stage", before="", now=f"failed last time: {record.reason}")]
    now = _inputs_of(stage, session)
    names = [*now, *(name for name in record.inputs if name not in now)]
    changed = [
        Change(input=name, before=record.inputs.get(name, "nothing"), now=now.get(name, "nothing"))
        for name in names
        if record.inputs.get(name) != now.get(name)
    ]
    changed = [change for change in changed if change.input == ASKED] or changed
    damage = session.workspace.damage(record)
    return changed + [Change(input=path, before="", now=wrong) for path, wrong in damage.items()]


def stale(stages: Sequence[Stage], session: Session) -> dict[str, list[Change]]:
    """For each stage, what makes it stale now or would once the stages before it are done again."""
    found: dict[str, list[Change]] = {}
    for stage in stages:
        before = [name for name in stage.needs if found[name]]
        with named(stage, []):
            changes = changes_of(stage, session)
        found[stage.name] = changes or [
            Change(input=f"stage {name}", before="", now=AGAIN) for name in before
        ]
        if changes and isinstance(stage, Resumable) and (kept := stage.goes_on(session)):
            found[stage.name].append(Change(input="checkpoint", before="", now=kept))
    return found


def _inputs_of(stage: Stage, session: Session) -> dict[str, str]:
    inputs = dict(stage.inputs(session))
    inputs |= {library: _version(library) for library in stage.libraries}
    records = session.workspace.records()
    for name in stage.needs:
        if name in records:
            inputs |= _outputs_of(records[name])
    return inputs


def _outputs_of(record: StageRecord) -> dict[str, str]:
    """What a later stage sees of an earlier one: its files, or that it was skipped."""
    if record.status == "skipped" and not record.artifacts:
        return {record.name: "skipped"}
    return {artifact.path: artifact.sha256 for artifact in record.artifacts}


def _do(stage: Stage, session: Session, finished: Sequence[str]) -> None:
    session.events.stage_started(stage.name)
    start = time.perf_counter()
    inputs: dict[str, str] = {}
    made: tuple[str, ...] = ()
    try:
        with named(stage, finished):
            stage.requires(session)
            inputs = _inputs_of(stage, session)
            result = stage.run(session)
            made = result.files
            stage.ensures(session, result)
            record = _record(stage, session.workspace, result, inputs, time.perf_counter() - start)
            session.write_record(record)
    except FcnshipError as failure:
        seconds = time.perf_counter() - start
        failed = StageRecord(
            name=stage.name, status="failed", seconds=round(seconds, 3), reason=failure.what, inputs=inputs
        )
        # On a full disk the record fails too; what must be told is why the stage did.
        with contextlib.suppress(OSError):
            if made or not _is_whole(session.workspace, stage.name):
                session.workspace.remove(made)
                session.write_record(failed)
        session.events.stage_ended(failed)
        raise
    session.events.stage_ended(record)


def _is_whole(workspace: Workspace, stage: str) -> bool:
    """Whether an earlier build's work is all there: a refused option must not cost a trained model."""
    record = workspace.records().get(stage)
    return record is not None and record.status != "failed" and not workspace.damage(record)


def _record(
    stage: Stage, workspace: Workspace, result: StageResult, inputs: Mapping[str, str], seconds: float
) -> StageRecord:
    return StageRecord(
        name=stage.name,
        status=result.status,
        seconds=round(seconds, 3),
        reason=result.reason,
        inputs=inputs,
        artifacts=workspace.artifacts(*result.files),
        versions={library: _version(library) for library in ("fcnship", *stage.libraries)},
        facts=result.facts,
    )


@contextlib.contextmanager
def named(stage: Stage, finished: Sequence[str]) -> Iterator[None]:
    """Foreign exceptions come out as errors of the tree that name the stage."""
    try:
        yield
    except FcnshipError:
        raise
    except Exception as error:
        raise _failure(stage, error, finished) from error


def _failure(stage: Stage, error: Exception, finished: Sequence[str]) -> FcnshipError:
    done = ", ".join(finished) or "none"
    # TensorFlow has classes of its own for a full disk and a full memory; it is not imported here.
    full = any(text in str(error) for text in _FULL)
    if full or (isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM):
        return UsageError(
            f"stage {stage.name} cannot go on: {error}",
            cause="the disk is full, or a file or folder there may not be read or written",
            next="make room or change permissions and run it again; finished stages are kept",
        )
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return UsageError(
            f"stage {stage.name} cannot go on: a name is not UTF-8: {error.object!a}",
            cause="a file or folder has a name of other bytes, or the locale is not one of UTF-8",
            next="rename it, or set a locale: export LC_ALL=C.UTF-8; finished stages are kept",
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return InputRefused(
            f"stage {stage.name} ran out of memory: {error}",
            cause="the largest size of the profiles or the data set is too large for this machine",
            next="choose a smaller maximum, or a machine with more memory; finished stages are kept",
        )
    return StageFailed(
        f"stage {stage.name} broke: {type(error).__name__}: {error}",
        cause=f"a bug in fcnship or in a library that it drives; stages already done: {done}",
        next="run it again with --debug and report the traceback; finished stages are kept",
    )


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"

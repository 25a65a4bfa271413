"""Runs stages: requires, run, ensures. Leaves alone what is unchanged, and can say why not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol

from fcnship.errors import FcnshipError, StageFailed
from fcnship.workspace import StageRecord, Status, Workspace

if TYPE_CHECKING:
    from fcnship.session import Session


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

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages whose artifacts are its inputs."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """The distributions whose versions are its inputs."""

    def inputs(self, session: Session) -> Mapping[str, str]:
        """Its own inputs, each as a short text or a hash; cheap, and without heavy imports."""

    def requires(self, session: Session) -> None:
        """Raises if the stage cannot be run with what was given."""

    def run(self, session: Session) -> StageResult:
        """Does the work."""

    def ensures(self, session: Session, result: StageResult) -> None:
        """Raises if the work is not what it claims to be."""


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
    for stage in stages:
        changes = changes_of(stage, session)
        if changes or force:
            _do(stage, session, finished=[s.name for s in stages[: stages.index(stage)]])
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
    damage = session.workspace.damage(record)
    return changed + [Change(input=path, before="", now=wrong) for path, wrong in damage.items()]


def stale(stages: Sequence[Stage], session: Session) -> dict[str, list[Change]]:
    """For each stage, what makes it stale now or would once the stages before it are done again."""
    found: dict[str, list[Change]] = {}
    for stage in stages:
        before = [name for name in stage.needs if found[name]]
        found[stage.name] = changes_of(stage, session) or [
            Change(input=f"stage {name}", before="", now="would be done again before it") for name in before
        ]
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


def _do(stage: Stage, session: Session, *, finished: Sequence[str]) -> None:
    session.events.stage_started(stage.name)
    start = time.perf_counter()
    inputs: dict[str, str] = {}
    try:
        stage.requires(session)
        result = stage.run(session)
        stage.ensures(session, result)
        inputs = _inputs_of(stage, session)
        record = _record(stage, session.workspace, result, inputs, time.perf_counter() - start)
    except Exception as error:
        failure = error if isinstance(error, FcnshipError) else _failure(stage, error, finished)
        seconds = time.perf_counter() - start
        failed = StageRecord(
            name=stage.name, status="failed", seconds=round(seconds, 3), reason=failure.what, inputs=inputs
        )
        session.write_record(failed)
        session.events.stage_ended(failed)
        if failure is error:
            raise
        raise failure from error
    session.write_record(record)
    session.events.stage_ended(record)


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


def _failure(stage: Stage, error: Exception, finished: Sequence[str]) -> StageFailed:
    done = ", ".join(finished) or "none"
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
